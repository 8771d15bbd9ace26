/** A forward as strangers find it: each kind of client, at each port that is told apart, to each of its targets. */
import type { CompiledHost } from '../compile/index.ts';
import { type ForwardShare, type ForwardTarget, targetsOf } from '../host/index.ts';
import { printPortRange } from '../net/index.ts';
import type { Flow } from '../simulate/index.ts';
import { type Pair, pairs } from './balance.ts';
import { type Client, clientsOf } from './clients.ts';
import { excused } from './excuse.ts';
import { type Aims, alikeClass, type Expected, judgeOnce } from './judge.ts';
import { placesOf, portsOf } from './places.ts';
import { type PortKinds, portKindsAt } from './ports.ts';
import { type Finding, fulfilled, type Ground, type Judged } from './promise.ts';

export interface Forwards {
  readonly edge: CompiledHost;
  /** Of one resource. */
  readonly forwards: readonly ForwardShare[];
  readonly aims: Aims;
}

/** What every packet that matters says of the forwards' promises. */
export function askedByStrangers(ground: Ground, asked: Forwards): readonly Judged[] {
  const { edge, forwards, aims } = asked;
  const hosts = new Set([edge.name]);
  for (const forward of forwards)
    for (const target of targetsOf(forward)) hosts.add(aims(forward, target, edge.name).host);
  for (;;) {
    const known = hosts.size;
    const way = { hosts: [...hosts].sort(), kinds: portKindsAt(ground, [...hosts].sort()) };
    const judged = forwards.flatMap((forward) => judgeForward(ground, asked, forward, way));
    // Whom a packet met tells clients apart too.
    for (const { through } of judged) for (const host of through) hosts.add(host);
    if (hosts.size === known) return judged;
  }
}

/** The hosts on the way, and what they tell apart. */
interface OnTheWay {
  readonly hosts: readonly string[];
  readonly kinds: PortKinds;
}

function judgeForward(
  ground: Ground,
  { edge, aims }: Forwards,
  forward: ForwardShare,
  { hosts, kinds }: OnTheWay,
): readonly Judged[] {
  const { protocol } = forward;
  const { ports, isCut } = portsOf(forward, kinds.cuts);
  const expectedOf = (target: ForwardTarget): Expected => aims(forward, target, edge.name);
  return placesOf(forward, edge).flatMap(({ address, link }) => {
    const door = { host: edge.name, link, family: address.family, hosts };
    const { inside, isUsual, doubt } = clientsOf(ground, door, forward.policy?.allow);
    const { clients, isCut: isLeftOut } = together(inside, kinds.usual, kinds.sources);
    const flowTo = (port: number, { address: client, sourcePort }: Client): Flow => ({
      from: { kind: 'beyond', host: edge.name, link, address: client },
      ...{ to: address, port, protocol, ...(sourcePort !== undefined && { sourcePort }) },
    });
    const found = ports.flatMap(([port, targetPort], index) => {
      const flowOf = (client: Client): Flow => flowTo(port, client);
      const all = pairs(ground, forward, { clients, isUsual, flowOf, expectedOf });
      const question = { flowOf, expectedOf, targetPort, isAlike: kinds.isAlike };
      return [
        ...judgeClients(ground, edge.name, all.pairs, question),
        ...(index === 0 ? answeredAt(ground, edge.name, kinds, all.pairs, question) : []),
        ...all.missing.map(({ id }) => undecided(`none of the clients that were tried comes to ${id}`)),
      ];
    });
    const doubts = [
      ...(doubt === undefined ? [] : [doubt]),
      ...(isLeftOut || inside.length * kinds.answered.length > MOST_TOGETHER
        ? ['clients are told apart by address and by port in too many ways']
        : []),
      ...(isCut ? [`too many ports of ${protocol}/${printPortRange(forward.ports)} are told apart`] : []),
    ];
    return doubts.length === 0 ? found : [...found, ...doubts.map(undecided)];
  });
}

interface Question {
  readonly flowOf: (client: Client) => Flow;
  readonly expectedOf: (target: ForwardTarget) => Expected;
  readonly targetPort: number;
  /** Whether for all clients the same ports are alike. */
  readonly isAlike: boolean;
}

/** Each client at one port. */
function judgeClients(
  ground: Ground,
  edge: string,
  asked: readonly Pair[],
  { flowOf, expectedOf, targetPort, isAlike }: Question,
): readonly Judged[] {
  return asked.map(({ client, target }) => {
    const [flow, expected] = [flowOf(client), expectedOf(target)];
    const same = alikeClass(ground, edge, flow, expected, { targetPort, isAlike });
    const judged = judgeOnce(ground, edge, flow, expected, targetPort, same);
    return client.few === undefined && client.fewPorts === undefined ? judged : excused(judged, client);
  });
}

/** How rules meet the port of the client in answers: the same for all ports of a target, so one of them is asked. */
function answeredAt(
  ground: Ground,
  edge: string,
  { answered }: PortKinds,
  asked: readonly Pair[],
  { flowOf, expectedOf, targetPort }: Question,
): readonly Judged[] {
  if (answered.length === 0) return [];
  return asked.flatMap(({ client, target }) => {
    const [{ from, to, protocol }, expected] = [flowOf(client), expectedOf(target)];
    const where = from.kind === 'beyond' ? `${from.host} ${from.link} ${from.address.value}` : '';
    const aims = expected.aims.map(({ value }) => value).join();
    const key = `${where} ${to.family} ${protocol} ${expected.host} ${expected.masquerade} ${aims}`;
    const known = ground.answered.get(key);
    if (known !== undefined) return known;
    const found = together([client], undefined, answered)
      .clients.slice(1)
      .map((each) => excused(judgeOnce(ground, edge, flowOf(each), expected, targetPort), each));
    ground.answered.set(key, found);
    return found;
  });
}

/** Kinds of clients by address and by port together, beyond which not all are asked. */
const MOST_TOGETHER = 512;

/** Each kind of address with each kind of port to ask from, where those are few; else each with the usual other. */
function together(
  clients: readonly Client[],
  usual: number | undefined,
  sources: PortKinds['sources'],
): { readonly clients: readonly Client[]; readonly isCut: boolean } {
  const plain = usual === undefined ? clients : clients.map((client) => ({ ...client, sourcePort: usual }));
  if (sources.length === 0) return { clients: plain, isCut: false };
  const isCut = clients.length * (sources.length + 1) > MOST_TOGETHER;
  const others = isCut ? clients.slice(0, 1) : clients;
  const more = others.flatMap((client) =>
    sources.map(({ sourcePort, few }) => ({
      ...{ ...client, sourcePort, fewPorts: few },
    })),
  );
  return { clients: [...plain, ...more], isCut };
}

function undecided(reason: string): Judged {
  const finding: Finding = { holds: 'undecided', reason };
  const rest = { client: fulfilled, answers: fulfilled, fits: fulfilled, sized: fulfilled, untracked: fulfilled };
  return { reaches: finding, ...rest, through: [] };
}
