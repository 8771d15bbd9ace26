/** The way back from what `apply` does, as commands that the host can carry out alone, whatever of it had been done. */
import type { Undo, UndoCommand } from '../../apply/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { type HostChange, undo } from '../../plan/index.ts';
import { changeLinkArguments, type Link, printBatches } from '../../routing/index.ts';
import { script, type Transport } from '../../transport/index.ts';
import { undoAccept } from './accepts.ts';
import { daemonFilesCommand } from './daemons.ts';
import { handMadeCommand } from './hand-made.ts';
import type { LinkSupport } from './observe.ts';
import { PUT_SYSCTLS, REMOVE_WIREGUARD_IF_THERE, START_IF_ABSENT, TRY, UNLESS_IT_SAYS } from './scripts.ts';
import { addLinkCommands, changesOf, makeSteps, type Step } from './steps.ts';

/** What a way back, or a script that brings things back, must know of its host. */
export interface Place {
  readonly transport: Transport;
  readonly stateFolder: string;
  readonly support: () => Promise<LinkSupport>;
}

/** See Driver.undo. */
export async function undoOf(
  transport: Transport,
  support: () => Promise<LinkSupport>,
  { changes, facts }: { readonly changes: readonly HostChange[]; readonly facts: HostFacts },
  signal: AbortSignal,
): Promise<Undo> {
  const stateFolder = await transport.stateFolder(signal);
  const place = { transport, stateFolder, support };
  const done = makeSteps(changes, stateFolder);
  const steps: Undo['steps'][number][] = [];
  const beside = besideOf(changes, facts);
  if (beside !== undefined) {
    const first = done.findIndex(({ kind }) => kind === 'sysctl');
    steps.push({ step: first + 1, commands: [beside] });
  }
  for (const [index, step] of done.entries()) {
    const commands: UndoCommand[] = [];
    const inverse = undo(withTables(changesOf(step)));
    // In a transaction the order does not matter, and nft lists what it made in the order it came: as it was listed before.
    for (const back of makeSteps(step.kind === 'nft' ? inverse.toReversed() : inverse, stateFolder))
      commands.push(...(await commandsOf(place, back, step)));
    if (commands.length > 0) steps.push({ step: index + 1, commands, ...(outlastsBoot(step) && { lasts: true }) });
  }
  return { steps: steps.reverse(), files: filesOf(done), count: done.length };
}

/** Whether what the step does is there after a boot: of the kernel's things nothing is. */
const outlastsBoot = (step: Step): boolean =>
  step.kind === 'daemonFiles' ||
  step.kind === 'rekey' ||
  (step.kind === 'accept' && (step.place.kind === 'ufw' || step.place.kind === 'firewalld'));

/** With a table that came goes all that is in it: of fifty thousand elements none need be said. */
function withTables(changes: readonly HostChange[]): readonly HostChange[] {
  const tables = new Set<string>();
  for (const change of changes)
    if (change.action === 'add' && change.after.kind === 'nft' && change.after.object.kind === 'table')
      tables.add(`${change.after.object.family} ${change.after.object.table}`);
  if (tables.size === 0) return changes;
  return changes.filter(
    (change) =>
      change.action !== 'add' ||
      change.after.kind !== 'nft' ||
      change.after.object.kind === 'table' ||
      !tables.has(`${change.after.object.family} ${change.after.object.table}`),
  );
}

/** Files of the state folder, whose contents may be long and lie beside. */
const filesOf = (steps: readonly Step[]): readonly string[] => [
  ...new Set(
    steps.flatMap((step) => {
      const file = step.kind === 'nft' ? step.file : step;
      return file?.kind === 'writeFile' || file?.kind === 'writeRestore' || file?.kind === 'removeFile'
        ? [file.path]
        : [];
    }),
  ),
];

