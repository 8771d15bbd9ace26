/** Draws rulesets in nft's grammar, and the packets that meet them. */
import { drawIptables } from './iptables.ts';
import type { Ground } from './network.ts';
import type { Random } from './random.ts';
import { MARKS, MASKS } from './routing.ts';
import type { Flow, Scenario, TableText } from './scenario.ts';

/** Every port is listened on, on every host. */
export const PORTS = [53, 80, 443, 5000, 5001, 5002, 8080, 30_000, 30_001] as const;
/** VXLAN's own (RFC 7348). */
export const VXLAN_PORT = 4789;
export const SOURCE_PORTS = [40_000, 40_001, 41_000, 42_000] as const;
/** Which a source is translated to; 40,000 besides. */
export const NAT_PORTS = [50_000, 50_001] as const;

/** A source is translated to one of these; none of them is drawn. */
export const NAT_RANGE = '51000-51199';

/** The address and the next, of those that lie side by side. */
export const twoFrom = (address: string): string | undefined => {
  const found = /^(.*[.:])(1|50)$/.exec(address);
  return found === null ? undefined : `${found[1]}${Number(found[2]) + 1}`;
};

/** Of all ports that are drawn, whatever for. */
export const isDrawnPort = (port: number): boolean =>
  [...PORTS, ...SOURCE_PORTS, ...NAT_PORTS].some((each) => each === port);

type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
const HOOKS: readonly [Hook, ...Hook[]] = ['prerouting', 'input', 'forward', 'output', 'postrouting'];
type TableFamily = TableText['family'];

/** Where a rule stands: what it may say depends on it. */
interface Place {
  readonly random: Random;
  readonly ground: Ground;
  readonly host: string;
  readonly family: TableFamily;
  readonly hook: Hook;
  readonly type: 'filter' | 'nat' | 'route';
  readonly beforeConntrack: boolean;
  /** Chains without a hook that may be jumped to, and named sets and maps, by family of their addresses. */
  readonly jumps: readonly string[];
  readonly named: boolean;
  /** What one rule speaks of: nft takes no second protocol in it. */
  readonly speaks?: 'udp' | 'tcp' | 'icmp' | 'several';
}

export function drawScenario(random: Random, ground: Ground, flows: number): Scenario {
  const hosts = ground.scenario.hosts.map((host) => ({
    ...{ ...host, tables: drawTables(random, ground, host.name) },
    ...drawIptables(random, ground, host.name),
  }));
  return { ...ground.scenario, hosts, flows: Array.from({ length: flows }, () => drawFlow(random, ground)) };
}

function drawTables(random: Random, ground: Ground, host: string): readonly TableText[] {
  if (random.chance(0.12)) return [];
  return random.times(1, 3, (index) => drawTable(random, ground, host, index));
}

const versionOf = ({ random, family }: Pick<Place, 'random' | 'family'>): 4 | 6 =>
  family === 'ip' ? 4 : family === 'ip6' ? 6 : random.pick([4, 6]);

function drawTable(random: Random, ground: Ground, host: string, index: number): TableText {
  const family = random.pick<TableFamily>(['inet', 'inet', 'ip', 'ip6']);
  const versions = family === 'inet' ? ([4, 6] as const) : family === 'ip' ? ([4] as const) : ([6] as const);
  const sets = versions.flatMap((version) => drawSets(random, ground, version));
  const base = { random, ground, host, family, named: true };
  const inner = random.times(0, 2, (at) => {
    const place: Place = {
      ...base,
      hook: 'forward',
      type: 'filter',
      beforeConntrack: false,
      jumps: at === 0 ? [] : ['inner0'],
    };
    return { name: `inner${at}`, head: '', rules: random.times(1, 3, () => drawRule({ ...place })) };
  });
  const jumps = inner.map(({ name }) => name);
  const chains = random.times(1, 4, (at) => {
    const type = random.pick(['filter', 'filter', 'filter', 'nat', 'nat', 'route'] as const);
    const hook =
      type === 'route'
        ? 'output'
        : type === 'nat'
          ? random.pick<Hook>(['prerouting', 'input', 'output', 'postrouting', 'postrouting'])
          : random.pick(HOOKS);
    const priority =
      type === 'nat'
        ? hook === 'prerouting' || hook === 'output'
          ? random.pick([-100, -100, -90, -110])
          : random.pick([100, 100, 90, 110])
        : random.pick([-300, -250, -150, -150, -10, 0, 0, 0, 10, 50, 150, 300]);
    const policy = type === 'filter' && random.chance(0.08) ? 'drop' : 'accept';
    const place: Place = {
      ...base,
      hook,
      type,
      beforeConntrack: priority < -200,
      jumps: type === 'nat' || priority < -200 ? [] : jumps,
    };
    return {
      name: `c${at}`,
      head: `type ${type} hook ${hook} priority ${priority}; policy ${policy};`,
      rules: random.times(1, 4, () => drawRule(place)),
    };
  });
  return { family, name: `t${index}`, sets, chains: [...inner, ...chains] };
}

