/** Draws a network: hosts in a tree of veth, an outside link on some, ways between all of them, and what disturbs these ways. */
import type { Random } from './random.ts';
import { drawNexthops, drawRoute, drawRule, drawSeveral, drawSysctls, MTUS, routeMtu, TABLES } from './routing.ts';
import type { Cable, Host, Scenario, Tunnel } from './scenario.ts';

/** What rules and packets are drawn from. */
export interface Ground {
  readonly scenario: Omit<Scenario, 'flows'>;
  /** Addresses of the hosts, of neighbours outside, and some that nobody has. */
  readonly addresses: Readonly<Record<4 | 6, readonly [string, ...string[]]>>;
  readonly prefixes: Readonly<Record<4 | 6, readonly [string, ...string[]]>>;
  readonly linksOf: ReadonlyMap<string, readonly [string, ...string[]]>;
  /** Packets have sizes, and links and routes MTUs; there are no tunnels, which learn from what does not fit. */
  readonly isWide: boolean;
  /** Some routes have several next hops, and some rules translate to ranges: the kernel chooses. */
  readonly isChancy: boolean;
  readonly outside: readonly { readonly host: string; readonly link: string; readonly number: number }[];
  readonly ownOf: ReadonlyMap<string, Readonly<Record<4 | 6, readonly [string, ...string[]]>>>;
}

const FAMILIES = [4, 6] as const;

const addressOn = (family: 4 | 6, network: number, host: number): string =>
  family === 4 ? `10.${network}.0.${host}` : `fd00:${network}::${host}`;
const prefixOf = (family: 4 | 6, network: number): string =>
  family === 4 ? `10.${network}.0.0/24` : `fd00:${network}::/64`;

/** Of both ends, or of one alone. */
const drawMtu = (random: Random): Pick<Cable, 'mtu'> => {
  if (random.chance(0.4)) return {};
  const mtu = random.pick(MTUS);
  return {
    mtu: random.pick([
      [mtu, mtu],
      [mtu, mtu],
      [mtu, mtu],
      [1500, mtu],
      [mtu, 1500],
    ] as const),
  };
};

