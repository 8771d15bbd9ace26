/** A scenario by the kernel and by the model, packet by packet, to the first difference. */
import type { HostState } from '../src/host/index.ts';
import { type Address, parseAddress, printAddress } from '../src/net/index.ts';
import {
  buildNetwork,
  type Connections,
  type Draws,
  findTunnels,
  type Flow as ModelFlow,
  type Network,
  simulate,
  startDraws,
  type Way,
} from '../src/simulate/index.ts';
import { startJournal } from './journal.ts';
import { type Kernel, type Leg, outsideOf, type Seen, type Step, startKernel } from './kernel.ts';
import { isDrawnPort } from './rules.ts';
import type { Flow, Scenario } from './scenario.ts';
import { differenceOf, FREE_PORTS, kernelStory, modelStory, type Ports, type Story } from './story.ts';

export interface Result {
  /** Flows compared to their end, in all that they sent. */
  readonly checks: number;
  readonly packets: number;
  /** Of flows that the model does not decide: why, each. */
  readonly undecided: readonly string[];
  /** What the scenarios really come to: `PROTOCOL VERDICT` of requests, and parts of the grammar. */
  readonly reached: ReadonlySet<string>;
  readonly difference?: { readonly flow: number; readonly packet: string; readonly text: string };
}

const at = (text: string): Address => {
  const read = parseAddress(text);
  if (read === undefined) throw new Error(`not an address: ${text}`);
  return read;
};

export async function checkScenario(scenario: Scenario): Promise<Result> {
  const { kernel, states, neighbours } = await startKernel(scenario);
  await using _ = kernel;
  const hosts = [...states].map(([name, state]) => ({ name, state, openAddresses: [] }));
  const network = buildNetwork(hosts, findTunnels(hosts), { segments: new Map(), neighbours, unknown: true });
  let connections: Connections = new Map();
  const taken = new Map<number, number>();
  let checks = 0;
  let packets = 0;
  const undecided: string[] = [];
  const reached = new Set<string>();
  for (const [number, flow] of scenario.flows.entries()) {
    const outcome = checkFlow({ kernel, states, network, connections, taken }, flow, number);
    packets += outcome.packets;
    if (outcome.undecided === undefined) checks++;
    else undecided.push(outcome.undecided);
    // What the hosts track now the model does not know.
    const forgets = outcome.undecided !== undefined || outcome.isReset;
    if (forgets) {
      connections = new Map();
      taken.clear();
    }
    kernel.end(forgets ? 'forget' : 'close');
    for (const what of outcome.reached) reached.add(what);
    if (outcome.difference !== undefined)
      return { checks, packets, undecided, reached, difference: { ...outcome.difference, flow: number } };
  }
  return { checks, packets, undecided, reached };
}

interface Bench {
  readonly kernel: Kernel;
  readonly states: ReadonlyMap<string, HostState>;
  readonly network: Network;
  readonly connections: Connections;
  /** The ports that the kernel took for flows that it still tracks, each with the model's for it. */
  readonly taken: Map<number, number>;
}

interface Outcome {
  /** Somebody answered with a reset: what is tracked is on its way out, which the model does not know of. */
  readonly isReset: boolean;
  readonly packets: number;
  readonly reached: readonly string[];
  readonly undecided?: string;
  readonly difference?: { readonly packet: string; readonly text: string };
}

