/** A scenario on the real kernel: built in namespaces, read as Sallyport reads a host, asked packet by packet. */
import { linuxDriver } from '../src/drivers/index.ts';
import type { HostState } from '../src/host/index.ts';
import type { Wires } from '../src/simulate/index.ts';
import type { Output, Transport } from '../src/transport/index.ts';
import { type Agent, type Command, startAgent } from './agent.ts';
import { PORTS, SOURCE_PORTS, VXLAN_PORT } from './rules.ts';
import {
  type Host,
  printIpsets,
  printIptables,
  printTables,
  probeOf,
  type Scenario,
  type TableText,
} from './scenario.ts';

export interface Tuple {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** A packet around another, which alone has its part in the flow. */
  readonly carries?: true;
}

/** Which packet of its flow: of TCP's handshake, or of an echo. UDP's come one by one, and are not told apart. */
export type Leg = 'request' | 'reply' | 'next';

/** What nft told of a rule or policy that one packet met. */
export interface Traced {
  readonly host: string;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle?: number;
  readonly type: 'rule' | 'policy' | 'return';
  readonly verdict?: string;
  readonly mark: number;
  readonly carries?: true;
  /** `reset`: an answer of nobody's connection, by which all who track it end it. */
  readonly leg?: Leg | 'reset';
}

/** What was seen of one packet, in order. `outside` is the host beyond every outside link, whose links bear `HOST-LINK`. */
export interface Seen {
  readonly trace: readonly Traced[];
  readonly links: readonly (Tuple & {
    readonly host: string;
    readonly link: string;
    readonly direction: 'in' | 'out';
    readonly leg?: Leg | 'reset';
    readonly seq?: number;
  })[];
  readonly delivered: readonly (Tuple & { readonly host: string; readonly mark: number; readonly leg?: Leg })[];
  /** Why the socket could not send, as the kernel names it. */
  readonly error?: string;
  /** The sockets could not keep up. */
  readonly lost?: true;
}

export type Step =
  | {
      readonly kind: 'inject';
      readonly link: string;
      readonly packet: Tuple & {
        readonly payload: string;
        readonly size?: number;
        readonly df?: true;
        /** TCP: SYN 2, ACK 16. */
        readonly flags?: number;
        readonly seq?: number;
        readonly ack?: number;
        /** An echo's reply. */
        readonly answers?: true;
      };
    }
  | {
      readonly kind: 'ask';
      readonly space: string;
      readonly protocol: number;
      readonly sourcePort: number;
      readonly destination: string;
      readonly destinationPort: number;
      readonly payload: string;
      readonly size?: number;
      readonly df?: true;
    }
  | (Tuple & { readonly kind: 'answer'; readonly space: string; readonly payload: string });

export interface Kernel extends AsyncDisposable {
  /** Sends it, and tells all that came of it, the answers of kernels included. */
  send(step: Step): Seen;
  /** A flow is over: its sockets are closed before the next is sent, and with `forget` all that hosts track is ended. */
  end(what: 'close' | 'forget'): void;
}

/** What the scenario cannot be made of: an illegal rule or route, said by nft or ip. */
export class BuildError extends Error {}

/** Every link's: so nobody has to be asked for a neighbour's. */
const MAC = '02:00:00:00:00:01';

/** The name of the far end of an outside link. */
export const outsideOf = (host: string, link: string): string => `${host}-${link}`;

