/** What would keep a packet in that leaks: commands as people type them, each tried on the model first. */
import type { HostState } from '../host/index.ts';
import { containsAddress, type Family, type Prefix, printPrefix, wholeFamily } from '../net/index.ts';
import { accept, drop, match, meta, payload, prefix, type Rule, rule, type Table, text } from '../nftables/index.ts';
import { MAIN_TABLE, type RoutingRule, WORST_METRIC } from '../routing/index.ts';
import { buildNetwork, type Network, simulate, type TunnelPlug } from '../simulate/index.ts';
import { leakOf } from './egress-leak.ts';
import type { Finding } from './promise.ts';

interface Help {
  readonly host: string;
  readonly text: string;
  readonly follow: (state: HostState) => HostState;
}

/** The first of what is usually done that keeps it in, as a command; undefined where none does. */
export function helpAgainst(
  network: Network,
  { flow, opened }: Finding,
  { plugs, sources }: { readonly plugs: readonly TunnelPlug[]; readonly sources: readonly Prefix[] },
  isTight: (network: Network) => boolean,
): string | undefined {
  if (flow === undefined) return undefined;
  const connections = opened?.();
  const { request } = simulate(network, flow, { hops: true, ...(connections && { connections }) });
  const leak = leakOf(request, plugs, [
    { host: flow.from.host, link: flow.from.kind === 'beyond' ? flow.from.link : '' },
  ]);
  const source = sources.find((each) => flow.from.address !== undefined && containsAddress(each, flow.from.address));
  if (leak === undefined || source === undefined) return undefined;
  const hiding = request.hops.find(
    ({ host, stage, detail }) => host !== leak.host && stage === 'postrouting' && detail.startsWith('source '),
  );
  const all = [
    ...helps(network, leak, source),
    ...(hiding === undefined ? [] : [unhide(hiding.host, network, source)]),
    filterOut(leak, source),
  ];
  return all.find(({ host, follow }) => isTight(withState(network, host, follow)))?.text;
}

function withState(network: Network, name: string, follow: (state: HostState) => HostState): Network {
  const hosts = [...network.hosts.values()].map((host) =>
    host.name === name ? { ...host, state: follow(host.state) } : host,
  );
  return { ...buildNetwork(hosts, [], network.wires), farEnds: network.farEnds };
}

/** A route that ends the table of the sources, or a rule that leads them into one. */
function helps(network: Network, { host }: TunnelPlug, source: Prefix): readonly Help[] {
  const state = network.hosts.get(host)?.state;
  if (state === undefined) return [];
  const { family } = source.address;
  const chosen = state.rules.find((each) => each.family === family && isFor(each, source));
  const other = state.rules.find(
    (each) => each.family !== family && each.from !== undefined && tableOf(each) !== undefined,
  );
  const table = (chosen && tableOf(chosen)) ?? (other && tableOf(other)) ?? freeTable(state);
  const end = `ip -${family} route add blackhole default table ${table} metric ${WORST_METRIC}`;
  const withEnd = (before: HostState): HostState => ({
    ...before,
    routes: [...before.routes, blackhole(family, table)],
  });
  const priority = Math.min(
    ...[chosen?.priority ?? 32_000, other?.priority ?? 32_000],
    ...state.rules.flatMap((each) =>
      each.family === family && tableOf(each) === undefined && each.priority > 0 ? [each.priority - 1] : [],
    ),
  );
  const lookup = `ip -${family} rule add from ${printPrefix(source)} lookup ${table} priority ${priority}`;
  const added: RoutingRule = { family, priority, from: source, action: { kind: 'lookup', table }, protocol: 3 };
  const withRule = (before: HostState): HostState => ({
    ...before,
    rules: [added, ...before.rules].sort((left, right) => left.priority - right.priority),
  });
  return [
    { host, text: end, follow: withEnd },
    { host, text: lookup, follow: withRule },
    { host, text: `${lookup}; ${end}`, follow: (before) => withEnd(withRule(before)) },
  ];
}

const isFor = (each: RoutingRule, source: Prefix): boolean =>
  tableOf(each) !== undefined && each.from !== undefined && containsAddress(each.from, source.address);

/** Of a rule that leads to a table of somebody's own. */
const tableOf = ({ action }: RoutingRule): number | undefined =>
  action.kind === 'lookup' && action.table < 253 && action.table !== MAIN_TABLE
    ? action.table
    : action.kind === 'lookup' && action.table > 255
      ? action.table
      : undefined;

function freeTable({ routes, rules }: HostState): number {
  const used = new Set([...routes.map(({ table }) => table), ...rules.map(({ priority }) => priority)]);
  for (let number = 100; ; number++) if (!used.has(number)) return number;
}

const blackhole = (family: Family, table: number) => ({
  ...{ table, destination: wholeFamily(family), type: 'blackhole' as const, metric: WORST_METRIC, protocol: 3 },
});

/** A host on the way hides who asks, so that the next does not know the source. */
function unhide(host: string, network: Network, source: Prefix): Help {
  const of = source.address.family === 4 ? 'ip' : 'ip6';
  const spare = rule(match(payload(of, 'saddr'), '==', prefix(source)), accept);
  const nat = (network.hosts.get(host)?.state.tables ?? []).flatMap(({ chains }) =>
    chains.flatMap((chain) =>
      chain.kind === 'base' && chain.type === 'nat' && chain.hook === 'postrouting' ? [chain.name] : [],
    ),
  );
  const isXt = nat.includes('POSTROUTING');
  const words = `-t nat -I POSTROUTING -s ${printPrefix(source)} -j ACCEPT`;
  return {
    host,
    text: `on ${host}: ${isXt ? `${of === 'ip' ? 'iptables' : 'ip6tables'} ${words}` : `${of} saddr ${printPrefix(source)} accept before what hides it`}`,
    follow: (state) => ({ ...state, tables: state.tables.map((table) => insert(table, 'nat', 'postrouting', spare)) }),
  };
}

/** Whatever routes say. */
function filterOut({ host, link }: TunnelPlug, source: Prefix): Help {
  const of = source.address.family === 4 ? 'ip' : 'ip6';
  const stop = rule(match(payload(of, 'saddr'), '==', prefix(source)), match(meta('oifname'), '==', text(link)), drop);
  const table: Table = {
    ...{ family: 'inet', name: 'killswitch', sets: [], maps: [], opaque: [] },
    chains: [
      {
        kind: 'base',
        name: 'forward',
        type: 'filter',
        hook: 'forward',
        priority: -10,
        policy: 'accept',
        rules: [stop],
      },
    ],
  };
  const program = of === 'ip' ? 'iptables' : 'ip6tables';
  return {
    host,
    text: `${program} -I FORWARD -s ${printPrefix(source)} -o ${link} -j DROP`,
    follow: (state) => ({ ...state, tables: [...state.tables, table] }),
  };
}

const insert = (table: Table, type: 'nat', hook: 'postrouting', first: Rule): Table => ({
  ...table,
  chains: table.chains.map((chain) =>
    chain.kind === 'base' && chain.type === type && chain.hook === hook
      ? { ...chain, rules: [first, ...chain.rules] }
      : chain,
  ),
});