function checkFlow({ kernel, states, network, connections, taken }: Bench, flow: Flow, number: number): Outcome {
  const { from } = flow;
  const modelFlow: ModelFlow = {
    from:
      'link' in from
        ? { kind: 'beyond', host: from.host, link: from.link, address: at(from.source) }
        : { kind: 'host', host: from.host },
    ...{ to: at(flow.to), port: flow.port, sourcePort: flow.sourcePort },
    protocol: flow.protocol === 'icmp' && flow.to.includes(':') ? 'icmpv6' : flow.protocol,
    ...sizeOf(flow),
  };
  const told = tellAll({ network, connections }, modelFlow);
  if (told === undefined) return { packets: 0, reached: [], isReset: false, undecided: 'too many ways' };
  let [first, ...others] = told;
  const reached = [`${flow.protocol} ${first.ways[0]?.[1].verdict}`];
  let packets = 0;
  let seen: Seen | undefined;
  let isReset = false;
  for (const [at, leg] of LEGS.entries()) {
    const { ways, ports } = first;
    const way = ways[at]?.[1];
    if (way === undefined) break;
    if (seen === undefined || !followsByItself(flow, leg, ways)) {
      seen = kernel.send(withPorts(stepOf(flow, leg, number, ways, seen), ports));
    }
    // One that the rules of its own host dropped ended the connection there all the same.
    isReset ||= [...seen.links, ...seen.trace].some((each) => each.leg === 'reset');
    packets++;
    const why = [first, ...others].map((each) => undecidedOf(each.ways[at]?.[1])).find((each) => each !== undefined);
    if (why !== undefined) return { packets, reached, isReset, undecided: why };
    const ofKernel = kernelStory(onlyOf(seen, legAs(flow, leg)), states);
    const differences = [first, ...others].map((each) => differenceFrom(each.ways[at]?.[1], ofKernel, each.ports));
    const text = differences.every((each) => each !== undefined) ? differences[0] : undefined;
    const alike = [first, ...others].filter((_, index) => differences[index] === undefined);
    [first, ...others] = [alike[0] ?? first, ...alike.slice(1)];
    const kept = text ?? keptPort(flow, first.ports);
    if (metDrawnPort(flow, seen, first.ports))
      return { packets, reached, isReset, undecided: 'the kernel took a port that is drawn' };
    if (metTakenPort(first.ports, taken))
      return { packets, reached, isReset, undecided: 'the kernel took the port of another flow' };
    if (kept !== undefined)
      return {
        ...{ packets, reached, isReset },
        difference: { packet: leg, text: `${kept}${seen.lost === true ? ' (messages were lost)' : ''}` },
      };
    reached.push(...partsOf(first.ways[at]?.[1] ?? way));
    // The packets after it meet what the reset left.
    if (isReset) break;
  }
  settleOn({ network, connections }, modelFlow, first);
  for (const [model, real] of first.ports) taken.set(real, model);
  if (isReset) reached.push('a reset');
  if (first.ports.size > 0) reached.push('a source port that was taken');
  return { packets, reached, isReset };
}

/** What the model says by one of the ways that chance may choose. */
interface Told {
  readonly ways: Ways;
  /** What was drawn for it; none: there is no other. */
  readonly drawn: readonly number[];
  readonly ports: Ports;
}

const LEGS = ['request', 'reply', 'next', 'again'] as const;
const MOST_WAYS = 64;

/** By every way, the first of them at least; undefined where there are too many. */
function tellAll(bench: Pick<Bench, 'network' | 'connections'>, flow: ModelFlow): [Told, ...Told[]] | undefined {
  const from = freePorts;
  const told: Told[] = [];
  const pending: (readonly number[])[] = [[]];
  for (let given = pending.pop(); given !== undefined; given = pending.pop()) {
    freePorts = from;
    const journal = startJournal(bench.connections, bench.network.hosts.keys());
    const draws = startDraws(given);
    const { request, reply, next, again } = simulate(bench.network, flow, {
      ...{ connections: journal.connections, hops: true, carriers: true, freePort, draws: eachTime(draws) },
    });
    const ways: Ways = [
      ['request', request],
      ...(reply === undefined ? [] : [['reply', reply] as const]),
      ...(next === undefined ? [] : [['next', next] as const]),
      ...(again === undefined ? [] : [['again', again] as const]),
    ];
    const drawn = draws.drawn.map(({ way }) => way);
    told.push({ ways, drawn, ports: new Map() });
    if (draws.drawn.length === 0) return [{ ways, drawn, ports: new Map() }];
    journal.undo();
    for (const [index, { of }] of draws.drawn.entries())
      for (let way = 1; index >= given.length && way < of; way++) pending.push([...drawn.slice(0, index), way]);
    if (told.length + pending.length > MOST_WAYS) return undefined;
  }
  const [first, ...others] = told;
  freePorts = from;
  return first && [first, ...others];
}

/** A rule with a range decides anew for each connection: one that comes round again may get another. */
const eachTime = (draws: Draws): Draws => ({
  ...draws,
  draw: (at, count) => draws.draw({ ...at, ...(at.rule && { rule: { ...at.rule } }) }, count),
});

