/** Draws rulesets in the grammar of iptables(8), iptables-extensions(8) and ipset(8). */
import type { Ground } from './network.ts';
import type { Random } from './random.ts';
import { MARKS, MASKS } from './routing.ts';
import { NAT_PORTS, NAT_RANGE, PORTS, SOURCE_PORTS, twoFrom, VXLAN_PORT } from './rules.ts';
import type { Host, IptablesText } from './scenario.ts';

type Name = 'raw' | 'mangle' | 'nat' | 'filter';
type Chain = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

const CHAINS: Readonly<Record<Name, readonly [Chain, ...Chain[]]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};

interface Place {
  readonly random: Random;
  readonly ground: Ground;
  readonly host: string;
  readonly family: 4 | 6;
  readonly table: Name;
  /** Absent: a chain of the user's, which is jumped to from any. */
  readonly chain?: Chain;
}

const distinct = (list: readonly string[]): readonly string[] => [...new Set(list)];

/** For some hosts, in one family or both. */
export function drawIptables(random: Random, ground: Ground, host: string): Pick<Host, 'iptables' | 'ipsets'> {
  if (random.chance(0.6)) return {};
  const families = random.pick<readonly (4 | 6)[]>([[4], [6], [4, 6]]);
  return {
    iptables: families.flatMap((family) =>
      (Object.keys(CHAINS) as Name[]).flatMap((table) =>
        random.chance(0.6) ? [drawTable({ random, ground, host, family, table })] : [],
      ),
    ),
    ipsets: families.flatMap((family) => drawSets(random, ground, family)),
  };
}

function drawSets(random: Random, ground: Ground, family: 4 | 6): readonly string[] {
  const members = (make: () => string): string => distinct(random.times(1, 4, make)).join(' ');
  const address = (): string => random.pick(ground.addresses[family]);
  return [
    `ip${family} hash:ip ${members(address)}`,
    `net${family} hash:net ${members(() => random.pick(ground.prefixes[family]))}`,
    `port${family} hash:ip,port ${members(() => `${address()},${random.pick(['tcp', 'udp'])}:${random.pick(PORTS)}`)}`,
  ];
}

function drawTable(place: Place): IptablesText {
  const { random, family, table } = place;
  const user = { name: 'user', rules: random.times(1, 3, () => drawRule(place)) };
  const built = CHAINS[table].map((chain) => ({
    ...{ name: chain, policy: table === 'filter' && random.chance(0.08) ? ('DROP' as const) : ('ACCEPT' as const) },
    rules: random.chance(0.7) ? random.times(1, 3, () => drawRule({ ...place, chain })) : [],
  }));
  return { family, name: table, chains: [...built, ...(table === 'nat' || table === 'raw' ? [] : [user])] };
}

/** What a rule speaks of: iptables takes one protocol. */
type Protocol = 'tcp' | 'udp' | 'icmp' | undefined;

function drawRule(place: Place): string {
  const { random, table } = place;
  const protocol = random.pick<Protocol>(['tcp', 'tcp', 'udp', 'icmp', undefined]);
  const icmp = place.family === 4 ? 'icmp' : 'ipv6-icmp';
  return [
    ...(protocol === undefined ? [] : [`-p ${protocol === 'icmp' ? icmp : protocol}`]),
    ...distinctKinds(random.times(table === 'nat' ? 0 : 1, 2, () => drawMatch(place, protocol))),
    drawTarget(place, protocol),
  ].join(' ');
}

/** The same option twice is refused. */
const distinctKinds = (words: readonly string[]): readonly string[] => {
  const kindOf = (word: string): string => /(?:^|\s)(-m \S+|-[sdio])(?=\s)/.exec(word)?.[1] ?? word;
  return words.filter((word, at) => words.findIndex((other) => kindOf(other) === kindOf(word)) === at);
};