/** The commands of `back`, which takes back `step`: each may find that it is so already, for that may have been done in part. */
export async function commandsOf(
  { transport, stateFolder, support }: Place,
  back: Step,
  step: Step,
): Promise<readonly UndoCommand[]> {
  switch (back.kind) {
    case 'ip':
      return batches(back.items.flatMap(({ commands }) => commands.map(({ argv }) => argv)));
    case 'sysctl':
      return [{ argv: script(PUT_SYSCTLS, ...back.items.flatMap(({ path, value }) => [path, value])) }];
    case 'nft':
      return [{ argv: ['nft', '-f', '-'], stdin: back.transaction }];
    case 'wg':
      return back.items.map(({ words }) => ({ argv: ['wg', 'set', back.link, ...words], mild: true }));
    case 'rekey':
      return [{ argv: back.argv, mild: true }];
    case 'accept': {
      const stands = step.kind === 'accept' ? step.traffic : [];
      return undoAccept(transport, back.place, stands, back.traffic);
    }
    case 'handMade':
      return [handMadeCommand(back.rules, back.back)];
    case 'addWireGuard':
      return addWireGuard(back.link, stateFolder, (await support()).wireguard);
    case 'removeWireGuard':
      return [{ argv: script(REMOVE_WIREGUARD_IF_THERE, back.link.name) }];
    case 'daemonFiles':
      return back.items.map((item) => {
        const argv = daemonFilesCommand(stateFolder, back.daemon, [item]);
        return { argv: script(UNLESS_IT_SAYS, item.path, item.content ?? '', ...argv) };
      });
    case 'foreign':
      return back.undo ?? [{ argv: back.argv, ...(back.stdin !== undefined && { stdin: back.stdin }) }];
    // Files are put back as they stood, and what went with a link comes with it.
    case 'writeFile':
    case 'writeRestore':
    case 'removeFile':
    case 'flows':
    case 'handOver':
    case 'goesWithLink':
      return [];
  }
}

/** Each line by itself: one that finds nothing to do must not end those after it. */
const batches = (commands: readonly (readonly string[])[]): readonly UndoCommand[] =>
  printBatches(commands).map(({ argv: [ip = 'ip', ...rest], stdin }) => ({
    ...{ argv: [ip, '-force', ...rest], stdin, mild: true },
  }));

function addWireGuard(link: Link, stateFolder: string, by: LinkSupport['wireguard']): readonly UndoCommand[] {
  const { alias: _, ...plain } = link;
  const settings = changeLinkArguments({ ...plain, mtu: 0, up: false }, link);
  const start = { argv: script(START_IF_ABSENT, link.name, `${stateFolder}/wireguard`, 'ip', ...settings) };
  const kernel = batches(addLinkCommands(link).map(({ argv }) => argv));
  switch (by) {
    case 'kernel':
    case 'absent':
      return kernel;
    case 'userspace':
      return [start];
    case 'unknown':
      return [{ argv: script(TRY, ...(kernel[0]?.argv ?? [])), stdin: kernel[0]?.stdin ?? '' }, start];
  }
}

/**
 * What the kernel writes beside: forwarding of a whole family sets it on every link, accept_redirects with it (devinet.c, addrconf.c). Which
 * links had it otherwise no change of the plan says.
 */
function besideOf(changes: readonly HostChange[], { state }: HostFacts): UndoCommand | undefined {
  const written = new Set(
    changes.flatMap((change) => {
      const object = change.action === 'remove' ? change.before : change.after;
      return object.kind === 'sysctl' ? [object.path] : [];
    }),
  );
  const all4 = written.has('net/ipv4/ip_forward') || written.has('net/ipv4/conf/all/forwarding');
  const all6 = written.has('net/ipv6/conf/all/forwarding');
  if (!all4 && !all6) return undefined;
  const words = [...state.sysctls].flatMap(([path, value]) => {
    const [, family, conf, , name = ''] = path.split('/');
    const isWritten =
      (family === 'ipv4' && all4 && ['forwarding', 'accept_redirects'].includes(name)) ||
      (family === 'ipv6' && all6 && name === 'forwarding');
    return conf === 'conf' && isWritten ? [path, value] : [];
  });
  return { argv: script(PUT_SYSCTLS, ...words) };
}