const word = (version: 4 | 6): 'ip' | 'ip6' => (version === 4 ? 'ip' : 'ip6');
const distinct = (list: readonly string[]): readonly string[] => [...new Set(list)];

function drawSets(random: Random, ground: Ground, version: 4 | 6): readonly string[] {
  const type = version === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const address = (): string => random.pick(ground.addresses[version]);
  const port = (): string => String(random.pick(PORTS));
  const some = (make: () => string): string => distinct(random.times(1, 4, make)).join(', ');
  const keyed = (key: () => string, value: () => string): string => {
    const keys = distinct(random.times(1, 4, key));
    return keys.map((each) => `${each} : ${value()}`).join(', ');
  };
  const isPrefix = random.chance(0.5);
  const first = isPrefix ? random.pick(ground.prefixes[version]) : `${ground.addresses[version][1] ?? address()}`;
  return [
    `set a${version} { type ${type}; elements = { ${some(address)} }; }`,
    `set i${version} { type ${type}; flags interval; elements = { ${first} }; }`,
    `set c${version} { type ${type} . inet_service; elements = { ${some(() => `${address()} . ${port()}`)} }; }`,
    `map m${version} { type ${type} : mark; elements = { ${keyed(address, () => random.pick(MARKS))} }; }`,
    `map d${version} { type inet_service : ${type} . inet_service; elements = { ${keyed(port, () => `${address()} . ${port()}`)} }; }`,
    `map v${version} { type ${type} : verdict; elements = { ${keyed(address, () => random.pick(['accept', 'drop', 'return', 'continue']))} }; }`,
  ];
}

function drawRule(place: Place): string {
  const { random } = place;
  const version = versionOf(place);
  const rule: Place = { ...place, speaks: random.pick(['udp', 'tcp', 'tcp', 'icmp', 'several'] as const) };
  const matches = random.times(place.type === 'nat' ? 0 : 1, 2, () => drawMatch(rule, version));
  return [...matches, drawAction(rule, version)].join(' ');
}

