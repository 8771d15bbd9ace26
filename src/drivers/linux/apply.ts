import { ApplyError, type ApplyOptions } from '../../apply/index.ts';
import type { HostChange } from '../../plan/index.ts';
import { changeLinkArguments, type Link, printBatches } from '../../routing/index.ts';
import { guarded, type Output, script, type Transport } from '../../transport/index.ts';
import { writeAccept } from './accepts.ts';
import { failure } from './ask.ts';
import { daemonFilesCommand } from './daemons.ts';
import { type FlowWatch, watchFlows } from './flows.ts';
import { handMadeCommand, handOver } from './hand-made.ts';
import type { LinkSupport } from './observe.ts';
import { restoreText } from './restore.ts';
import { REMOVE_WIREGUARD, START_WIREGUARD_GO, WRITE_SYSCTLS } from './scripts.ts';
import { nameOf } from './step-name.ts';
import {
  addLinkCommands,
  changesOf,
  type IpItem,
  makeSteps,
  type Step,
  type SysctlItem,
  type WgItem,
} from './steps.ts';

/** What a step must know of its host. */
interface Place {
  readonly transport: Transport;
  readonly stateFolder: string;
  readonly support: () => Promise<LinkSupport>;
}

type DaemonStep = Extract<Step, { readonly kind: 'daemonFiles' }>;

/** A step that the host refused, and what of it stands nevertheless. */
interface Refusal {
  readonly stands: readonly HostChange[];
  readonly error: Error;
}

/** An interval map of 50,000 elements takes nft a minute (dataplane.md, section 2). */
const TRANSACTION_TIMEOUT_MS = 180_000;

/**
 * Carries out `changes` in their order and no others; see Driver.apply. An abort counts between two steps alone: a step that began
 * comes to its end. Throws an ApplyError whose `done` is exactly what stands.
 */
export async function applyChanges(
  transport: Transport,
  support: () => Promise<LinkSupport>,
  changes: readonly HostChange[],
  { signal, onStep, armed, after = 0 }: ApplyOptions,
): Promise<void> {
  const stateFolder = await transport.stateFolder(signal);
  const done: HostChange[] = [];
  const steps = makeSteps(changes, stateFolder);
  const moving = startMoving(transport, steps);
  for (const [index, step] of steps.entries()) {
    if (signal.aborted) {
      const message = `${transport.host}: stopped: ${done.length} of ${changes.length} changes stand`;
      throw new ApplyError(message, done, { cause: signal.reason });
    }
    if (index === moving?.from) moving.look();
    const guard = armed && { ...armed, step: after + index + 1 };
    const refusal = await carryOut(
      { transport: guarded(transport, guard), stateFolder, support },
      step,
      moving?.table === index || step.kind === 'flows' ? moving : undefined,
    ).catch((error: unknown): Refusal => {
      if (!(error instanceof Error)) throw error;
      return { stands: [], error };
    });
    if (refusal !== undefined) {
      throw new ApplyError(refusal.error.message, [...done, ...refusal.stands], { cause: refusal.error });
    }
    done.push(...changesOf(step));
    onStep?.(nameOf(step));
  }
}

/** Flows that a change of the table leaves behind; see FlowWatch. */
interface Moving {
  /** The step at whose beginning they are looked for: while files are written, for that takes its time too. */
  readonly from: number;
  /** The step that changes the table. */
  readonly table: number;
  readonly look: () => void;
  readonly found: () => Promise<readonly string[] | undefined>;
  /** What the change of the table listed after it. */
  seen?: string;
  readonly watch: FlowWatch;
}

function startMoving(transport: Transport, steps: readonly Step[]): Moving | undefined {
  const at = steps.findIndex(({ kind }) => kind === 'flows');
  const [flows, table] = [steps[at], at - 1];
  if (flows?.kind !== 'flows') return undefined;
  let from = table;
  while (steps[from - 1]?.kind === 'writeFile') from -= 1;
  const watch = watchFlows(transport, flows.moved);
  let found: Promise<readonly string[] | undefined> | undefined;
  const look = (): Promise<readonly string[] | undefined> => {
    found ??= watch.foresee();
    found.catch(() => {}); // said where it is waited for
    return found;
  };
  return { from, table, watch, look, found: look };
}

