/** Connections that the host tracks: listed and ended by `conntrack` (conntrack-tools). */
import { setImmediate } from 'node:timers/promises';
import { targetsOf } from '../../host/index.ts';
import { parseAddress, printAddress } from '../../net/index.ts';
import {
  type Flow,
  type FlowsOfForward,
  flowsOfFew,
  type MovedFlows,
  mayEndTcp,
  staleFlows,
} from '../../plan/index.ts';
import { type Output, script, type Transport, TransportError } from '../../transport/index.ts';
import { failure } from './ask.ts';

/** Whether `conntrack` is there and the kernel lets it look. */
export const CONNTRACK_COMMAND = ['conntrack', '-C'] as const;

/** What an answer to CONNTRACK_COMMAND says against ending flows. */
export const flowsProblem = ({ status, stderr }: Output): { readonly noFlows?: string } => {
  if (status === 0) return {};
  return {
    noFlows:
      status === 127
        ? 'there is no conntrack (Debian package conntrack)'
        : `conntrack: ${stderr.trim().split('\n').at(-1)}`,
  };
};

const FAMILIES = ['ipv4', 'ipv6'] as const;
/** A listing of a million flows takes seconds. */
export const LIST_TIMEOUT_MS = 60_000;
/** Rounds of looking and ending: the second finds what a vanished flow made the first leave out, the third what came in between. */
const ROUNDS = 3;

/** The flows that a transaction leaves behind, from before it until none of them is left. */
export interface FlowWatch {
  /**
   * Looks for them: before the transaction, for reading ten thousand takes longer than a datagram should go on to where the forward no
   * longer leads. Gives the command that carries out a transaction, on stdin, and ends them at once; then it lists what is left, for
   * endFlows. Undefined where they are too many for that.
   */
  foresee(): Promise<readonly string[] | undefined>;
  /**
   * Ends the flows of ours that go where no forward leads any more, and no others; `seen` is what that command listed. Nothing where there is
   * no `conntrack`: the plan has said so. Gives the refusal, if there is one.
   */
  end(seen: string | undefined): Promise<Error | undefined>;
}

export function watchFlows(transport: Transport, moved: MovedFlows): FlowWatch {
  const isStale = staleFlows(moved);
  const few = flowsOfFew(moved);
  const listings = (): readonly string[] => listArguments(moved).map((words) => words.join(' '));
  const list = async (): Promise<readonly Flow[]> => {
    const argv = script(LIST_FLOWS, ...listings());
    const output = await transport.run({ argv, timeoutMs: LIST_TIMEOUT_MS });
    if (output.status !== 0) throw failure(transport.host, argv, output);
    return readFlows(output.stdout).filter(bearsMark(moved));
  };
  return {
    async foresee() {
      if (few?.length === 0) return undefined;
      if (few !== undefined) return script(CHANGE_AND_END_EACH, linesOf(few.map((flows) => byPortsOf(flows, moved))));
      // What is written meanwhile is to be on its way first: to look through fifty thousand forwards takes its time too.
      await setImmediate();
      const flows = await list();
      const commands = endCommands(flows, isStale, moved);
      const lines = linesOf(commands);
      const isLong = lines.length > ARGUMENT_LIMIT || commands.length * flows.length > LOOKS_LIMIT;
      return isLong ? undefined : script(CHANGE_AND_END, lines, ...listings());
    },
    async end(seen) {
      if (few !== undefined) return undefined;
      for (let round = 0; round < ROUNDS; round++) {
        const known = round === 0 && seen !== undefined;
        const flows = known ? readFlows(seen).filter(bearsMark(moved)) : await list();
        const commands = endCommands(flows, isStale, moved);
        if (commands.length === 0) return undefined;
        const argv = script(END_FLOWS, round === 0 ? 'together' : 'each');
        const output = await transport.run({ argv, stdin: linesOf(commands), timeoutMs: LIST_TIMEOUT_MS });
        if (output.status !== 0) return failure(transport.host, argv, output);
      }
      const left = (await list()).filter((flow) => flow.offloaded === true && isStale(flow));
      if (left.length === 0) return undefined;
      // ctnetlink answered EBUSY until "Support offloaded conntrack entry deletion", which all stable kernels have since June 2023.
      const what = `${left.length} flows in the fast path go on to where the forward no longer leads, and this kernel does not let them be ended: update it, or use fastPath: "Off"`;
      return new TransportError(transport.host, ['conntrack', '-D'], what);
    },
  };
}

