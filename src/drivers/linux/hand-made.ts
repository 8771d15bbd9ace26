/** Rules of iptables that somebody made by hand: taken away by one command a table, and put back where they stood. */
import { markFor } from '../../compile/index.ts';
import type { HandedOver, HandMadeRule } from '../../host/index.ts';
import { printAddress } from '../../net/index.ts';
import type { Flow, HostChange } from '../../plan/index.ts';
import { type Command, script, type Transport } from '../../transport/index.ts';
import { failure } from './ask.ts';
import { END_FLOWS, LIST_FLOWS, LIST_TIMEOUT_MS, linesOf, readFlows } from './flows.ts';
import { PUT_BACK_IPTABLES, RESTORE_IPTABLES } from './scripts.ts';

export interface HandMadeStep {
  readonly kind: 'handMade';
  /** Of one table. */
  readonly rules: readonly HandMadeRule[];
  readonly changes: readonly HostChange[];
  /** They come back. */
  readonly back: boolean;
}

/** Whether one command does for both. */
export const areOfOne = (last: HandMadeStep, next: HandMadeStep): boolean => {
  const [one, other] = [last.rules[0], next.rules[0]];
  return (
    last.back === next.back &&
    one?.family === other?.family &&
    one?.backend === other?.backend &&
    one?.table === other?.table
  );
};

export const joined = (last: HandMadeStep, next: HandMadeStep): HandMadeStep => ({
  ...last,
  rules: [...last.rules, ...next.rules],
  changes: [...last.changes, ...next.changes],
});

/** All of one table. */
export function handMadeCommand(rules: readonly HandMadeRule[], back: boolean): Command {
  const [first] = rules;
  if (first === undefined) throw new TypeError('no rule is made by hand');
  const { family, backend, table } = first;
  if (!back)
    return {
      argv: script(RESTORE_IPTABLES, String(family), backend),
      stdin: [`*${table}`, ...rules.map(({ text }) => text.replace(/^-A /, '-D ')), 'COMMIT\n'].join('\n'),
    };
  const ordered = [...rules].sort((a, b) => a.behind - b.behind);
  return {
    argv: script(PUT_BACK_IPTABLES, String(family), backend, table),
    stdin: ordered.map(({ behind, behindOurs, text }) => `${behind} ${Number(behindOurs)} ${text}\n`).join(''),
  };
}

/**
 * Gives connections of rules that go the marks by which ours go on with them. What began before our table stood is listed now; what begins
 * after it has its mark. One that ends meanwhile is no failure.
 */
export async function handOver(transport: Transport, handed: HandedOver): Promise<Error | undefined> {
  const unmarked = `0x0/0x${handed.mask.toString(16)}`;
  const list = script(LIST_FLOWS, ...['ipv4', 'ipv6'].map((family) => `-L -f ${family} -m ${unmarked}`));
  const { status, stdout, ...rest } = await transport.run({ argv: list, timeoutMs: LIST_TIMEOUT_MS });
  if (status !== 0) return failure(transport.host, list, { status, stdout, ...rest });
  const commands = readFlows(stdout).flatMap((flow) => {
    const mark = markFor(handed, flow);
    return mark === undefined ? [] : [markCommand(flow, mark, handed.mask)];
  });
  if (commands.length === 0) return undefined;
  const argv = script(END_FLOWS, 'together');
  const output = await transport.run({ argv, stdin: linesOf(commands), timeoutMs: LIST_TIMEOUT_MS });
  return output.status === 0 ? undefined : failure(transport.host, argv, output);
}

/** conntrack(8): the bits of the mask are cleared, then the value is put in. */
const markCommand = (flow: Flow, mark: number, mask: number): readonly string[] => [
  ...['-U', '-f', flow.asked.family === 4 ? 'ipv4' : 'ipv6', '-p', flow.protocol],
  ...['--orig-src', printAddress(flow.client), '--orig-port-src', String(flow.clientPort)],
  ...['--orig-dst', printAddress(flow.asked), '--orig-port-dst', String(flow.askedPort)],
  ...['--mark', `0x${mark.toString(16)}/0x${mask.toString(16)}`],
];