/** What hosts track is now as that way left it. */
function settleOn(
  { network, connections }: Pick<Bench, 'network' | 'connections'>,
  flow: ModelFlow,
  { drawn }: Told,
): void {
  if (drawn.length === 0) return;
  simulate(network, flow, { connections, hops: true, carriers: true, freePort, draws: eachTime(startDraws(drawn)) });
}

const undecidedOf = (way: Way | undefined): string | undefined =>
  way?.verdict === 'undecided' ? (way.reason ?? 'no reason') : undefined;

function differenceFrom(way: Way | undefined, kernel: Story, ports: Ports): string | undefined {
  const told = way && modelStory(way);
  return told === undefined ? 'the model says nothing of it' : differenceOf(told, kernel, ports);
}

/** A port that was taken is no port that the kernel takes instead. */
const keptPort = ({ sourcePort }: Flow, ports: Ports): string | undefined =>
  [...ports.values()].includes(sourcePort) ? 'the model takes another source port, the kernel keeps it' : undefined;

/** Of the ports that the kernel takes at random some are drawn, too: then rules and other flows meet what the model does not know of. */
const metDrawnPort = ({ sourcePort, protocol }: Flow, { links }: Seen, ports: Ports): boolean =>
  (protocol === 'icmp'
    ? links.flatMap(({ carries, sourcePort: port }) => (carries === true ? [] : [port]))
    : [...ports.values()]
  ).some((port) => port !== sourcePort && isDrawnPort(port));

/** Of a range of 200 two flows often get the same port by chance: where they meet behind another translation, the model sees two ports. */
const metTakenPort = (ports: Ports, taken: Bench['taken']): boolean =>
  [...ports].some(([model, real]) => (taken.get(real) ?? model) !== model);

