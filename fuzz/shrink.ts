/** Makes a case smaller while what was seen of it stays: whatever can be left out is left out. */
import type { Host, IptablesText, Scenario, TableText } from './scenario.ts';

/** Tries each smaller scenario in turn, larger parts first, at most `tries` times. */
export async function shrink(
  scenario: Scenario,
  fails: (smaller: Scenario) => Promise<boolean>,
  tries = 150,
): Promise<Scenario> {
  let smallest = scenario;
  let left = tries;
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (let index = 0; left > 0; ) {
      const candidate = candidatesOf(smallest)[index];
      if (candidate === undefined) break;
      left--;
      if (await fails(candidate)) {
        smallest = candidate;
        isSmaller = true;
      } else index++;
    }
    if (left === 0) break;
  }
  return smallest;
}

/** Without each member, and first without each half. */
function without<T>(list: readonly T[]): readonly (readonly T[])[] {
  const half = list.length >> 1;
  const halves = list.length > 3 ? [list.slice(half), list.slice(0, half)] : [];
  return [...halves, ...list.map((_, at) => list.toSpliced(at, 1))];
}

function candidatesOf(scenario: Scenario): readonly Scenario[] {
  const { hosts, cables, flows, tunnels = [] } = scenario;
  const withHost = (at: number, host: Host): Scenario => ({ ...scenario, hosts: hosts.with(at, host) });
  const isUsed = (name: string): boolean => flows.some(({ from }) => from.host === name);
  return [
    ...without(flows.slice(0, -1)).map((fewer) => ({ ...scenario, flows: [...fewer, ...flows.slice(-1)] })),
    ...hosts
      .filter(({ name }) => !isUsed(name))
      .map(({ name }) => ({
        ...scenario,
        hosts: hosts.filter((host) => host.name !== name),
        cables: cables.filter(({ ends }) => ends.every((end) => end?.host !== name)),
        tunnels: tunnels.filter(({ ends }) => ends.every((end) => end.host !== name)),
      })),
    ...without(tunnels).map((fewer) => ({ ...scenario, tunnels: fewer })),
    ...without(cables).map((fewer) => ({ ...scenario, cables: fewer })),
    ...hosts.flatMap((host, at) => without(host.tables).map((tables) => withHost(at, { ...host, tables }))),
    ...hosts.flatMap((host, at) =>
      host.tables.flatMap((table, index) =>
        smallerTables(table).map((smaller) => withHost(at, { ...host, tables: host.tables.with(index, smaller) })),
      ),
    ),
    ...hosts.flatMap((host, at) => without(host.iptables ?? []).map((iptables) => withHost(at, { ...host, iptables }))),
    ...hosts.flatMap((host, at) =>
      (host.iptables ?? []).flatMap((table, index) =>
        smallerIptables(table).map((smaller) =>
          withHost(at, { ...host, iptables: (host.iptables ?? []).with(index, smaller) }),
        ),
      ),
    ),
    ...hosts.flatMap((host, at) => without(host.ipsets ?? []).map((ipsets) => withHost(at, { ...host, ipsets }))),
    ...hosts.flatMap((host, at) => without(host.rules).map((rules) => withHost(at, { ...host, rules }))),
    ...hosts.flatMap((host, at) => without(host.routes).map((routes) => withHost(at, { ...host, routes }))),
    ...hosts.flatMap((host, at) => without(host.nexthops ?? []).map((nexthops) => withHost(at, { ...host, nexthops }))),
    ...hosts.flatMap((host, at) => without(host.sysctls).map((sysctls) => withHost(at, { ...host, sysctls }))),
    ...hosts.flatMap((host, at) => without(host.addresses).map((addresses) => withHost(at, { ...host, addresses }))),
  ];
}

const smallerTables = (table: TableText): readonly TableText[] => [
  ...without(table.chains).map((chains) => ({ ...table, chains })),
  ...table.chains.flatMap((chain, at) =>
    without(chain.rules).map((rules) => ({ ...table, chains: table.chains.with(at, { ...chain, rules }) })),
  ),
  ...without(table.sets).map((sets) => ({ ...table, sets })),
];

const smallerIptables = (table: IptablesText): readonly IptablesText[] => [
  ...without(table.chains).map((chains) => ({ ...table, chains })),
  ...table.chains.flatMap((chain, at) =>
    without(chain.rules).map((rules) => ({ ...table, chains: table.chains.with(at, { ...chain, rules }) })),
  ),
];