export async function startKernel(scenario: Scenario): Promise<{
  readonly kernel: Kernel;
  readonly states: ReadonlyMap<string, HostState>;
  readonly neighbours: Wires['neighbours'];
}> {
  const agent = await startAgent();
  const run: Run = (commands) => Promise.resolve(agent.run(commands));
  try {
    await make(scenario, agent, run);
    const states = new Map<string, HostState>();
    // While rules were loaded, packets of the links' own may have come by.
    let before = 'forget';
    for (const { name } of scenario.hosts) states.set(name, await observe(name, run));
    return {
      states,
      neighbours: neighboursOf(scenario),
      kernel: {
        send(step) {
          const seen = JSON.parse(agent.ask(['send', before, ...wordsOf(step)])) as Seen;
          before = '';
          return seen;
        },
        end(what) {
          if (before !== 'forget') before = what;
        },
        [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
      },
    };
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
}

type Run = (commands: readonly Command[]) => Promise<readonly Output[]>;

async function make(scenario: Scenario, agent: Agent, run: Run): Promise<void> {
  const built = agent.ask(['build', ...scenario.hosts.map(({ name }) => name)]);
  const paths = JSON.parse(built) as Record<string, string>;
  const cables = scenario.cables.map(({ ends: [a, b], mtu }) => {
    const far = b ?? { host: 'outside', link: outsideOf(a.host, a.link) };
    const [near, there] = (mtu ?? []).map((each) => ` mtu ${each}`);
    return `link add ${a.link}${near ?? ''} address ${MAC} arp off netns ${paths[a.host]} type veth peer name ${far.link}${there ?? ''} address ${MAC} arp off netns ${paths[far.host]}`;
  });
  await ran(run, [{ space: 'outside', argv: ['ip', '-b', '-'], stdin: cables.join('\n') }]);
  const up = (links: readonly string[]): string => links.map((link) => `link set ${link} up`).join('\n');
  const ends = scenario.cables.flatMap(({ ends: [a, b] }) => [
    a,
    b ?? { host: 'outside', link: outsideOf(a.host, a.link) },
  ]);
  const linksOf = (host: string): readonly string[] => [
    ...ends.flatMap((end) => (end.host === host ? [end.link] : [])),
    ...tunnelsOf(scenario, host).map(({ link }) => link),
  ];
  await ran(run, [
    { space: 'outside', argv: ['ip', '-b', '-'], stdin: up(['lo', ...linksOf('outside')]) },
    ...scenario.hosts.map(({ name, addresses }) => ({
      ...{ space: name, argv: ['ip', '-b', '-'] },
      stdin: [
        ...tunnelsOf(scenario, name).map(({ add }) => add),
        ...addresses.map((each) => `addr add ${each.split(' ')[1]} dev ${each.split(' ')[0]}`),
        up(['lo', ...linksOf(name)]),
        ...tunnelsOf(scenario, name).flatMap(({ neighbours }) => neighbours),
      ].join('\n'),
    })),
  ]);
  const tunnels = (scenario.tunnels ?? []).flatMap(({ ends: both }) => both.flatMap(({ host, link }) => [host, link]));
  if (tunnels.length > 0) agent.ask(['sums', ...tunnels]);
  const settings = scenario.hosts.flatMap(({ name, sysctls }) =>
    [...quiet(linksOf(name)), ...sysctls].flatMap(([path, value]) => [name, path, value]),
  );
  agent.ask(['settings', ...settings]);
  const probe = probeOf(scenario);
  await ran(run, scenario.hosts.flatMap(nexthopsOf));
  await ran(run, [...scenario.hosts.flatMap((host) => commandsOf(host, probe)), ...scenario.hosts.flatMap(ipsetsOf)]);
  await ran(run, scenario.hosts.flatMap(iptablesOf));
  await settled(scenario, run);
  agent.ask(['watch', ...PORTS.map(String)]);
}

/** An address of IPv6 may be used, and a route's link is up, some time after `ip` says so: both are the work of the kernel's own threads. */
async function settled({ hosts }: Scenario, run: Run): Promise<void> {
  const questions = hosts.flatMap(({ name: space }): readonly Command[] => [
    { space, argv: ['ip', '-o', '-6', 'addr', 'show', 'tentative'] },
    ...[4, 6].map((family) => ({ space, argv: ['ip', `-${family}`, 'route', 'show', 'table', 'all'] })),
  ]);
  const isUnsettled = ({ stdout }: Output, at: number): boolean =>
    at % 3 === 0 ? stdout !== '' : /\b(?:linkdown|dead)\b/.test(stdout);
  for (const end = Date.now() + SETTLE_MS; (await run(questions)).some(isUnsettled); )
    if (Date.now() > end) throw new Error('links and addresses do not come up');
}

/** Half a second is usual where the machine has other work. */
const SETTLE_MS = 60_000;

/**
 * What `ip` makes of each tunnel of a host. A VXLAN drops what bears its own hardware address, so the ends differ, and each is told the
 * other's: nobody asks for neighbours. Its packets have the source port that the model takes for any.
 */
function tunnelsOf(
  { tunnels = [], hosts }: Scenario,
  name: string,
): readonly { readonly link: string; readonly add: string; readonly neighbours: readonly string[] }[] {
  return tunnels.flatMap(({ vni, ends }) =>
    ends.flatMap(({ host, link, local }, at) => {
      const far = ends[1 - at];
      if (host !== name || far === undefined) return [];
      const there = hosts.find((each) => each.name === far.host)?.addresses ?? [];
      const mac = (end: number): string => `02:00:00:00:${vni}:0${end}`;
      return {
        link,
        add: `link add ${link} address ${mac(at)} arp off type vxlan id ${vni} local ${local} remote ${far.local} dstport ${VXLAN_PORT} srcport ${SOURCE_PORTS[0]} ${SOURCE_PORTS[0] + 1} nolearning`,
        neighbours: there.flatMap((each) => {
          const [on, address = ''] = each.split(' ');
          return on === far.link
            ? [`neigh add ${address.split('/')[0]} lladdr ${mac(1 - at)} dev ${link} nud permanent`]
            : [];
        }),
      };
    }),
  );
}

/** As `ip neigh` would tell them. */
const neighboursOf = (scenario: Scenario): Wires['neighbours'] => {
  const tunnels = scenario.tunnels ?? [];
  return new Map(
    tunnels.flatMap(({ ends }) =>
      ends.flatMap(({ host, link }, at) => {
        const far = ends[1 - at];
        const there = scenario.hosts.find(({ name }) => name === far?.host)?.addresses ?? [];
        return there.flatMap((each) => {
          const [on, address = ''] = each.split(' ');
          return far === undefined || on !== far.link
            ? []
            : [[`${host} ${link} ${address.split('/')[0]}`, [{ host: far.host, link: far.link }]] as const];
        });
      }),
    ),
  );
};

/** As agent.c reads it. */
function wordsOf(step: Step): readonly string[] {
  const packet = step.kind === 'inject' ? step.packet : step;
  const { protocol, sourcePort, destination, destinationPort, payload } = packet;
  const { size = 0, df }: { readonly size?: number; readonly df?: true } =
    step.kind === 'inject' ? step.packet : step.kind === 'ask' ? step : {};
  const { flags = 0, seq = 0, ack = 0, answers = false } = step.kind === 'inject' ? step.packet : {};
  return [
    ...[step.kind, step.kind === 'inject' ? step.link : step.space, `${protocol}`],
    ...['source' in packet ? packet.source : '', `${sourcePort}`, destination, `${destinationPort}`, payload],
    ...[flags, seq, ack, answers ? 1 : 0, size, df === true ? 1 : 0].map(String),
  ];
}

/** What hosts track must not end by itself, however slowly all this goes. */
const LASTING = [
  ...['udp_timeout', 'udp_timeout_stream', 'icmp_timeout', 'icmpv6_timeout'],
  ...['syn_sent', 'syn_recv', 'close', 'max_retrans', 'unacknowledged'].map((state) => `tcp_timeout_${state}`),
];

/**
 * Echoes by sockets without rights. Numbers of segments, which the model does not know, decide nothing. No redirects: those belong to the
 * connection of the packet they tell of, and a rule that sees them may change its mark.
 */
const quiet = (links: readonly string[]): Host['sysctls'] => [
  ['net/ipv4/ping_group_range', '0 0'],
  ['net/netfilter/nf_conntrack_tcp_be_liberal', '1'],
  ...LASTING.map((name) => [`net/netfilter/nf_conntrack_${name}`, '3600'] as const),
  ...['all', ...links].map((link) => [`net/ipv4/conf/${link}/send_redirects`, '0'] as const),
];

function commandsOf({ name, routes, rules, tables }: Host, probe: TableText): readonly Command[] {
  const ip = [4, 6].flatMap((family): readonly Command[] => {
    const of = (lines: readonly string[], what: string): readonly string[] =>
      lines.flatMap((line) => (line.startsWith(`-${family} `) ? [`${what} add ${line.slice(3)}`] : []));
    const lines = [...of(routes, 'route'), ...of(rules, 'rule')];
    return lines.length === 0 ? [] : [{ space: name, argv: ['ip', `-${family}`, '-b', '-'], stdin: lines.join('\n') }];
  });
  return [...ip, { space: name, argv: ['nft', '-f', '-'], stdin: printTables([probe, ...tables]) }];
}

/** Before the routes by them. A group is of no family, and the others' gateways tell theirs. */
function nexthopsOf({ name, nexthops = [] }: Host): readonly Command[] {
  const lines = nexthops.map((each) => `nexthop add ${each.slice(3)}`);
  return lines.length === 0 ? [] : [{ space: name, argv: ['ip', '-b', '-'], stdin: lines.join('\n') }];
}

/** After the sets that they ask. */
function iptablesOf({ name, iptables = [] }: Host): readonly Command[] {
  return ([4, 6] as const).flatMap((family): readonly Command[] => {
    const own = iptables.filter((table) => table.family === family);
    const program = `ip${family === 4 ? '' : '6'}tables-nft-restore`;
    return own.length === 0 ? [] : [{ space: name, argv: [program], stdin: printIptables(own) }];
  });
}

function ipsetsOf({ name, ipsets = [] }: Host): readonly Command[] {
  return ipsets.length === 0 ? [] : [{ space: name, argv: ['ipset', 'restore'], stdin: printIpsets(ipsets) }];
}

async function ran(run: Run, commands: readonly Command[]): Promise<void> {
  for (const [index, { status, stderr }] of (await run(commands)).entries()) {
    const command = commands[index];
    if (status !== 0)
      throw new BuildError(`${command?.space}: ${command?.argv.join(' ')}: ${stderr}\n${command?.stdin}`);
  }
}

/** Of the machine, or of what the fuzzer makes none of: programs' versions, memory, WireGuard, daemons, routes that were learnt. */
const isAlikeEverywhere = ([program = '', ...words]: readonly string[]): boolean =>
  program === 'sh'
    ? !/nft|tables/.test(words[1] ?? '')
    : program !== 'grep' && !/ show(?! cache)| list/.test(words.join(' '));
const alike = new Map<string, Output>();

/** By the driver, as a live host is read; what is the same on all hosts is asked of the first alone. */
async function observe(space: string, run: Run): Promise<HostState> {
  const runAll: Transport['runAll'] = async (commands) => {
    const keys = commands.map(({ argv, stdin }) =>
      stdin === undefined && isAlikeEverywhere(argv) ? JSON.stringify(argv) : undefined,
    );
    const isKnown = (key: string | undefined): boolean => key !== undefined && alike.has(key);
    const asked = await run(commands.flatMap((command, at) => (isKnown(keys[at]) ? [] : [{ space, ...command }])));
    let next = 0;
    return keys.map((key) => {
      const output = (key === undefined ? undefined : alike.get(key)) ?? asked[next++];
      if (output === undefined) throw new Error('no output');
      if (key !== undefined) alike.set(key, output);
      return output;
    });
  };
  const no = (): Promise<never> => Promise.reject(new Error('the fuzzer writes no files'));
  const transport: Transport = {
    host: space,
    runAll,
    async run(command) {
      const [output] = await runAll([command]);
      if (output === undefined) throw new Error('no output');
      return output;
    },
    ...{ follow: no, readFile: no, writeFile: no, removeFile: no },
    stateFolder: () => Promise.resolve('/run/fuzz'),
  };
  const support = { wireguard: 'absent', vxlan: 'absent', flowtables: 'absent' } as const;
  const { state } = await linuxDriver(transport, { support: Promise.resolve(support) }).observe(
    new AbortController().signal,
  );
  return state;
}