/** Parts of the grammar, as hops tell that a packet met them. */
const PARTS: readonly (readonly [name: string, told: RegExp])[] = [
  ['a rule of iptables', / -A /],
  ['INVALID', /^INVALID/],
  ['untracked', /\buntracked\b/],
  ['a zone', /\bconntrack zone\b/],
  ['a mark', /\bmark 0x[1-9a-f]/],
  ["a connection's mark", /\bconnection mark 0x[1-9a-f]/],
  ['a source translated', /^source .* becomes /],
  ['a destination translated', /^destination .* becomes /],
  ['lo', / comes in by lo$/],
  ['a rule by mark', / fwmark /],
  ['a martian', /^a martian/],
  ['a tunnel', / comes in by vx\d$/],
  ["a tunnel's mark", /stays from the packet around it$/],
  ['a tunnel that does not carry', /^the packets of vx\d itself do not arrive/],
  ['fragmented', /^fragmented: /],
  ['put together', /^put together again/],
  ['too big for a router', /^dropped: \d+ bytes do not fit; /],
  ['too big for its sender', /^not sent: \d+ bytes do not fit/],
  ['too big for the far end', /^dropped: larger than its MTU/],
  ['one of several next hops', /^by chance by /],
  ['a range', /(?: to | --to-\S+ )\S*\d-\[?\S*\d/],
  ['a limit', /\blimit rate |--limit /],
  ['a quota', /quota/],
  ['rp_filter', /^the source is not believed/],
];

export const PART_NAMES: readonly string[] = [
  ...PARTS.map(([name]) => name),
  ...['a reset', 'a source port that was taken'],
];

const partsOf = ({ hops }: Way): readonly string[] =>
  PARTS.flatMap(([name, told]) =>
    hops.some(({ detail, decidedBy }) => told.test(`${detail}`) || told.test(decidedBy)) ? [name] : [],
  );

/** After an echo comes another, which looks as the first. */
const legAs = ({ protocol }: Flow, leg: Sent): Leg =>
  leg === 'again' ? 'reply' : protocol === 'icmp' && leg === 'next' ? 'request' : leg;

/** `again`: the answer to the next echo. */
type Sent = Leg | 'again';
type Ways = readonly (readonly [Sent, Way])[];
/** What each answers, or follows. */
const BEFORE: Readonly<Record<Exclude<Sent, 'request'>, Sent>> = { reply: 'request', next: 'reply', again: 'next' };

/** Whether a kernel answers so without anybody's doing: to a SYN, to the answer to its own SYN, to an echo. */
function followsByItself({ protocol, from }: Flow, leg: Sent, ways: Ways): boolean {
  if (protocol === 'udp' || leg === 'request') return false;
  const before = wayOf(ways, BEFORE[leg]);
  if (before?.verdict !== 'delivered') return false;
  if (leg === 'next') return protocol === 'tcp' && !('link' in from);
  return before.host !== undefined;
}

const wayOf = (ways: Ways, leg: Sent): Way | undefined => ways.find(([each]) => each === leg)?.[1];

const onlyOf = (seen: Seen, leg: Leg): Seen => {
  const of = (each: { readonly leg?: Leg | 'reset' }): boolean => each.leg === undefined || each.leg === leg;
  return { ...seen, trace: seen.trace.filter(of), links: seen.links.filter(of), delivered: seen.delivered.filter(of) };
};

/** Each a port that nobody else uses, so that it is known again beside the one that the kernel took. */
let freePorts = 0;
const freePort = (): number => FREE_PORTS.first + (freePorts++ % FREE_PORTS.count);

/** The ports that the model chose, as the kernel chose them. */
function withPorts(step: Step, ports: Ports): Step {
  const real = (port: number): number => ports.get(port) ?? port;
  if (step.kind === 'ask') return step;
  const turned = <T extends { readonly sourcePort: number; readonly destinationPort: number }>(tuple: T): T => ({
    ...tuple,
    sourcePort: real(tuple.sourcePort),
    destinationPort: real(tuple.destinationPort),
  });
  return step.kind === 'inject' ? { ...step, packet: turned(step.packet) } : turned(step);
}

const NUMBERS = { udp: 17, tcp: 6 } as const;
const numberOf = ({ protocol, to }: Flow): number =>
  protocol === 'icmp' ? (to.includes(':') ? 58 : 1) : NUMBERS[protocol];

const [SYN, ACK] = [2, 16];
/** Of the client outside. */
const SEQ = 1000;

const sizeOf = ({ size, df }: Flow): Pick<Flow, 'size' | 'df'> => ({
  ...(size !== undefined && { size }),
  ...(df === true && { df }),
});

/** What is sent for a packet of the flow. `before` is what was seen of the last one. */
function stepOf(flow: Flow, leg: Sent, number: number, ways: Ways, before: Seen | undefined): Step {
  const answered = leg === 'reply' || leg === 'again' ? wayOf(ways, BEFORE[leg]) : undefined;
  if (answered !== undefined) return replyTo(flow, answered, number, before);
  const { from, to, sourcePort, port } = flow;
  const protocol = numberOf(flow);
  const destinationPort = flow.protocol === 'icmp' ? sourcePort : port;
  const packet = { sourcePort, destinationPort, destination: to, payload: `fuzz ${number}`, protocol, ...sizeOf(flow) };
  if (!('link' in from)) return { kind: 'ask', space: from.host, ...packet };
  const seq = before?.links.findLast((each) => each.leg === 'reply' && each.seq !== undefined)?.seq;
  return {
    ...{ kind: 'inject', link: outsideOf(from.host, from.link) },
    packet: {
      ...{ ...packet, source: from.source, seq: SEQ, flags: SYN },
      ...(leg === 'next' && seq !== undefined && { flags: ACK, seq: SEQ + 1, ack: seq + 1 }),
    },
  };
}

/** From where the model says the request came to; that the kernel says so too was compared before. */
function replyTo(
  flow: Flow,
  { packet, verdict, host = '', link = '' }: Way,
  number: number,
  before: Seen | undefined,
): Step {
  const came = before?.links.findLast((each) => each.host === 'outside');
  // The model does not tell an echo's id, which the kernel may have changed.
  const id = flow.protocol === 'icmp' ? came?.sourcePort : undefined;
  const tuple = {
    ...{ source: printAddress(packet.destination), destination: printAddress(packet.source) },
    ...{
      protocol: packet.protocol,
      payload: `fuzz ${number}`,
      ...(packet.size !== undefined && flow.protocol === 'icmp' && { size: packet.size }),
    },
    ...{ sourcePort: id ?? packet.destinationPort, destinationPort: id ?? packet.sourcePort },
  };
  if (verdict === 'delivered') return { kind: 'answer', space: host, ...tuple };
  const answer = { flags: SYN | ACK, seq: SEQ, ack: (came?.seq ?? 0) + 1, answers: true as const };
  return { kind: 'inject', link: outsideOf(host, link), packet: { ...tuple, ...answer } };
}