function drawMatch({ random, ground, host, family, table, chain }: Place, protocol: Protocol): string {
  const not = random.chance(0.15) ? '! ' : '';
  const address = (): string => random.pick(ground.addresses[family]);
  const prefix = (): string => random.pick(ground.prefixes[family]);
  const link = (): string =>
    random.pick([...(ground.linksOf.get(host) ?? ['lo']), 'to+', 'up+', 'o+', 'v+'] as [string, ...string[]]);
  const hasTunnels = ground.scenario.tunnels !== undefined;
  const port = (): string => String(hasTunnels && random.chance(0.2) ? VXLAN_PORT : random.pick(PORTS));
  const kinds: (() => string)[] = [
    () => `${not}-s ${address()}`,
    () => `${not}-d ${address()}`,
    () => `${not}-s ${prefix()}`,
    () => `${not}-d ${prefix()}`,
    () => `-m mark ${not}--mark ${random.pick(MARKS)}/${random.pick(MASKS)}`,
    () => `-m set ${not}--match-set ip${family} ${random.pick(['src', 'dst'])}`,
    () => `-m set ${not}--match-set net${family} ${random.pick(['src', 'dst'])}`,
    () => `-m addrtype ${not}--${random.pick(['src', 'dst'])}-type ${random.pick(['LOCAL', 'UNICAST'])}`,
    () => '-m limit --limit 10000/second --limit-burst 1000',
    () => `-m comment --comment "drawn ${random.below(9)}"`,
  ];
  if (protocol === 'tcp' || protocol === 'udp') {
    kinds.push(
      () => `-m ${protocol} ${not}--dport ${port()}`,
      () => `-m ${protocol} ${not}--dport 5000:5001`,
      () => `-m ${protocol} ${not}--sport ${random.pick(SOURCE_PORTS)}`,
      () => `-m multiport ${not}--dports ${distinct([port(), port()]).join(',')},5000:5001`,
      () => `-m multiport ${not}--sports ${random.pick(SOURCE_PORTS)}`,
      () => `-m multiport ${not}--ports ${port()},40000`,
      () => `-m set ${not}--match-set port${family} ${random.pick(['dst,dst', 'src,dst'])}`,
    );
  }
  if (protocol === 'tcp')
    kinds.push(
      () => `-m tcp ${not}--syn`,
      () => '-m tcp --tcp-flags SYN,ACK SYN,ACK',
    );
  if (protocol === 'icmp') {
    const type = random.pick(['echo-request', 'echo-reply']);
    kinds.push(() => (family === 4 ? `-m icmp ${not}--icmp-type ${type}` : `-m icmp6 ${not}--icmpv6-type ${type}`));
  }
  if (table !== 'raw')
    kinds.push(
      () =>
        `-m conntrack ${not}--ctstate ${random.pick(['NEW', 'ESTABLISHED', 'RELATED,ESTABLISHED', 'INVALID', 'UNTRACKED', 'DNAT', 'SNAT'])}`,
      () => `-m conntrack --ctdir ${random.pick(['ORIGINAL', 'REPLY'])}`,
      () => `-m connmark ${not}--mark ${random.pick(MARKS)}/${random.pick(MASKS)}`,
    );
  if (chain === 'PREROUTING' || chain === 'INPUT' || chain === 'FORWARD') kinds.push(() => `${not}-i ${link()}`);
  if (chain === 'OUTPUT' || chain === 'POSTROUTING' || chain === 'FORWARD') kinds.push(() => `${not}-o ${link()}`);
  return (kinds[random.below(kinds.length)] ?? (() => ''))();
}

function drawTarget({ random, ground, host, family, table, chain }: Place, protocol: Protocol): string {
  const address = random.chance(0.7)
    ? random.pick(ground.addresses[family])
    : random.pick(ground.ownOf.get(host)?.[family] ?? ground.addresses[family]);
  const hasPorts = protocol === 'tcp' || protocol === 'udp';
  const isRange = ground.isChancy && random.chance(0.4);
  const next = isRange ? twoFrom(address) : undefined;
  const whole = next === undefined ? address : `${address}-${next}`;
  const at = (port: string): string => (family === 6 ? `[${whole}]:${port}` : `${whole}:${port}`);
  const port = isRange ? '5000-5002' : String(random.pick(PORTS));
  const natPort = (one: number): string => (isRange ? NAT_RANGE : String(one));
  const kinds: string[] = [];
  if (table === 'raw') kinds.push('CT --notrack', 'CT --notrack', 'CT --zone 1', 'ACCEPT');
  if (table === 'mangle')
    kinds.push(
      `MARK --set-xmark ${random.pick(MARKS)}/${random.pick(MASKS)}`,
      `MARK --set-xmark ${random.pick(MARKS)}/0xffffffff`,
      `CONNMARK --set-xmark ${random.pick(MARKS)}/${random.pick(MASKS)}`,
      'CONNMARK --save-mark',
      'CONNMARK --restore-mark',
      `CONNMARK --restore-mark --nfmask ${random.pick(MASKS)} --ctmask ${random.pick(MASKS)}`,
      ...['ACCEPT', 'RETURN', 'DROP'],
    );
  if (table === 'filter') kinds.push('ACCEPT', 'ACCEPT', 'DROP', 'RETURN', ...(chain === undefined ? [] : ['REJECT']));
  if ((table === 'filter' || table === 'mangle') && chain !== undefined) kinds.push('user');
  if (table === 'nat' && (chain === 'PREROUTING' || chain === 'OUTPUT'))
    kinds.push(
      `DNAT --to-destination ${whole}`,
      'ACCEPT',
      ...(hasPorts ? [`DNAT --to-destination ${at(port)}`, `REDIRECT --to-ports ${port}`] : ['REDIRECT']),
    );
  if (table === 'nat' && chain === 'INPUT') kinds.push(`SNAT --to-source ${address}`, 'ACCEPT');
  if (table === 'nat' && chain === 'POSTROUTING')
    kinds.push(
      ...['MASQUERADE', 'MASQUERADE', 'ACCEPT', `SNAT --to-source ${address}`],
      ...(hasPorts
        ? [
            `SNAT --to-source ${family === 6 ? `[${address}]` : address}:${natPort(NAT_PORTS[1])}`,
            `MASQUERADE --to-ports ${natPort(NAT_PORTS[0])}`,
          ]
        : []),
    );
  return `-j ${kinds[random.below(kinds.length)] ?? 'ACCEPT'}`;
}