function drawMatch(place: Place, version: 4 | 6): string {
  const { random, ground, host, hook, beforeConntrack, type } = place;
  const ip = word(version);
  const not = random.chance(0.15) ? '!= ' : '';
  const end = random.pick(['saddr', 'daddr', 'daddr']);
  const address = (): string => random.pick(ground.addresses[version]);
  const link = (): string => random.pick(ground.linksOf.get(host) ?? ['lo']);
  const { speaks = 'udp' } = place;
  const hasTunnels = ground.scenario.tunnels !== undefined;
  const port = (): number => (hasTunnels && random.chance(0.2) ? VXLAN_PORT : random.pick(PORTS));
  const echo = version === 4 ? 'icmp' : 'icmpv6';
  const kinds: (() => string)[] = [
    () => `${ip} ${end} ${not}${address()}`,
    () => `${ip} ${end} ${not}${random.pick(ground.prefixes[version])}`,
    () => `${ip} ${end} ${not}@a${version}`,
    () => `${ip} ${end} ${not}@i${version}`,
    () => `${ip} ${end} ${not}{ ${distinct([address(), address()]).join(', ')} }`,
    () => `meta l4proto . th dport ${not}{ udp . ${port()}, tcp . ${random.pick(PORTS)} }`,
    ...(speaks === 'several'
      ? [() => `meta l4proto ${not}{ ${random.pick(['tcp', 'udp'])}, ${version === 4 ? 'icmp' : 'ipv6-icmp'} }`]
      : []),
    ...(speaks === 'icmp' ? [() => `${echo} type ${not}${random.pick(['echo-request', 'echo-reply'])}`] : []),
    ...(speaks === 'icmp' || speaks === 'several'
      ? []
      : [
          () => `${ip} ${end} . ${speaks} dport ${not}@c${version}`,
          () => `${speaks} dport ${not}${port()}`,
          () => `${speaks} dport ${not}{ ${distinct([port(), port()].map(String)).join(', ')} }`,
          () => `${speaks} dport ${not}5000-5001`,
          () => `${speaks} sport ${not}${random.pick(SOURCE_PORTS)}`,
          () =>
            `${place.family === 'inet' && random.chance(0.25) ? '' : `meta l4proto ${speaks} `}th dport ${not}${port()}`,
        ]),
    ...(speaks === 'tcp'
      ? [
          () => `tcp flags & (syn | ack) ${random.pick(['==', '!='])} ${random.pick(['syn', '(syn | ack)', 'ack'])}`,
          () => `tcp flags ${not}syn`,
        ]
      : []),
    () => `meta mark ${not}${random.pick(MARKS)}`,
    () => `meta mark and ${random.pick(MASKS)} ${random.pick(['==', '!='])} ${random.pick(['0x0', '0x1', '0x2'])}`,
    ...(speaks === 'icmp' || speaks === 'several'
      ? []
      : [
          () =>
            place.family === 'inet'
              ? `meta nfproto ${version === 4 ? 'ipv4' : 'ipv6'} meta l4proto ${speaks}`
              : `meta l4proto ${speaks}`,
        ]),
    () =>
      random.pick([
        'limit rate 1000000/second burst 1000 packets',
        'limit rate over 1000000/second burst 1000 packets',
        'limit rate 1000 mbytes/second burst 1 mbytes',
        'quota 1000000 mbytes',
        'quota over 1000000 mbytes',
      ]),
    () => `fib ${random.pick(['daddr', 'saddr'])} type ${not}${random.pick(['local', 'unicast'])}`,
  ];
  const hasIn = hook === 'prerouting' || hook === 'input' || hook === 'forward';
  const isInner = place.type === 'filter' && hook === 'forward';
  if (hasIn)
    kinds.push(
      () => `iifname ${not}"${link()}"`,
      () => `iifname ${not}{ "${link()}", "lo" }`,
    );
  if (!hasIn || isInner)
    kinds.push(
      () => `oifname ${not}"${link()}"`,
      () => `oifname "${random.pick(['to*', 'up*', 'o*', 'v*'])}"`,
    );
  if (hook === 'prerouting') kinds.push(() => `fib saddr . iif oif ${random.pick(['exists', 'missing'])}`);
  if (!beforeConntrack) {
    kinds.push(
      () => `ct state ${not}${random.pick(['new', 'established', 'established,related', 'untracked', 'invalid'])}`,
      () => `ct direction ${random.pick(['original', 'reply'])}`,
      () => `ct mark ${not}${random.pick(MARKS)}`,
      () => `ct mark and ${random.pick(MASKS)} ${random.pick(['==', '!='])} 0x1`,
    );
    if (type !== 'nat') kinds.push(() => `ct status ${random.pick(['dnat', 'snat', 'seen-reply', 'confirmed'])}`);
    kinds.push(
      () => `ct original ${ip} ${end} ${not}${address()}`,
      () => `ct reply ${ip} ${end} ${not}${address()}`,
    );
  }
  return (kinds[random.below(kinds.length)] ?? (() => ''))();
}

const isOne = ({ speaks }: Place): boolean => speaks === 'udp' || speaks === 'tcp';

