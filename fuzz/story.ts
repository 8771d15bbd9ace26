/** What became of one packet, in the same words whether the kernel or the model tells it. */

import type { HostState } from '../src/host/index.ts';
import { parseAddress } from '../src/net/index.ts';
import { printReference, type Rule, type Table } from '../src/nftables/index.ts';
import { printPacket, type Way } from '../src/simulate/index.ts';
import type { Seen, Traced, Tuple } from './kernel.ts';

export interface Story {
  /** `HOST LINK PACKET` of each link it came in by, `lo` included. */
  readonly arrivals: readonly string[];
  /** The mark it had last on each host that it passed or died on, in order. */
  readonly marks: readonly string[];
  readonly ending: string;
}

const address = (text: string) => {
  const read = parseAddress(text);
  if (read === undefined) throw new Error(`not an address: ${text}`);
  return read;
};

const tupleText = ({ source, destination, ...rest }: Tuple): string =>
  printPacket({ ...rest, source: address(source), destination: address(destination) });

const hex = (mark: number): string => `0x${mark.toString(16)}`;

/** The model's; undefined where it does not decide. */
export function modelStory(way: Way): Story | undefined {
  const { verdict, hops } = way;
  if (verdict === 'undecided') return undefined;
  const arrivals = hops.flatMap((hop, at) => {
    // Before any socket saw it.
    if (hops[at + 1]?.detail.startsWith('dropped: larger than its MTU') === true) return [];
    const found = hop.stage === 'link' ? /^(.*) comes in by (.*)$/.exec(hop.detail) : null;
    return found === null ? [] : [`${hop.host} ${found[2]} ${found[1]}`];
  });
  return {
    arrivals,
    marks: byHost(modelMarks(hops.filter(({ carries }) => carries !== true))),
    ending: modelEnding(way),
  };
}

function modelEnding({ verdict, reason = '', packet, host, link, through, carrier }: Way): string {
  if (carrier !== undefined) return carrier.verdict === 'delivered' ? `died on ${carrier.host}` : modelEnding(carrier);
  const text = printPacket(packet);
  switch (verdict) {
    case 'delivered':
      return host === undefined
        ? `outside by ${through.at(-1)} ${link}: ${text}`
        : `delivered to ${host} with mark ${hex(packet.mark)}: ${text}`;
    case 'exits':
      return `outside by ${host} ${link}: ${text}`;
    case 'looped':
    case 'undecided':
      return verdict;
    case 'dropped':
    case 'rejected':
    case 'unreachable': {
      const by = /^\S+ (?:drops|rejects) .*? in (\S+): (.*)$/s.exec(reason);
      if (/drops what is larger than its MTU/.test(reason)) return `died on ${through.at(-2) ?? through.at(-1)}`;
      return by === null ? `died on ${through.at(-1)}` : `dropped on ${through.at(-1)}: ${by[2]}`;
    }
  }
}

/** Of each host in order: which of two hosts told first, their sockets do not say. */
const byHost = (marks: readonly string[]): readonly string[] =>
  marks.toSorted((left, right) => left.slice(0, 2).localeCompare(right.slice(0, 2)));

/** A mark lasts from the hook where it is set until the packet leaves the host. */
function modelMarks(hops: Way['hops']): readonly string[] {
  const marks: string[] = [];
  let passage: string | undefined;
  for (const { host, stage, detail } of hops) {
    if (stage === 'link' && detail.startsWith('dropped')) {
      // Before nft could begin to trace it.
      marks.pop();
      continue;
    }
    if (stage === 'link' || passage === undefined) {
      // By lo the very same packet comes back, its mark too.
      marks.push(detail.endsWith(' comes in by lo') ? (marks.at(-1) ?? `${host} 0x0`) : `${host} 0x0`);
      passage = host;
    }
    const mark = /^mark (0x[0-9a-f]+)/.exec(detail)?.[1];
    if (mark !== undefined) marks[marks.length - 1] = `${host} ${mark}`;
  }
  return marks;
}

/** The kernel's. */
export function kernelStory(seen: Seen, states: ReadonlyMap<string, HostState>): Story {
  const arrivals = seen.links.flatMap((each) =>
    each.direction === 'in' && each.host !== 'outside' ? [`${each.host} ${each.link} ${tupleText(each)}`] : [],
  );
  return {
    arrivals,
    marks: byHost(kernelMarks(seen.trace.filter(({ carries }) => carries !== true))),
    ending: endingOf(seen, states),
  };
}

/** Each passage of a host begins with the probe's first chain. */
function kernelMarks(trace: readonly Traced[]): readonly string[] {
  const marks: string[] = [];
  for (const { host, table, chain, handle, mark } of trace) {
    const begins = table === 'probe' && (chain === 'prerouting' || chain === 'output') && handle !== undefined;
    if (begins || marks.length === 0) marks.push('');
    marks[marks.length - 1] = `${host} ${hex(mark)}`;
  }
  return marks;
}

