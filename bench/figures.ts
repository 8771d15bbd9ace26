/** What was measured of planes, as tables for people and as goals (dataplane: the bounds leave room for a shared machine's noise). */
import type { Goal, Grid, Line } from './measure.ts';
import { HELD, type Residents } from './memory.ts';
import { COMPARED, SCALED, scaled } from './plane.ts';
import { printSpread, ratioOf, type Samples, type Spread, spreadOf } from './rounds.ts';

const FIGURES = [
  ['latency p50', 'latency p50'],
  ['latency p99', 'latency p99'],
  ['Gbit/s', 'throughput, 1 stream, gso'],
  ['CPU per Gbit', 'edge CPU per Gbit, gso'],
  ['connections/s', 'connections/s'],
  ['CPU per connection', 'edge CPU per connection'],
  ['Gbit/s, wire, 1', 'throughput, 1 stream, wire'],
  ['CPU per Gbit, wire, 1', 'edge CPU per Gbit, 1 stream, wire'],
  ['Gbit/s, wire, 8', 'throughput, 8 streams, wire'],
  ['CPU per Gbit, wire, 8', 'edge CPU per Gbit, 8 streams, wire'],
  ['CPU per datagram', 'edge CPU per datagram'],
] as const;

const UNITS: Readonly<Record<(typeof FIGURES)[number][0], string>> = {
  'latency p50': 'µs',
  'latency p99': 'µs',
  'Gbit/s': 'Gbit/s',
  'CPU per Gbit': 'ms',
  'connections/s': '/s',
  'CPU per connection': 'µs',
  'Gbit/s, wire, 1': 'Gbit/s',
  'CPU per Gbit, wire, 1': 'ms',
  'Gbit/s, wire, 8': 'Gbit/s',
  'CPU per Gbit, wire, 8': 'ms',
  'CPU per datagram': 'µs',
};

/** Every plane as a ratio to plain routing in the same round; of plain routing itself the figure. */
export function comparison(samples: Samples, residents: ReadonlyMap<string, Residents>): Grid {
  const [routing, ...planes] = COMPARED;
  if (routing === undefined) throw new RangeError('nothing is compared');
  const figures = FIGURES.map(([figure, title]) => [
    title,
    `${middle(spreadOf(samples, routing.name, figure))} ${UNITS[figure]}`,
    ...planes.map(({ name }) => cell(ratioOf(samples, name, routing.name, figure))),
  ]);
  const memory = COMPARED.map((plane) => {
    const { processes, pssKiB } = residents.get(plane.name) ?? { processes: Number.NaN, pssKiB: Number.NaN };
    return processes === 0 ? '0' : `${processes}, ${(pssKiB / 1024).toFixed(1)} MiB`;
  });
  return {
    title: 'Planes: ratios to plain routing, median [least..most] of the rounds',
    head: ['', ...COMPARED.map(({ title }) => title)],
    rows: [...figures, [`processes at the edge, their memory (PSS; proxies with ${HELD} connections)`, ...memory]],
  };
}

/** By number of forwards: a new connection by the last one, one more, all at once, and the kernel's memory. */
export function scale(samples: Samples, sizes: readonly number[]): Grid {
  const titles = { sallyport: "Sallyport's table", iptables: 'iptables', nft: 'nft, a rule each' } as const;
  const base = scaled('sallyport', sizes[0] ?? 1).name;
  const row = (title: string, of: (name: string) => string): readonly (readonly string[])[] =>
    SCALED.map((kind) => [`${title}: ${titles[kind]}`, ...sizes.map((size) => of(scaled(kind, size).name))]);
  const own = (figure: string, digits: number) => (name: string) => cell(spreadOf(samples, name, figure), digits);
  return {
    title: 'By number of forwards',
    head: ['', ...sizes.map((size) => size.toLocaleString('en'))],
    rows: [
      ...row('edge CPU per connection, x of Sallyport with the fewest', (name) =>
        cell(ratioOf(samples, name, base, 'CPU per connection')),
      ),
      ...row('full load, ms', own('full load', 0)),
      ...row('one more, ms', own('one more', 1)),
      ...row('one moved to another target, ms', own('one moved', 1)).slice(0, 2),
      ...row('kernel memory per forward, bytes', own('kernel memory', 0)),
    ],
  };
}