function drawAction(place: Place, version: 4 | 6): string {
  const { random, ground, hook, type, beforeConntrack, jumps } = place;
  const ip = word(version);
  const own = random.chance(0.7)
    ? random.pick(ground.addresses[version])
    : random.pick(ground.ownOf.get(place.host)?.[version] ?? ground.addresses[version]);
  const at = (address: string, port?: string): string => {
    const next = ground.isChancy && random.chance(0.4) ? twoFrom(address) : undefined;
    const end = (each: string): string => (version === 6 && port !== undefined ? `[${each}]` : each);
    const whole = next === undefined ? end(address) : `${end(address)}-${end(next)}`;
    return port === undefined ? whole : `${whole}:${port}`;
  };
  const ranged = (text: string, range: string): string => (ground.isChancy && random.chance(0.4) ? range : text);
  const port = ranged(String(random.pick(PORTS)), '5000-5002');
  if (type === 'nat') {
    const ports = `meta l4proto ${isOne(place) && random.chance(0.6) ? place.speaks : '{ tcp, udp }'}`;
    if (hook === 'prerouting' || hook === 'output') {
      const kinds = [
        `dnat ${ip} to ${at(own)}`,
        `${ports} dnat ${ip} to ${at(own, port)}`,
        `${ports} redirect to :${port}`,
        `${ports} dnat ${ip} to th dport map @d${version}`,
        `meta mark set ${random.pick(MARKS)}`,
        `ct mark set ${random.pick(MARKS)}`,
        'accept',
      ];
      return kinds[random.below(kinds.length)] ?? 'accept';
    }
    const kinds = [
      ...(hook === 'postrouting'
        ? [
            'masquerade',
            'masquerade',
            `${ports} masquerade to :${ranged(String(random.pick([NAT_PORTS[0], SOURCE_PORTS[0]])), NAT_RANGE)}`,
          ]
        : []),
      `snat ${ip} to ${at(own)}`,
      `${ports} snat ${ip} to ${at(own, ranged(String(random.pick([SOURCE_PORTS[0], NAT_PORTS[1]])), NAT_RANGE))}`,
      `meta mark set ${random.pick(MARKS)}`,
      'accept',
    ];
    return kinds[random.below(kinds.length)] ?? 'accept';
  }
  const kinds = [
    ...['accept', 'accept', 'return', 'drop', 'counter'],
    `meta mark set ${random.pick(MARKS)}`,
    `meta mark set ${random.pick(MARKS)}`,
    `meta mark set meta mark or ${random.pick(MARKS)}`,
    `meta mark set meta mark and ${random.pick(MASKS)}`,
    `meta mark set meta mark xor ${random.pick(MARKS)}`,
    `meta mark set ${ip} daddr map @m${version}`,
    `${ip} saddr vmap @v${version}`,
    `${ip} daddr vmap @v${version}`,
    `${isOne(place) ? place.speaks : 'meta l4proto { tcp, udp } th'} dport vmap { ${random.pick(PORTS)} : ${random.pick(['accept', 'drop', 'return'])} }`,
    ...jumps.map((name) => `${random.pick(['jump', 'goto'])} ${name}`),
    ...jumps.map(
      (name) =>
        `${isOne(place) ? place.speaks : 'meta l4proto { tcp, udp } th'} dport vmap { ${random.pick(PORTS)} : jump ${name} }`,
    ),
    ...(hook === 'input' || hook === 'forward' || hook === 'output' ? ['reject'] : []),
    ...(beforeConntrack && (hook === 'prerouting' || hook === 'output')
      ? ['notrack', 'notrack', 'ct zone set 1', 'ct original zone set 2', 'ct zone set 1']
      : []),
    ...(beforeConntrack
      ? []
      : [
          `ct mark set ${random.pick(MARKS)}`,
          'ct mark set meta mark',
          'meta mark set ct mark',
          `meta mark set ct mark and ${random.pick(MASKS)}`,
        ]),
  ];
  const action = kinds[random.below(kinds.length)] ?? 'accept';
  // Inner chains are jumped to from every hook.
  return hook === 'forward' && action === 'reject' ? 'drop' : action;
}

function drawFlow(random: Random, ground: Ground): Flow {
  const version = random.pick([4, 6] as const);
  const addresses = ground.addresses[version];
  const base = {
    protocol: random.pick(['udp', 'tcp', 'tcp', 'icmp'] as const),
    sourcePort: random.pick(SOURCE_PORTS),
    port: random.pick(PORTS),
    to: random.pick(addresses),
  };
  const size =
    ground.isWide && base.protocol !== 'tcp' && random.chance(0.7)
      ? {
          size: random.pick([1300, 1301, 1350, 1400, 1404, 1405, 1500]),
          ...(random.chance(0.5) && { df: true as const }),
        }
      : {};
  const gate = ground.outside[random.below(ground.outside.length)];
  if (gate === undefined || random.chance(0.35)) {
    const hosts = ground.scenario.hosts;
    return { ...base, ...size, from: { host: hosts[random.below(hosts.length)]?.name ?? 'h0' } };
  }
  const near = version === 4 ? `10.${gate.number}.0.5${random.below(2)}` : `fd00:${gate.number}::5${random.below(2)}`;
  const source = random.chance(0.8) ? near : random.pick(addresses);
  return { ...base, ...size, from: { host: gate.host, link: gate.link, source } };
}