async function carryOut(place: Place, step: Step, moving: Moving | undefined): Promise<Refusal | undefined> {
  const { transport } = place;
  switch (step.kind) {
    case 'ip':
      return runBatches(transport, step.items);
    case 'sysctl':
      return writeSysctls(transport, step.items);
    case 'nft':
      return changeTable(transport, step, moving);
    case 'wg':
      return setWireGuard(transport, step.link, step.items);
    case 'rekey':
      return run(transport, step.argv);
    case 'accept': {
      const error = await writeAccept(transport, step.place, step.traffic);
      return error && { stands: [], error };
    }
    case 'flows': {
      const error = await (moving?.watch ?? watchFlows(transport, step.moved)).end(moving?.seen);
      return error && { stands: [], error };
    }
    case 'handOver': {
      const error = await handOver(transport, step.handed);
      return error && { stands: [], error };
    }
    case 'handMade': {
      const { argv, stdin } = handMadeCommand(step.rules, step.back);
      return run(transport, argv, stdin);
    }
    case 'goesWithLink':
      return undefined;
    case 'addWireGuard':
      return addWireGuard(place, step.change, step.link);
    case 'removeWireGuard':
      return run(transport, script(REMOVE_WIREGUARD, step.link.name));
    case 'daemonFiles':
      return changeDaemonFiles(place, step);
    case 'writeFile':
      await transport.writeFile(step.path, step.content, step.mode, { standing: step.standing });
      return undefined;
    case 'writeRestore':
      await transport.writeFile(step.path, await restoreText(place, step.state), 0o700);
      return undefined;
    case 'removeFile':
      await transport.removeFile(step.path);
      return undefined;
    case 'foreign':
      return run(transport, step.argv, step.stdin);
  }
}

async function run(transport: Transport, argv: readonly string[], stdin?: string): Promise<Refusal | undefined> {
  const output = await transport.run({
    argv,
    timeoutMs: TRANSACTION_TIMEOUT_MS,
    ...(stdin !== undefined && { stdin }),
  });
  return output.status === 0 ? undefined : { stands: [], error: failure(transport.host, argv, output) };
}

/** The file is written while nft starts: it reads what it is to do when the file stands, and nothing where that fails. */
async function changeTable(
  transport: Transport,
  { transaction, file }: Extract<Step, { readonly kind: 'nft' }>,
  moving: Moving | undefined,
): Promise<Refusal | undefined> {
  const nft = ['nft', '-f', '-'];
  let stands: readonly HostChange[] = [];
  const writing =
    file &&
    transport.writeFile(file.path, file.content, file.mode, { standing: file.standing }).then(() => {
      stands = [file.change];
    });
  writing?.catch(() => {}); // thrown by who waits for it
  try {
    const together = await moving?.found();
    const output = await transport.run({
      ...{ argv: together ?? nft, stdin: transaction, timeoutMs: TRANSACTION_TIMEOUT_MS },
      ...(writing && { after: writing }),
    });
    if (output.status !== 0) return { stands, error: failure(transport.host, nft, output) };
    if (moving !== undefined && together !== undefined) moving.seen = output.stdout;
    return undefined;
  } catch (error) {
    await writing?.catch(() => {});
    if (!(error instanceof Error)) throw error;
    return { stands, error };
  }
}

async function changeDaemonFiles({ transport, stateFolder }: Place, step: DaemonStep): Promise<Refusal | undefined> {
  const output = await transport.run({ argv: daemonFilesCommand(stateFolder, step.daemon, step.items) });
  if (output.status === 0) return undefined;
  return { stands: [], error: new Error(`${transport.host}: ${nameOf(step)}: ${reasonOf(output)}`) };
}

/**
 * All of them by one `wg set`, which takes any number of peers. Where that is refused they are said one by one, as each may be said again:
 * so it shows which of them is to blame, and what stands.
 */
async function setWireGuard(
  transport: Transport,
  link: string,
  items: readonly WgItem[],
): Promise<Refusal | undefined> {
  const set = (some: readonly WgItem[]): Promise<Refusal | undefined> =>
    run(transport, ['wg', 'set', link, ...some.flatMap(({ words }) => words)]);
  const refusal = await set(items);
  if (refusal === undefined || items.length === 1) return refusal;
  for (const [index, item] of items.entries()) {
    const refused = await set([item]);
    if (refused !== undefined) return { ...refused, stands: items.slice(0, index).map(({ change }) => change) };
  }
  return undefined;
}