const middle = (spread: Spread | undefined): string => (spread === undefined ? '' : spread.median.toFixed(2));
const cell = (spread: Spread | undefined, digits = 2): string =>
  spread === undefined ? '' : printSpread(spread, digits);

/** A bound for the median of a ratio. */
interface Bound {
  readonly figure: string;
  readonly of: string;
  readonly by: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Each goal as a line: met or missed by the median. */
export function goalsMet(
  samples: Samples,
  sizes: readonly number[],
  residents: ReadonlyMap<string, Residents>,
): readonly Line[] {
  const [least = 1, most = least] = [sizes[0], sizes.at(-1)];
  const [one, many, ruled] = [scaled('sallyport', least), scaled('sallyport', most), scaled('iptables', most)].map(
    ({ name }) => name,
  );
  if (one === undefined || many === undefined || ruled === undefined) throw new RangeError('no sizes');
  const bounds: readonly Bound[] = [
    { figure: 'latency p50', of: 'sallyport', by: 'routing', atMost: 1.15 },
    { figure: 'latency p50', of: 'sallyport', by: 'nginx', atMost: 0.8 },
    { figure: 'latency p50', of: 'sallyport', by: 'haproxy', atMost: 0.8 },
    { figure: 'CPU per Gbit', of: 'sallyport', by: 'routing', atMost: 1.25 },
    { figure: 'CPU per Gbit', of: 'sallyport', by: 'nginx', atMost: 0.4 },
    { figure: 'CPU per Gbit', of: 'sallyport', by: 'haproxy', atMost: 0.4 },
    { figure: 'Gbit/s', of: 'sallyport', by: 'routing', atLeast: 0.85 },
    { figure: 'Gbit/s', of: 'sallyport', by: 'nginx', atLeast: 1.3 },
    { figure: 'CPU per connection', of: 'sallyport', by: 'nginx', atMost: 0.75 },
    { figure: 'CPU per connection', of: 'sallyport', by: 'haproxy', atMost: 0.75 },
    { figure: 'CPU per connection', of: 'sallyport', by: 'iptables', atMost: 1.3 },
    { figure: 'CPU per connection', of: many, by: one, atMost: 2.5 },
    { figure: 'CPU per connection', of: many, by: ruled, atMost: 1 / 8 },
    { figure: 'one moved', of: many, by: one, atMost: 1.5 },
    { figure: 'one moved', of: many, by: ruled, atMost: 0.05 },
    { figure: 'full load', of: many, by: ruled, atMost: 0.7 },
    { figure: 'kernel memory', of: many, by: ruled, atMost: 0.25 },
    { figure: 'latency p50', of: 'vxlan', by: 'sallyport', atMost: 1.2 },
    { figure: 'CPU per Gbit', of: 'vxlan', by: 'sallyport', atMost: 1.2 },
  ];
  const processes = residents.get('sallyport')?.processes ?? Number.NaN;
  return [
    ...bounds.map((bound) => goalLine(samples, bound)),
    { what: 'processes of ours at the edge', value: processes, unit: '', goal: { text: 'none', met: processes === 0 } },
  ];
}

function goalLine(samples: Samples, { figure, of, by, atMost, atLeast }: Bound): Line {
  const what = `${figure}: ${of} / ${by}`;
  const ratio = ratioOf(samples, of, by, figure);
  if (ratio === undefined) throw new Error(`${what} was not measured`);
  const goal: Goal =
    atMost !== undefined
      ? { text: `at most ${Number(atMost.toFixed(3))}`, met: ratio.median <= atMost }
      : { text: `at least ${atLeast}`, met: ratio.median >= (atLeast ?? 0) };
  return { what, value: ratio.median, unit: 'x', spread: ratio, goal };
}