/** Arguments for conntrack, a line for each command. */
export const linesOf = (commands: readonly (readonly string[])[]): string =>
  commands.map((words) => `${words.join(' ')}\n`).join('');

/** One argument may have 128 KiB (MAX_ARG_STRLEN, execve(2)). */
const ARGUMENT_LIMIT = 100_000;
/** Each command looks through all flows, a million in about a second: more than some seconds are no part of a transaction. */
const LOOKS_LIMIT = 10_000_000;

/**
 * LISTING LISTING, each the arguments of one conntrack: both at once, their outputs one after the other. What cannot be listed was said before
 * the change; a kernel without IPv6 has nothing to list of it.
 */
export const LIST_FLOWS = `
set -f
conntrack $1 2>/dev/null </dev/null &
second=$(conntrack $2 2>/dev/null </dev/null)
wait
[ -z "$second" ] || printf '%s\\n' "$second"
exit 0`;

/** ENDS LISTING LISTING: lines of arguments for conntrack. A transaction for nft on stdin, then the ends, then the listings. */
export const CHANGE_AND_END = `
nft -f - || exit
[ -z "$1" ] || printf '%s' "$1" | conntrack -R - >/dev/null 2>&1
shift${LIST_FLOWS}`;

/** ENDS: the same for a few that need no listing, neither before nor after. */
export const CHANGE_AND_END_EACH = `
nft -f - || exit
set -f
printf '%s' "$1" | while read -r line; do conntrack $line >/dev/null 2>&1 </dev/null; done
exit 0`;

/**
 * together|each, and arguments for conntrack a line on stdin. `conntrack -R` (1.4.7) takes all lines in one run and stops at one whose
 * flow has gone meanwhile, without a word; an older one does not know it. A flow that has gone is what was wanted.
 */
export const END_FLOWS = `
if [ "$1" = together ] && conntrack -R - >/dev/null 2>&1; then exit 0; fi
set -f
while read -r line; do conntrack $line >/dev/null 2>&1; done
exit 0`;

/**
 * What lists them, a command for each family: by conntrack's own filter those that have what both marks of ours have in common, and UDP alone
 * where no TCP may end. Other flows are not even read.
 */
function listArguments(moved: MovedFlows): readonly (readonly string[])[] {
  const mask = (moved.mask & ~(moved.forwarded ^ moved.masqueraded)) >>> 0;
  const mark = printMark((moved.forwarded & mask) >>> 0, mask);
  const protocol = mayEndTcp(moved) ? [] : ['-p', 'udp'];
  return FAMILIES.map((family) => ['-L', '-f', family, '-m', mark, ...protocol]);
}

const bearsMark =
  ({ mask, forwarded, masqueraded }: MovedFlows) =>
  (flow: Flow): boolean => {
    const mark = (flow.mark & mask) >>> 0;
    return mark === forwarded || mark === masqueraded;
  };

/**
 * As few commands as end the stale flows and no other of those that were listed: conntrack looks through its whole table for each. UDP goes
 * by target, else by port; TCP by both tuples, for a connection that came since and goes right would not survive.
 */
