/** Every state that is one thing short of the compiled one. */
import type { Compiled } from '../../compile/index.ts';
import type { HostState } from '../../host/index.ts';
import { printInterfaceAddress, printPrefix } from '../../net/index.ts';
import { printRule as printPacketRule, printValue, type Table } from '../../nftables/index.ts';
import { printRoute, printRule } from '../../routing/index.ts';

export interface Mutant {
  /** What is missing: `edge: route ...`. */
  readonly name: string;
  readonly compiled: Compiled;
}

/** One mutant for each rule, element, base chain, route, routing rule, address, link, peer, allowed IP and sysctl of each host. */
export function mutantsOf(compiled: Compiled): readonly Mutant[] {
  return [...compiled.hosts.values()].flatMap((host) =>
    statesOf(host.state).map(({ name, state }) => ({
      name: `${host.name}: ${name}`,
      compiled: { ...compiled, hosts: new Map(compiled.hosts).set(host.name, { ...host, state }) },
    })),
  );
}

interface Less {
  readonly name: string;
  readonly state: HostState;
}

const without = <T>(list: readonly T[], index: number): readonly T[] => list.toSpliced(index, 1);

function statesOf(state: HostState): readonly Less[] {
  return [
    ...state.routes.map((route, at) => ({
      name: `route ${printRoute(route)} table ${route.table}`,
      state: { ...state, routes: without(state.routes, at) },
    })),
    ...state.rules.map((rule, at) => ({
      name: `routing rule IPv${rule.family} ${printRule(rule)}`,
      state: { ...state, rules: without(state.rules, at) },
    })),
    ...state.addresses.map((each, at) => ({
      name: `address ${printInterfaceAddress(each.address)}`,
      state: { ...state, addresses: without(state.addresses, at) },
    })),
    ...state.links.map((link, at) => ({ name: `link ${link.name}`, state: { ...state, links: without(state.links, at) } })),
    ...[...state.sysctls.keys()].map((path) => {
      const sysctls = new Map(state.sysctls);
      sysctls.delete(path);
      return { name: `sysctl ${path}`, state: { ...state, sysctls } };
    }),
    ...state.devices.flatMap((device, at) => [
      ...device.peers.map((_, index) => ({
        name: `peer ${index} of ${device.link}`,
        state: { ...state, devices: state.devices.with(at, { ...device, peers: without(device.peers, index) }) },
      })),
      ...device.peers.flatMap((peer, index) =>
        peer.allowedIps.map((prefix, which) => ({
          name: `allowed IP ${printPrefix(prefix)} of ${device.link}`,
          state: {
            ...state,
            devices: state.devices.with(at, {
              ...device,
              peers: device.peers.with(index, { ...peer, allowedIps: without(peer.allowedIps, which) }),
            }),
          },
        })),
      ),
    ]),
    ...state.tables.flatMap((table, at) =>
      tablesOf(table).map(({ name, table: less }) => ({ name, state: { ...state, tables: state.tables.with(at, less) } })),
    ),
  ];
}

function tablesOf(table: Table): readonly { readonly name: string; readonly table: Table }[] {
  return [
    ...table.chains.flatMap((chain, at) => [
      ...chain.rules.map((rule, index) => ({
        name: `${chain.name}: ${printPacketRule(rule)}`,
        table: { ...table, chains: table.chains.with(at, { ...chain, rules: without(chain.rules, index) }) },
      })),
      ...(chain.kind === 'base'
        ? [{ name: `base chain ${chain.name}`, table: { ...table, chains: without(table.chains, at) } }]
        : []),
    ]),
    ...table.maps.flatMap((map, at) =>
      map.elements.map(({ key }, index) => ({
        name: `${map.name}: ${printValue(key, map.type)}`,
        table: { ...table, maps: table.maps.with(at, { ...map, elements: without(map.elements, index) }) },
      })),
    ),
    ...table.sets.flatMap((set, at) =>
      set.elements.map(({ key }, index) => ({
        name: `${set.name}: ${printValue(key, set.type)}`,
        table: { ...table, sets: table.sets.with(at, { ...set, elements: without(set.elements, index) }) },
      })),
    ),
  ];
}