/** By the kernel's driver, else by wireguard-go. Where nobody could find out beforehand, the trial is the real thing. */
async function addWireGuard(place: Place, change: HostChange, link: Link): Promise<Refusal | undefined> {
  const { transport } = place;
  const { wireguard } = await place.support();
  switch (wireguard) {
    case 'kernel':
      return runBatches(transport, [{ change, commands: addLinkCommands(link) }]);
    case 'userspace':
      return startWireGuardGo(place, link);
    case 'unknown': {
      const refusal = await runBatches(transport, [{ change, commands: addLinkCommands(link) }]);
      return refusal && startWireGuardGo(place, link);
    }
    case 'absent': {
      const missing = 'its kernel has none, and wireguard-go (Debian package wireguard-go) or /dev/net/tun is missing';
      return { stands: [], error: new Error(`${transport.host}: WireGuard is not supported by this host: ${missing}`) };
    }
  }
}

async function startWireGuardGo({ transport, stateFolder }: Place, link: Link): Promise<Refusal | undefined> {
  // The transport shows this folder to the commands of a namespace as /run/wireguard, from when it is there.
  const sockets = await run(transport, ['mkdir', '-p', '-m', '700', `${stateFolder}/wireguard`]);
  if (sockets !== undefined) return sockets;
  const { alias: _, ...plain } = link;
  const settings = changeLinkArguments({ ...plain, mtu: 0, up: false }, link);
  return run(transport, script(START_WIREGUARD_GO, link.name, 'ip', ...settings));
}

async function writeSysctls(transport: Transport, items: readonly SysctlItem[]): Promise<Refusal | undefined> {
  const argv = script(WRITE_SYSCTLS, ...items.flatMap(({ path, value }) => [path, value]));
  const output = await transport.run({ argv });
  if (output.status === 0) return undefined;
  const stand = Number(output.stdout.trim());
  const refused = items[stand];
  const what = refused === undefined ? 'sysctl' : `sysctl ${refused.path} = ${refused.value}`;
  return {
    stands: items.slice(0, stand).map(({ change }) => change),
    error: new Error(`${transport.host}: ${what}: ${reasonOf(output)}`),
  };
}

/** The commands of `items` as lines of as few runs of `ip` as can be. */
async function runBatches(transport: Transport, items: readonly IpItem[]): Promise<Refusal | undefined> {
  const lines = items.flatMap((item, index) => item.commands.map((command, part) => ({ ...command, index, part })));
  let from = 0;
  for (const { argv, stdin } of printBatches(lines.map((line) => line.argv))) {
    const output = await transport.run({ argv, stdin, timeoutMs: TRANSACTION_TIMEOUT_MS });
    if (output.status !== 0) return refusedLine(transport, items, lines, from, output);
    from += stdin.split('\n').length - 1;
  }
  return undefined;
}

type Line = IpItem['commands'][number] & { readonly index: number; readonly part: number };

/** Finds the line that was refused, and takes back what its change had done before it. */
async function refusedLine(
  transport: Transport,
  items: readonly IpItem[],
  lines: readonly Line[],
  from: number,
  output: Output,
): Promise<Refusal> {
  const number = /^Command failed -:(\d+)$/m.exec(output.stderr)?.[1];
  const refused = number === undefined ? undefined : lines[from + Number(number) - 1];
  if (refused === undefined) {
    const stands = items.slice(0, lines[from]?.index ?? 0).map(({ change }) => change);
    const what = `ip -batch: ${reasonOf(output)}; which of its lines stand is not known`;
    return { stands, error: new Error(`${transport.host}: ${what}`) };
  }
  let what = `ip ${refused.argv.join(' ')}: ${reasonOf(output)}`;
  const before = items[refused.index]?.commands.slice(0, refused.part).reverse() ?? [];
  for (const { inverse } of before) {
    const back = await transport.run({ argv: ['ip', ...inverse] });
    if (back.status !== 0)
      what += `; and its first half could not be taken back: ip ${inverse.join(' ')}: ${reasonOf(back)}`;
  }
  return {
    stands: items.slice(0, refused.index).map(({ change }) => change),
    error: new Error(`${transport.host}: ${what}`),
  };
}

const reasonOf = ({ stderr, status }: Output): string =>
  stderr
    .replace(/^Command failed -:\d+$/m, '')
    .trim()
    .replaceAll('\n', '; ') || `status ${status}`;