export function drawNetwork(random: Random, seed: number): Ground {
  const isWide = random.chance(0.25);
  const isChancy = random.chance(0.3);
  const count = 2 + random.below(5);
  const names = Array.from({ length: count }, (_, index) => `h${index}`);
  const cables: Cable[] = [];
  const addresses = new Map<string, string[]>(names.map((name) => [name, []]));
  const links = new Map<string, [string, ...string[]]>();
  const own = new Map(names.map((name) => [name, { 4: [] as string[], 6: [] as string[] }]));
  const edges: Edge[] = [];
  const give = (
    host: string,
    link: string,
    family: 4 | 6,
    network: number,
    number: number,
    length = family === 4 ? 24 : 64,
  ): void => {
    addresses.get(host)?.push(`${link} ${addressOn(family, network, number)}/${length}`);
    own.get(host)?.[family].push(addressOn(family, network, number));
  };
  const addLink = (host: string, link: string): void => {
    const known = links.get(host);
    if (known === undefined) links.set(host, [link]);
    else known.push(link);
  };
  for (let index = 1; index < count; index++) {
    const [a, b] = [`h${random.below(index)}`, `h${index}`];
    const [ab, ba] = [`to${index}`, `up${index}`];
    edges.push({ a, b, network: index, ab, ba });
    cables.push({
      ends: [
        { host: a, link: ab },
        { host: b, link: ba },
      ],
      ...(isWide && drawMtu(random)),
    });
    addLink(a, ab);
    addLink(b, ba);
    for (const family of FAMILIES) {
      give(a, ab, family, index, 1);
      give(b, ba, family, index, 2);
    }
  }
  const outside: { host: string; link: string; number: number }[] = [];
  for (const [index, host] of names.entries()) {
    if (index !== 0 && !random.chance(0.5)) continue;
    for (const link of random.chance(0.25) ? ['out', 'alt'] : ['out']) {
      const number = (link === 'out' ? 100 : 150) + index;
      outside.push({ host, link, number });
      cables.push({ ends: [{ host, link }], ...(isWide && random.chance(0.4) && { mtu: [random.pick(MTUS), 1500] }) });
      addLink(host, link);
      for (const family of FAMILIES) give(host, link, family, number, 1);
    }
  }
  for (const [index, host] of names.entries())
    if (random.chance(0.4))
      for (const family of FAMILIES) give(host, 'lo', family, 200 + index, 1, family === 4 ? 32 : 128);

  const tunnels = isWide ? [] : drawTunnels(random, names, own);
  for (const { ends } of tunnels)
    for (const [at, { host, link }] of ends.entries()) {
      addLink(host, link);
      for (const family of FAMILIES) give(host, link, family, tunnelNumber(link), at + 1);
    }

  const hosts = names.map((name): Host => {
    const far = waysFrom(name, edges);
    const routes: string[] = [];
    const rules: string[] = [];
    const nexthops: string[] = [];
    for (const family of FAMILIES) {
      const hop = (neighbour: string): string => {
        const edge = edges.find(({ a, b }) => (a === name && b === neighbour) || (b === name && a === neighbour));
        return edge === undefined ? '' : addressOn(family, edge.network, edge.a === name ? 2 : 1);
      };
      const targets: { readonly prefix: string; readonly owner: string }[] = [
        ...edges.map(({ b, network }) => ({ prefix: prefixOf(family, network), owner: b })),
        ...outside.map(({ host, number }) => ({ prefix: prefixOf(family, number), owner: host })),
        ...tunnels.map(({ ends }) => ({ prefix: prefixOf(family, tunnelNumber(ends[0].link)), owner: ends[0].host })),
        ...names.flatMap((host, index) =>
          addresses.get(host)?.some((each) => each.startsWith('lo ')) === true
            ? [{ prefix: `${addressOn(family, 200 + index, 1)}/${family === 4 ? 32 : 128}`, owner: host }]
            : [],
        ),
      ];
      const neighbours = edges.flatMap(({ a, b }) => (a === name ? [b] : b === name ? [a] : []));
      const inside = tunnels.flatMap(({ ends }) =>
        ends.flatMap(({ host, link }, at) =>
          host === name ? [`via ${addressOn(family, tunnelNumber(link), 2 - at)} dev ${link}`] : [],
        ),
      );
      const several = isChancy ? gatewaysOf(family, name, edges, inside) : [];
      if (several.length > 1) nexthops.push(...drawNexthops(random, family, several));
      for (const { prefix, owner } of targets) {
        const by = far.get(owner);
        const isMine =
          owner === name ||
          edges.some(({ a, b, network }) => (a === name || b === name) && prefix === prefixOf(family, network)) ||
          tunnels.some(
            ({ ends }) =>
              ends.some(({ host }) => host === name) && prefix === prefixOf(family, tunnelNumber(ends[0].link)),
          );
        if (by === undefined || isMine) continue;
        if (several.length > 1 && random.chance(0.3))
          routes.push(`-${family} ${prefix} ${drawSeveral(random, family, several)}`);
        else if (inside.length > 0 && random.chance(0.45))
          routes.push(`-${family} ${prefix} ${inside[random.below(inside.length)]}`);
        else if (random.chance(0.93)) routes.push(`-${family} ${prefix} via ${hop(by)}${routeMtu(random, isWide)}`);
      }
      const away = outside.filter(({ host }) => host === name);
      const gateways = [
        ...neighbours.map((neighbour) => `via ${hop(neighbour)}`),
        ...away.map(({ number, link }) => `via ${addressOn(family, number, 254)} dev ${link}`),
        ...away.map(({ link }) => `dev ${link}`),
        ...inside,
        ...inside,
      ];
      const [first, ...rest] = gateways;
      if (first === undefined) continue;
      const ways: readonly [string, ...string[]] = [first, ...rest];
      if (random.chance(0.4)) routes.push(`-${family} default ${random.pick(ways)}`);
      const pool = targets.map(({ prefix }) => prefix);
      const somewhere = (): string => pool[random.below(pool.length)] ?? 'default';
      for (const table of TABLES)
        if (random.chance(0.5))
          for (const route of random.times(1, 3, () =>
            drawRoute(random, random.chance(0.4) ? 'default' : somewhere(), ways, isWide),
          ))
            routes.push(`-${family} ${route} table ${table}`);
      if (random.chance(0.3)) {
        const specific = `${addressOn(family, random.pick([1, 100, 101, 200]), random.pick([1, 2, 50]))}/${family === 4 ? 32 : 128}`;
        routes.push(`-${family} ${drawRoute(random, specific, ways, isWide)} metric 7`);
      }
      const names4 = links.get(name) ?? ['lo'];
      if (random.chance(0.5))
        for (const rule of random.times(1, 4, () => drawRule(random, family, somewhere, names4)))
          rules.push(`-${family} ${rule}`);
    }
    return {
      ...{ name, addresses: addresses.get(name) ?? [], routes: eachOnce(routes), rules: eachOnce(rules), tables: [] },
      ...(nexthops.length > 0 && { nexthops }),
      sysctls: drawSysctls(random, links.get(name) ?? ['lo']),
    };
  });
  const all = (family: 4 | 6): readonly [string, ...string[]] => [
    addressOn(family, 203, 7),
    ...names.flatMap((name) => own.get(name)?.[family] ?? []),
    ...outside.flatMap(({ number }) => [addressOn(family, number, 50), addressOn(family, number, 51)]),
  ];
  return {
    scenario: { seed, hosts, cables, ...(tunnels.length > 0 && { tunnels }) },
    addresses: { 4: all(4), 6: all(6) },
    prefixes: {
      4: [
        '10.0.0.0/8',
        ...edges.map(({ network }) => prefixOf(4, network)),
        ...outside.map(({ number }) => prefixOf(4, number)),
        ...tunnels.map(({ ends }) => prefixOf(4, tunnelNumber(ends[0].link))),
      ],
      6: [
        'fd00::/16',
        ...edges.map(({ network }) => prefixOf(6, network)),
        ...outside.map(({ number }) => prefixOf(6, number)),
        ...tunnels.map(({ ends }) => prefixOf(6, tunnelNumber(ends[0].link))),
      ],
    },
    linksOf: links,
    isWide,
    isChancy,
    outside,
    ownOf: new Map([...own].map(([name, each]) => [name, { 4: atLeastOne(each[4]), 6: atLeastOne(each[6]) }])),
  };
}

