/** What is proven of a set of resources, held against real packets: drawn, applied by the driver to a lab, and asked for by real clients. */
import { type ManagedHost, type Observation, observeAll, prepare } from '../../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../../drivers/index.ts';
import type { HostFacts } from '../../host/index.ts';
import { type ConnectResult, type Lab, labEntry, patient, startLab } from '../../lab/index.ts';
import { type Address, containsAddress, parseAddress, parsePrefix, printAddress } from '../../net/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { type Flow, type Network, simulateAll } from '../../simulate/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { futureNetwork, type Promised, verifyPlan } from '../../verify/index.ts';
import type { Compiled } from '../../compile/index.ts';
import { aimOfSet } from '../aims.ts';
import { type Drawn, type DrawnPorts, drawSet, PUBLIC } from './proven-draw.ts';
import { randomFrom } from './random.ts';
import { waitFor, wg } from './story.ts';

/** Counts of one drawn set, or of many. */
export interface Confirmed {
  readonly sets: number;
  /** Sets that do not compile. */
  readonly refused: number;
  readonly holding: number;
  readonly broken: number;
  /** Of those, by packets that were sent. */
  readonly brokenSeen: number;
  readonly undecided: number;
  readonly packets: number;
  readonly answered: number;
  /** What the kernel did otherwise than was said. */
  readonly differences: readonly string[];
}

export const NOTHING: Confirmed = {
  ...{ sets: 0, refused: 0, holding: 0, broken: 0, brokenSeen: 0, undecided: 0, packets: 0, answered: 0 },
  differences: [],
};

export const addConfirmed = (left: Confirmed, right: Confirmed): Confirmed => ({
  ...{ sets: left.sets + right.sets, refused: left.refused + right.refused, holding: left.holding + right.holding },
  ...{ broken: left.broken + right.broken, brokenSeen: left.brokenSeen + right.brokenSeen },
  ...{ undecided: left.undecided + right.undecided, packets: left.packets + right.packets },
  answered: left.answered + right.answered,
  differences: [...left.differences, ...right.differences],
});

/** One packet to send, and what is said of it. */
interface Probe {
  readonly ports: DrawnPorts;
  readonly edge: string;
  /** From a client of the Internet, or the edge itself. */
  readonly from: { readonly client: Address } | 'edge';
  readonly flow: Flow;
  readonly isAllowed: boolean;
  /** The forward is there in this family. */
  readonly isForwarded: boolean;
}

/** By the model; `seen`: the address that the target sees. */
type Foretold =
  | { readonly kind: 'answered'; readonly seen: string; readonly at: readonly Place[] }
  | { readonly kind: 'lost' | 'undecided' };

interface Place {
  readonly host: string;
  readonly address: Address;
  readonly port: number;
}

const NEVER = new AbortController().signal;
const kernel: SharedKernel = {};

/** Draws a set, carries it out, and compares. */
async function confirmSet(seed: number): Promise<Confirmed> {
  const drawn = drawSet(seed);
  const { set, problems } = loadResources([{ name: `seed ${seed}`, text: drawn.documents }]);
  if (set === undefined) throw new Error(`seed ${seed}: ${problems.map(({ what }) => what).join('; ')}`);
  await using lab = await startLab(drawn.topology);
  await prepareHosts(lab, drawn);
  const managed = managedOf(lab, set);
  const facts = await factsWithKeys(managed, set);
  const aimFor = aimOfSet(set, 'default');
  const compiled = aimFor(facts);
  if (compiled.problems.length > 0) return { ...NOTHING, sets: 1, refused: 1 };
  const promises = verifyPlan({ set, compiled, facts });
  const network = futureNetwork(set, compiled, facts);
  const plan = prepare(facts, aimFor, 'add');
  // Whoever is dialled first: else the one that dials waits five seconds to try again.
  for (const { host, changes } of plan.hosts.toReversed())
    await managed.find(({ name }) => name === host)?.driver.apply(changes, { signal: NEVER });
  await handshakes(lab, compiled);
  return await confirm(lab, { seed, drawn, network, promises, compiled });
}

