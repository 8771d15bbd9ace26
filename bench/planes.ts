/** What a packet costs: Sallyport's own rules beside plain routing, iptables and proxies, in rounds in which all take turns. */
import { randomFrom } from '../src/cli/testdata/random.ts';
import { makeFolder } from './documents.ts';
import { comparison, goalsMet, scale } from './figures.ts';
import { EDGE_CPU, ENDS_CPU, makeLoad, restShare, serveLoad, type Told } from './load.ts';
import type { Part } from './measure.ts';
import { readResidents } from './memory.ts';
import { COMPARED, isProxy, type Plane, SCALED, scaled, startPlane, targetOfPlane } from './plane.ts';
import { note, printSpread, type Samples, shuffled, spread } from './rounds.ts';
import { measureLoading } from './scale.ts';
import { type Pair, SERVE_PORT, type Site, startSite } from './site.ts';

export interface PlanesOptions {
  readonly sallyport: string;
  readonly seed: number;
  readonly rounds: number;
  /** How long each single load lasts. */
  readonly ms: number;
  /** How many forwards, least first. */
  readonly sizes: readonly number[];
}

const UDP = { perSecond: 50_000, bytes: 200 } as const;
const PARALLEL_CONNECTS = 16;

export async function measurePlanes(options: PlanesOptions): Promise<Part> {
  const { sizes, rounds, ms } = options;
  const random = randomFrom(options.seed);
  const sized = SCALED.flatMap((kind) => sizes.map((size) => scaled(kind, size)));
  const planes = [...COMPARED, ...sized.filter(({ name }) => COMPARED.every((plane) => plane.name !== name))];
  await using folder = await makeFolder();
  await using site = await startSite(planes.map(({ name }) => name));
  await using running = new AsyncDisposableStack();
  for (const plane of planes) {
    process.stderr.write(`planes: setting up ${plane.name}\n`);
    running.use(await serveLoad(site.lab.host(site.pair(plane.name).node), SERVE_PORT));
    for (const command of await startPlane(site, folder, options.sallyport, plane)) running.use(command);
    await pin(site, site.pair(plane.name));
  }
  const residents = await readResidents(site);
  const samples: Samples = new Map();
  const rests: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    process.stderr.write(`planes: round ${round} of ${rounds}\n`);
    const into: Samples = round === 0 ? new Map() : samples; // the first: caches fill, neighbours are found
    const rest = await restShare(site.lab.host('client'));
    rests.push(rest * 100);
    const turn = { site, ms, rest, into };
    for (const plane of shuffled(planes, random))
      await (COMPARED.includes(plane) ? wholePackets(turn, plane) : connections(turn, plane));
    await site.offloads(
      'off',
      COMPARED.map(({ name }) => name),
    );
    for (const plane of shuffled(COMPARED, random)) await wirePackets(turn, plane);
    await site.offloads(
      'on',
      COMPARED.map(({ name }) => name),
    );
    for (const size of shuffled(sizes, random))
      await measureLoading(site, folder, size, shuffled(SCALED, random), into);
  }
  const atRest = spread(rests);
  return {
    lines: goalsMet(samples, sizes, residents),
    grids: [comparison(samples, residents), scale(samples, sizes)],
    notes: [
      `seed ${options.seed}, ${rounds} rounds, ${ms} ms a load; CPU ${EDGE_CPU} at rest ${atRest && printSpread(atRest, 1)} % busy, which is taken off`,
    ],
  };
}

/** One round: where, how long, what the metered CPU does at rest, and what was measured. */
interface Turn {
  readonly site: Site;
  readonly ms: number;
  readonly rest: number;
  readonly into: Samples;
}

/** What runs on at an edge shares the CPU of its packets, also what Sallyport started (wireguard-go). */
async function pin({ lab }: Site, { edge, node }: Pair): Promise<void> {
  for (const [host, cpu] of [
    [edge, EDGE_CPU],
    [node, ENDS_CPU],
  ] as const)
    await lab.run([
      'sh',
      '-c',
      'for p in $(ip netns pids "$1"); do taskset -acp "$2" "$p" >/dev/null; done',
      'sh',
      host,
      String(cpu),
    ]);
}

const edgeMs = ({ rest }: Turn, { ms = 0, busyMs = 0 }: Told): number => busyMs - rest * ms;
const gigabits = ({ bytes = 0 }: Told): number => (bytes * 8) / 1e9;

/** Offloads on: the edge sees packets of up to 64 KB. */
async function wholePackets(turn: Turn, plane: Plane): Promise<void> {
  const { site, ms, into } = turn;
  const [client, target] = [site.lab.host('client'), targetOfPlane(plane, site.pair(plane.name))];
  const echo = await makeLoad(client, 'latency', target, ms);
  note(into, plane.name, 'latency p50', echo.p50Us ?? Number.NaN);
  note(into, plane.name, 'latency p99', echo.p99Us ?? Number.NaN);
  const one = await makeLoad(client, 'bulk', target, ms, 1);
  note(into, plane.name, 'Gbit/s', gigabits(one) / ((one.ms ?? 0) / 1000));
  note(into, plane.name, 'CPU per Gbit', edgeMs(turn, one) / gigabits(one));
  await connections(turn, plane);
}

async function connections(turn: Turn, plane: Plane): Promise<void> {
  const { site, ms, into } = turn;
  const pair = site.pair(plane.name);
  const told = await makeLoad(site.lab.host('client'), 'connect', targetOfPlane(plane, pair), ms, PARALLEL_CONNECTS);
  const { answered = 0 } = told;
  note(into, plane.name, 'connections/s', answered / ((told.ms ?? 0) / 1000));
  note(into, plane.name, 'CPU per connection', (edgeMs(turn, told) * 1000) / answered);
  for (const host of [pair.edge, pair.node]) await site.lab.host(host).run(['conntrack', '-F']);
}

/** Offloads off: the edge sees packets of 1,500 bytes, as a network card brings them. */
async function wirePackets(turn: Turn, plane: Plane): Promise<void> {
  const { site, ms, into } = turn;
  const [client, target] = [site.lab.host('client'), targetOfPlane(plane, site.pair(plane.name))];
  for (const streams of [1, 8]) {
    const told = await makeLoad(client, 'bulk', target, ms, streams);
    note(into, plane.name, `Gbit/s, wire, ${streams}`, gigabits(told) / ((told.ms ?? 0) / 1000));
    note(into, plane.name, `CPU per Gbit, wire, ${streams}`, edgeMs(turn, told) / gigabits(told));
  }
  if (isProxy(plane)) return;
  const told = await makeLoad(client, 'udp', target, ms, UDP.perSecond, UDP.bytes);
  note(into, plane.name, 'CPU per datagram', (edgeMs(turn, told) * 1000) / (told.arrived ?? 0));
}