function endingOf({ delivered, links, trace, error }: Seen, states: ReadonlyMap<string, HostState>): string {
  const [to, ...more] = delivered;
  if (to !== undefined)
    return `delivered to ${to.host} with mark ${hex(to.mark)}: ${tupleText(to)}${more.length > 0 ? ' and again' : ''}`;
  const out = links.find(({ host, direction }) => host === 'outside' && direction === 'in');
  if (out !== undefined) return `outside by ${out.link.replace('-', ' ')}: ${tupleText(out)}`;
  if (links.filter(({ direction, host }) => direction === 'in' && host !== 'outside').length > 50) return 'looped';
  const dropped = trace.find(({ verdict }) => verdict === 'drop');
  if (dropped !== undefined)
    return `dropped on ${dropped.host}: ${ruleOf(dropped, states.get(dropped.host)?.tables ?? [])}`;
  const last = links.findLast(({ direction }) => direction === 'in')?.host ?? trace.at(-1)?.host;
  return last === undefined ? `not sent (${error ?? 'and no error'})` : `died on ${last}`;
}

function ruleOf({ family, table: name, chain: chainName, handle, type }: Traced, tables: readonly Table[]): string {
  const table = tables.find((each) => each.family === family && each.name === name);
  const chain = table?.chains.find((each) => each.name === chainName);
  if (table === undefined || chain === undefined) return `${family} ${name} ${chainName}, which was not read`;
  if (type === 'policy' && chain.kind === 'base')
    return printReference({ table, chain: chainName, policy: chain.policy });
  const rule: Rule | undefined = chain.rules.find((each) => each.handle === handle);
  return rule === undefined
    ? `${family} ${name} ${chainName}: rule ${handle}, which was not read`
    : printReference({ table, chain: chainName, rule });
}

/**
 * Where the model takes any free port, it takes one of these, none of which is drawn. A packet that goes in a circle may take one each
 * time round: a thousand did not last for the flows of a network.
 */
export const FREE_PORTS = { first: 10_000, count: 20_000 } as const;
/** The free ports of the model to those that the kernel took instead. */
export type Ports = Map<number, number>;

/** Learns from two texts that are alike but for a port that was free to choose. */
function learn(model: string, kernel: string, ports: Ports): void {
  const [ours, theirs] = [model, kernel].map((text) => text.split(/(:\d+)(?= |\/)/));
  for (const [at, part] of (ours ?? []).entries()) {
    const port = Number(part.slice(1));
    const other = theirs?.[at];
    if (!/^:\d+$/.test(part) || port < FREE_PORTS.first || port >= FREE_PORTS.first + FREE_PORTS.count) continue;
    if (!ports.has(port) && other !== undefined && /^:\d+$/.test(other)) ports.set(port, Number(other.slice(1)));
  }
}

const turned = (text: string, ports: Ports): string =>
  text.replace(/:(\d+)(?= |\/)/g, (whole, port: string) => {
    const real = ports.get(Number(port));
    return real === undefined ? whole : `:${real}`;
  });

/** Where the model does not know which of several rules it was, the kernel's may be any of them. */
function endingBeside({ ending }: Story, kernel: Story): string {
  const [, where, rules = ''] = /^(dropped on \S+: )(.*)$/s.exec(ending) ?? [];
  const told = rules.split(', or by ').map((rule) => `${where}${rule}`);
  return told.find((each) => each === kernel.ending) ?? ending;
}

/** How two stories differ; undefined where they do not. */
export function differenceOf(model: Story, kernel: Story, ports: Ports): string | undefined {
  if (model.ending === 'looped' && kernel.ending === 'looped') return undefined;
  const isUnsent =
    model.ending.startsWith('died on ') && kernel.ending.startsWith('not sent') && model.arrivals.length === 0;
  for (const [at, arrival] of model.arrivals.entries()) learn(arrival, kernel.arrivals[at] ?? '', ports);
  learn(model.ending, kernel.ending, ports);
  const told: string[] = [];
  const compare = (what: string, ours: readonly string[], theirs: readonly string[]): void => {
    const [left, right] = [ours.map((text) => turned(text, ports)).join('; '), theirs.join('; ')];
    if (left !== right) told.push(`${what}:\n    model  ${left}\n    kernel ${right}`);
  };
  if (!isUnsent) compare('ending', [endingBeside(model, kernel)], [kernel.ending]);
  compare('arrivals', model.arrivals, kernel.arrivals);
  if (kernel.marks.length > 0) compare('marks', model.marks, kernel.marks);
  return told.length === 0 ? undefined : told.join('\n  ');
}
