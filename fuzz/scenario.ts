/** One case as plain data, as it stands in a file of `cases/`: a network, what stands on its hosts, and packets in order. */
export interface Scenario {
  readonly seed: number;
  readonly hosts: readonly Host[];
  /** A veth between two hosts; or from a host to the outside, which no host of the model is. */
  readonly cables: readonly Cable[];
  /** Absent: none. */
  readonly tunnels?: readonly Tunnel[];
  readonly flows: readonly Flow[];
}

export interface Host {
  readonly name: string;
  /** `LINK ADDRESS/LENGTH`. */
  readonly addresses: readonly string[];
  /** Arguments of `ip route add` and `ip rule add`, with the family first: `-4 10.0.0.0/8 via 10.1.0.2`. */
  readonly routes: readonly string[];
  /** Arguments of `ip nexthop add`, with the family first, for routes that name them; absent: none. */
  readonly nexthops?: readonly string[];
  readonly rules: readonly string[];
  /** Paths below /proc/sys and their values, written in this order. */
  readonly sysctls: readonly (readonly [path: string, value: string])[];
  readonly tables: readonly TableText[];
  /** Absent: none. */
  readonly iptables?: readonly IptablesText[];
  /** `NAME TYPE MEMBER...`, for the rules of iptables; a name that ends with 6 is of IPv6. */
  readonly ipsets?: readonly string[];
}

/** A table in the words of iptables-restore(8); what is not named here is not there. */
export interface IptablesText {
  readonly family: 4 | 6;
  readonly name: string;
  /** Without a policy: a chain of the user's. */
  readonly chains: readonly {
    readonly name: string;
    readonly policy?: 'ACCEPT' | 'DROP';
    readonly rules: readonly string[];
  }[];
}

export interface Cable {
  readonly ends: readonly [End, End?];
  /** Of each end, in bytes; absent: 1500. */
  readonly mtu?: readonly [number, number];
}

/** A VXLAN of two hosts. */
export interface Tunnel {
  readonly vni: number;
  readonly ends: readonly [TunnelEnd, TunnelEnd];
}

export interface TunnelEnd extends End {
  /** The address around its packets; both ends' are of one family. */
  readonly local: string;
}

export interface End {
  readonly host: string;
  readonly link: string;
}

/** In nft's own words, apart as far as the shrinker takes them apart. */
export interface TableText {
  readonly family: 'ip' | 'ip6' | 'inet';
  readonly name: string;
  /** `set s { type ipv4_addr; elements = { 10.0.0.1 } }`. */
  readonly sets: readonly string[];
  readonly chains: readonly { readonly name: string; readonly head: string; readonly rules: readonly string[] }[];
}

export interface Flow {
  /** A host that asks by a socket of its own, or what comes in from the outside by a link of a host. */
  readonly from: { readonly host: string } | { readonly host: string; readonly link: string; readonly source: string };
  readonly to: string;
  readonly protocol: 'udp' | 'tcp' | 'icmp';
  /** Of an echo: its id. */
  readonly sourcePort: number;
  /** Of an echo it counts nothing. */
  readonly port: number;
  /** Of a datagram or an echo: the whole IP packet, in bytes. Absent: a small one. */
  readonly size?: number;
  /** It may not be fragmented; of IPv6 its sender may not. */
  readonly df?: true;
}

export const printTables = (tables: readonly TableText[]): string =>
  tables
    .map(({ family, name, sets, chains }) => {
      const bodies = chains.map((chain) => `chain ${chain.name} {\n${[chain.head, ...chain.rules].join('\n')}\n}`);
      return `table ${family} ${name} {\n${[...sets, ...bodies].join('\n')}\n}\n`;
    })
    .join('');

/** Nor does anybody ask for routers or groups: in a tunnel such would be packets of others' connections. */
const NO_ERRORS = [
  'icmpv6 type { nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } drop',
  'icmp type { destination-unreachable, time-exceeded, parameter-problem } drop',
  'icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } drop',
];

/** netfilter_ipv4.h has -400 for it: what is put together from fragments is traced as one packet. Nobody's chain is drawn before -300. */
const AFTER_DEFRAGMENTATION = -399;

/**
 * Stands on every host, is read and simulated like all else, and has nft tell which rules a packet meets. No errors are sent: they belong
 * to the connection of the packet they tell of, from when they are made (icmp_glue_bits), and a rule that sees them may change its mark.
 */
const PROBE: TableText = {
  ...{ family: 'inet', name: 'probe', sets: [] },
  chains: [
    ...(['prerouting', 'output'] as const).map((hook) => ({
      ...{
        name: hook,
        head: `type filter hook ${hook} priority ${AFTER_DEFRAGMENTATION};`,
        rules: [
          'meta l4proto { tcp, udp } meta nftrace set 1',
          'icmp type { echo-request, echo-reply } meta nftrace set 1',
          'icmpv6 type { echo-request, echo-reply } meta nftrace set 1',
          ...(hook === 'output' ? NO_ERRORS : []),
        ],
      },
    })),
    ...(['input', 'forward', 'postrouting'] as const).map((hook) => ({
      ...{ name: hook, head: `type filter hook ${hook} priority -500;`, rules: [] },
    })),
  ],
};

/** Where packets have sizes every host tracks connections, and puts fragments together: parts that fare apart nobody can compare. */
export const probeOf = ({ flows }: Pick<Scenario, 'flows'>): TableText => ({
  ...PROBE,
  chains: PROBE.chains.map((chain) =>
    chain.name === 'forward' && flows.some(({ size }) => size !== undefined)
      ? { ...chain, rules: ['ct state invalid counter'] }
      : chain,
  ),
});

/** For iptables-restore or ip6tables-restore. */
export const printIptables = (tables: readonly IptablesText[]): string =>
  tables
    .map(({ name, chains }) =>
      [
        `*${name}`,
        ...chains.map((chain) => `:${chain.name} ${chain.policy ?? '-'} [0:0]`),
        ...chains.flatMap((chain) => chain.rules.map((rule) => `-A ${chain.name} ${rule}`)),
        'COMMIT\n',
      ].join('\n'),
    )
    .join('');

/** For ipset restore. */
export const printIpsets = (ipsets: readonly string[]): string =>
  ipsets
    .flatMap((line) => {
      const [name = '', type, ...members] = line.split(' ');
      const family = name.endsWith('6') ? ' family inet6' : '';
      return [`create ${name} ${type}${family}`, ...members.map((member) => `add ${name} ${member}`)];
    })
    .join('\n');