export function endCommands(
  flows: readonly Flow[],
  isStale: (flow: Flow) => boolean,
  { mask, after }: Pick<MovedFlows, 'mask' | 'after'>,
): readonly (readonly string[])[] {
  const stale = flows.filter(isStale);
  if (stale.length === 0) return [];
  const kept = new Set(
    flows.filter((flow) => !isStale(flow)).flatMap((flow) => filtersOf(flow, mask).map(printFilter)),
  );
  // A flow that comes before the command runs goes right, if it goes where a forward leads now.
  const targets = new Set(after.flatMap((forward) => targetsOf(forward).map(({ to }) => printAddress(to))));
  const commands = new Map<string, readonly string[]>();
  for (const flow of stale) {
    const filters = filtersOf(flow, mask);
    const narrow = targets.has(printAddress(flow.target)) ? filters.slice(-2) : filters;
    const filter = narrow.find((each) => !kept.has(printFilter(each))) ?? narrow.at(-1) ?? [];
    commands.set(printFilter(filter), filter);
  }
  return [...commands.values()];
}

const printFilter = (filter: readonly string[]): string => filter.join(' ');

/** What finds a flow, the widest first; always of our mark. */
function filtersOf(flow: Flow, mask: number): readonly (readonly string[])[] {
  const byPorts = byPortsOf(flow, { mask });
  const [client, port] = [printAddress(flow.client), String(flow.clientPort)];
  const itself = [...byPorts, '--orig-src', client, '--orig-port-src', port];
  return flow.protocol === 'udp' ? [byTargetOf(flow, { mask }), byPorts, itself] : [itself];
}

type Marked = Pick<MovedFlows, 'mask'>;

const byTargetOf = ({ protocol, asked, target, mark }: FlowsOfForward, { mask }: Marked): readonly string[] => [
  ...['-D', '-f', asked.family === 4 ? 'ipv4' : 'ipv6', '-p', protocol, '-m', printMark((mark & mask) >>> 0, mask)],
  ...['--reply-src', printAddress(target)],
];

const byPortsOf = (flow: FlowsOfForward, marked: Marked): readonly string[] => [
  ...byTargetOf(flow, marked),
  ...['--orig-dst', printAddress(flow.asked), '--orig-port-dst', String(flow.askedPort)],
  ...['--reply-port-src', String(flow.targetPort)],
];

const printMark = (mark: number, mask: number): string => `0x${mark.toString(16)}/0x${mask.toString(16)}`;

/**
 * A reader of its own beside readConntrack: within a transaction nothing is thrown over a line that it does not know, other protocols are
 * not looked at, and the lines have no family before them (`-o extended`), as a hundred thousand of them are read while forwards change.
 * Reads what `conntrack -L` prints: `udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… … mark=255 use=1`. Other protocols have no ports.
 */
export function readFlows(text: string): readonly Flow[] {
  return text.split('\n').flatMap((line): readonly Flow[] => {
    const protocol = line.startsWith('udp ') ? 'udp' : line.startsWith('tcp ') ? 'tcp' : undefined;
    const values = new Map<string, string[]>();
    for (const word of line.split(' ')) {
      const at = word.indexOf('=');
      if (at <= 0) continue;
      const name = word.slice(0, at);
      values.set(name, [...(values.get(name) ?? []), word.slice(at + 1)]);
    }
    const field = (name: string, direction: 0 | 1): string => values.get(name)?.[direction] ?? '';
    const [client, asked, target] = [field('src', 0), field('dst', 0), field('src', 1)].map(parseAddress);
    const isHidden = field('dst', 1) !== field('src', 0);
    if (protocol === undefined || client === undefined || asked === undefined || target === undefined) return [];
    return [
      {
        ...{ protocol, client, asked, target },
        clientPort: Number(field('sport', 0)),
        askedPort: Number(field('dport', 0)),
        targetPort: Number(field('sport', 1)),
        mark: Number(field('mark', 0)),
        ...(isHidden && { hidden: true as const }),
        ...(line.includes('[OFFLOAD]') && { offloaded: true }),
      },
    ];
  });
}