/** So many labs at a time: each waits more than it works. */
const AT_ONCE = 4;

export interface Sets {
  /** The first seed. */
  readonly from: number;
  readonly count: number;
  readonly onSet: (seed: number, confirmed: Confirmed) => unknown;
}

/** Many sets, by seeds in a row. */
export async function confirmSets({ from, count, onSet }: Sets): Promise<void> {
  let next = from;
  const work = async (): Promise<void> => {
    while (next < from + count) {
      const seed = next++;
      onSet(seed, await confirmSet(seed));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** The client is whoever it says that it is. */
const EVERYBODY = ['8.8.8.0/24', '203.0.113.0/24', '192.0.2.201', '2001:db8:c::/64', '2001:db8:ffff::/48', '2600::/16']
  .map((prefix) => `ip route add local ${prefix} dev lo`)
  .join('\n');

async function prepareHosts(lab: Lab, { prepare }: Drawn): Promise<void> {
  await Promise.all(
    [['client', EVERYBODY] as const, ...prepare].map(([host, script]) =>
      lab.host(host).run(['sh', '-e'], { stdin: `${script}\n` }),
    ),
  );
}

const managedOf = (lab: Lab, set: ResourceSet): readonly ManagedHost[] =>
  [...set.hosts.keys()].map((name) => {
    const transport = namespaceTransport(name, name, { entry: labEntry(lab) });
    return { name, transport, driver: linuxDriver(transport, kernel) };
  });

/** As they stand, with the keys that the set asks for. */
async function factsWithKeys(managed: readonly ManagedHost[], set: ResourceSet): Promise<ReadonlyMap<string, HostFacts>> {
  const facts = new Map([...(await observeAll(managed, NEVER))].map(([name, seen]) => [name, factsIn(name, seen)]));
  const { hosts } = prepare(facts, aimOfSet(set, 'default'), 'add');
  for (const { host, aim } of hosts) {
    const [own, driver] = [facts.get(host), managed.find(({ name }) => name === host)?.driver];
    if (aim.keyLinks.length === 0 || own === undefined || driver === undefined) continue;
    facts.set(host, { ...own, keys: await driver.makeKeys(aim.keyLinks, NEVER) });
  }
  return facts;
}

/** A tunnel that dials is up once both ends have met. */
async function handshakes(lab: Lab, { hosts }: Compiled): Promise<void> {
  const dialling = [...hosts.values()].filter(({ share }) =>
    share.tunnels.some(({ type, peer }) => type === 'WireGuard' && peer.endpoint !== undefined),
  );
  await Promise.all(
    dialling.map(({ name }) =>
      waitFor(`the tunnels of ${name}`, async () =>
        (await wg(lab, name, 'show', 'all', 'latest-handshakes')).split('\n').every((line) => !line.endsWith('\t0')),
      ),
    ),
  );
}

function factsIn(name: string, seen: Observation): HostFacts {
  if (seen.kind !== 'observed') throw new Error(`${name}: ${seen.reason}`);
  return seen.facts;
}

// ---- packets

interface Applied {
  readonly seed: number;
  readonly drawn: Drawn;
  readonly network: Network;
  readonly promises: readonly Promised[];
  readonly compiled: Compiled;
}

async function confirm(lab: Lab, applied: Applied): Promise<Confirmed> {
  const { promises, network } = applied;
  const probes = probesOf(applied).map((probe) => ({ probe, foretold: foretell(network, probe.flow) }));
  await serveAll(lab, probes.flatMap(({ probe, foretold }) => (foretold.kind === 'answered' ? foretold.at.map((place) => ({ ...place, protocol: probe.ports.protocol })) : [])));
  const sent = await Promise.all(
    probes.map(async ({ probe, foretold }) => ({ probe, foretold, got: await send(lab, probe, foretold) })),
  );
  const differences = sent.flatMap((each) => differencesIn(promises, each));
  const broken = promises.filter(({ holds }) => holds === false);
  return {
    ...{ sets: 1, refused: 0, broken: broken.length },
    holding: promises.filter(({ holds }) => holds === true).length,
    undecided: promises.filter(({ holds }) => holds === 'undecided').length,
    brokenSeen: broken.filter((promise) => sent.some(({ probe, got }) => breaks(promise, probe, got))).length,
    packets: sent.length,
    answered: sent.filter(({ got }) => got.ok).length,
    differences: differences.map((each) => `seed ${applied.seed}: ${each}`),
  };
}

/** Each forward at each of its edges and families: everybody whom rules speak of at some port, and strangers at each of its ends. */
function probesOf({ seed, drawn, compiled }: Applied): readonly Probe[] {
  const random = randomFrom(seed ^ 0x5eed);
  const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  let next = 2000;
  const taken = new Set<string>();
  const sourcePortOf = (client: string): number => {
    const known = random() < 0.25 ? oneOf(drawn.sourcePorts) : undefined;
    if (known === undefined || taken.has(`${client} ${known}`)) return next++;
    taken.add(`${client} ${known}`);
    return known;
  };
  return drawn.ports.flatMap((ports) =>
    ports.edges.flatMap((edge) =>
      ([4, 6] as const).flatMap((family): readonly Probe[] => {
        const to = parse(PUBLIC[family][drawn.edges.indexOf(edge)] ?? '');
        const ends = [...new Set([ports.first, ports.first + ports.count - 1])];
        const middle = ports.first + Math.floor(random() * ports.count);
        const isForwarded =
          compiled.hosts
            .get(edge)
            ?.share.forwards.some(({ name, to: aim }) => name === ports.forward && aim.family === family) === true;
        const [known, strangers] = [drawn.clients[family].slice(0, -2), drawn.clients[family].slice(-2)];
        const some = [oneOf(known), oneOf(known), oneOf(known), oneOf(strangers)];
        const asked = [...ends.map((port) => [strangers[0], port] as const), ...some.map((client) => [client, oneOf([...ends, middle])] as const)];
        const outside = asked.map(([text = '', port = ports.first]): Probe => {
          const client = parse(text);
          const flow: Flow = {
            from: { kind: 'beyond', host: edge, link: 'eth0', address: client },
            ...{ to, port, protocol: ports.protocol, sourcePort: sourcePortOf(text) },
          };
          return { ports, edge, from: { client }, flow, isAllowed: isAllowed(ports, client), isForwarded };
        });
        const own: Flow = { from: { kind: 'host', host: edge }, to, port: ports.first, protocol: ports.protocol, sourcePort: next++ };
        const all = [...outside, { ports, edge, from: 'edge' as const, flow: own, isAllowed: isAllowed(ports, to), isForwarded }];
        return all;
      }),
    ),
  );
}

function parse(text: string): Address {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(`no address: ${text}`);
  return found;
}

const isAllowed = ({ allow }: DrawnPorts, client: Address): boolean =>
  allow === undefined ||
  allow.some((text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && containsAddress(prefix, client);
  });

function foretell(network: Network, flow: Flow): Foretold {
  const { traces, complete } = simulateAll(network, flow);
  const works = new Set(traces.map((trace) => trace.works));
  if (!complete || works.size > 1 || works.has('undecided')) return { kind: 'undecided' };
  // On the edge itself nobody listens.
  const isOwn = traces.some(({ request }) => request.host === flow.from.host && request.verdict === 'delivered');
  if (!works.has(true) || isOwn) return { kind: 'lost' };
  const at = traces.flatMap(({ request: { host, packet } }) => (host === undefined ? [] : [{ host, address: packet.destination, port: packet.destinationPort }]));
  return { kind: 'answered', at, seen: printAddress(traces[0].request.packet.source) };
}

async function serveAll(lab: Lab, places: readonly (Place & { readonly protocol: 'tcp' | 'udp' })[]): Promise<void> {
  const distinct = new Map(places.map((each) => [`${each.host} ${each.protocol} ${printAddress(each.address)} ${each.port}`, each]));
  await Promise.all(
    [...distinct.values()].map(({ host, protocol, address, port }) =>
      lab.serve(host, { protocol, port, address: printAddress(address) }),
    ),
  );
}

/** What came of it: what was foretold is waited for, what was not is not waited for long. */
async function send(lab: Lab, { from, flow }: Probe, foretold: Foretold): Promise<ConnectResult> {
  const ask = (timeoutMs: number): Promise<ConnectResult> =>
    lab.connect(from === 'edge' ? flow.from.host : 'client', {
      ...{ protocol: flow.protocol === 'udp' ? 'udp' : 'tcp', to: printAddress(flow.to), port: flow.port },
      ...{ timeoutMs: patient(timeoutMs), ...(flow.sourcePort !== undefined && { sourcePort: flow.sourcePort }) },
      ...(from !== 'edge' && { sourceAddress: printAddress(from.client) }),
    });
  return await ask(foretold.kind === 'answered' ? 5_000 : 500);
}

// ---- what is said, beside what came

interface Sent {
  readonly probe: Probe;
  readonly foretold: Foretold;
  readonly got: ConnectResult;
}

function differencesIn(promises: readonly Promised[], { probe, foretold, got }: Sent): readonly string[] {
  const { flow, edge, ports, isAllowed: allowed, isForwarded, from } = probe;
  const name = `PortForward/${ports.forward}`;
  const own = promises.filter(({ resource, holds }) => resource === name && holds === true);
  const of = (...starts: readonly string[]): Promised | undefined =>
    own.find(({ promise }) => starts.some((start) => promise.startsWith(start)));
  const who = `${ports.forward}: ${from === 'edge' ? edge : printAddress(from.client)}:${flow.sourcePort} → ${printAddress(flow.to)}:${flow.port}/${flow.protocol}`;
  const came = got.ok ? `answered, seen as ${got.saw?.client.address}` : got.error;
  const wrong = (what: string): readonly string[] => [`${who}: ${what}, and the kernel: ${came}`];
  if (foretold.kind === 'answered' && (!got.ok || (from !== 'edge' && got.saw?.client.address !== foretold.seen)))
    return wrong(`answered, seen as ${foretold.seen}, says the model`);
  if (foretold.kind === 'lost' && got.ok) return wrong('lost, says the model');
  if (!isForwarded) return [];
  if (from === 'edge') {
    if (of(`reachable from ${edge} itself`) && allowed && !got.ok) return wrong('proven to reach it from the edge itself');
    return of(`not reachable from ${edge} itself`) && got.ok ? wrong('proven not to reach it from the edge') : [];
  }
  if (!allowed) return of(`nobody outside allow comes in by ${edge}`) && got.ok ? wrong('proven to be kept out') : [];
  const [reaches, answers] = [of(`reachable from outside by ${edge} `), of(`answers leave by ${edge},`)];
  const isExcepted = [reaches, answers].some((each) => each?.except !== undefined) && foretold.kind === 'lost';
  if (reaches && answers && !got.ok && !isExcepted) return wrong('proven to be answered');
  if (!got.ok) return [];
  const isOwn = got.saw?.client.address === printAddress(from.client);
  if (of("the target sees the client's own address") && !isOwn) return wrong('proven to be seen by its own address');
  return of("the client's address is hidden") && isOwn ? wrong('proven to be hidden') : [];
}

/** Whether a packet that was sent shows that a promise does not hold. */
function breaks({ resource, promise }: Promised, { ports, edge, from, isAllowed: allowed }: Probe, got: ConnectResult): boolean {
  if (resource !== `PortForward/${ports.forward}` || !promise.includes(edge)) return false;
  if (promise.startsWith('not reachable from') || promise.startsWith('nobody outside')) return got.ok;
  if (promise.startsWith('reachable from outside') || promise.startsWith('answers')) return from !== 'edge' && allowed && !got.ok;
  return promise.startsWith('reachable from') && from === 'edge' && !got.ok;
}