/** On four networks in ten: between any two hosts, over addresses of one family. */
function drawTunnels(
  random: Random,
  names: readonly string[],
  own: ReadonlyMap<string, Readonly<Record<4 | 6, readonly string[]>>>,
): readonly Tunnel[] {
  if (!random.chance(0.5)) return [];
  return random.times(1, 2, (index): Tunnel => {
    const one = random.below(names.length);
    const other = (one + 1 + random.below(names.length - 1)) % names.length;
    const family = random.pick(FAMILIES);
    const end = (at: number): Tunnel['ends'][number] => {
      const host = names[at] ?? 'h0';
      return { host, link: `vx${index}`, local: random.pick(atLeastOne(own.get(host)?.[family] ?? [])) };
    };
    return { vni: tunnelNumber(`vx${index}`), ends: [end(one), end(other)] };
  });
}

/** Of its network, and its VNI. */
const tunnelNumber = (link: string): number => 60 + Number(link.slice(2));

const atLeastOne = (list: readonly string[]): readonly [string, ...string[]] => [
  list[0] ?? '10.1.0.1',
  ...list.slice(1),
];

/** The kernel takes no second route to one prefix in one table (and of one metric), and no rule twice. */
const eachOnce = (lines: readonly string[]): readonly string[] => {
  const keyOf = (line: string): string =>
    line.includes('priority')
      ? line
      : `${line.slice(0, 2)} ${/\S+[.:]\S+|default/.exec(line)?.[0]} ${/(?:table|metric) \S+$/.exec(line)?.[0]}`;
  return lines.filter((line, at) => lines.findIndex((other) => keyOf(other) === keyOf(line)) === at);
};

interface Edge {
  readonly a: string;
  readonly b: string;
  readonly network: number;
  readonly ab: string;
  readonly ba: string;
}

/** `via ADDRESS dev LINK` of each neighbour. */
const gatewaysOf = (
  family: 4 | 6,
  name: string,
  edges: readonly Edge[],
  inside: readonly string[],
): readonly string[] => [
  ...edges.flatMap(({ a, b, network, ab, ba }) =>
    a === name
      ? [`via ${addressOn(family, network, 2)} dev ${ab}`]
      : b === name
        ? [`via ${addressOn(family, network, 1)} dev ${ba}`]
        : [],
  ),
  ...inside,
];

/** From `name`, the neighbour by which each other host is reached. */
function waysFrom(
  name: string,
  edges: readonly { readonly a: string; readonly b: string }[],
): ReadonlyMap<string, string> {
  const by = new Map<string, string>();
  const queue = edges.flatMap(({ a, b }) => (a === name ? [[b, b]] : b === name ? [[a, a]] : []));
  for (let each = queue.shift(); each !== undefined; each = queue.shift()) {
    const [host = '', first = ''] = each;
    if (host === name || by.has(host)) continue;
    by.set(host, first);
    for (const { a, b } of edges)
      if (a === host) queue.push([b, first]);
      else if (b === host) queue.push([a, first]);
  }
  return by;
}
