/** Small faults in what was rendered for a host, one at a time: what a slip in the renderer, or a hand on the host, would make of it. */
import type { HostState } from '../../src/host/index.ts';
import { addAddress, type Prefix } from '../../src/net/index.ts';
import {
  baseChain,
  type Chain,
  drop,
  type MapElement,
  match,
  number,
  payload,
  type Rule,
  rule,
  type Statement,
  type Table,
} from '../../src/nftables/index.ts';
import type { WireGuardDevice } from '../../src/wireguard/index.ts';

export interface Mutant {
  /** `rule gone`, `route gone`: what the table counts by. */
  readonly kind: string;
  /** Where, in words. */
  readonly at: string;
  readonly state: HostState;
}

/** Every mutant of a state, in order. Of long lists of elements the first, the last and one in the middle. */
export const mutantsOf = (state: HostState): readonly Mutant[] => [
  ...ofTables(state),
  ...ofRoutes(state),
  ...ofRules(state),
  ...ofSysctls(state),
  ...ofDevices(state),
  ...ofLinks(state),
  ...withoutErrors(state),
];

const without = <T>(list: readonly T[], at: number): readonly T[] => list.toSpliced(at, 1);

function ofTables(state: HostState): readonly Mutant[] {
  return state.tables.flatMap((table, index) =>
    mutantsOfTable(table).map(({ kind, at, table: mutated }) => ({
      ...{ kind, at: `${table.family} ${table.name} ${at}` },
      state: { ...state, tables: state.tables.with(index, mutated) },
    })),
  );
}

interface TableMutant {
  readonly kind: string;
  readonly at: string;
  readonly table: Table;
}

function mutantsOfTable(table: Table): readonly TableMutant[] {
  const withChain = (index: number, chain: Chain): Table => ({ ...table, chains: table.chains.with(index, chain) });
  return [
    ...table.chains.flatMap((chain, index): readonly TableMutant[] => [
      ...(chain.kind === 'base'
        ? [
            {
              ...{ kind: 'policy turned', at: chain.name },
              table: withChain(index, { ...chain, policy: chain.policy === 'drop' ? 'accept' : 'drop' }),
            },
          ]
        : []),
      ...mutantsOfRules(chain.rules).map(({ kind, at, rules }) => ({
        ...{ kind, at: `${chain.name} ${at}` },
        table: withChain(index, { ...chain, rules }),
      })),
    ]),
    ...table.sets.flatMap((set, index) =>
      some(set.elements).map((at) => ({
        ...{ kind: 'element gone', at: `@${set.name} ${at}` },
        table: { ...table, sets: table.sets.with(index, { ...set, elements: without(set.elements, at) }) },
      })),
    ),
    ...table.maps.flatMap((map, index) => {
      const withElements = (elements: readonly MapElement[]): Table => ({
        ...table,
        maps: table.maps.with(index, { ...map, elements }),
      });
      return some(map.elements).flatMap((at): readonly TableMutant[] => {
        const element = map.elements[at];
        const changed = element === undefined ? undefined : otherData(element);
        return [
          { kind: 'element gone', at: `@${map.name} ${at}`, table: withElements(without(map.elements, at)) },
          ...(changed === undefined
            ? []
            : [
                {
                  ...{ kind: 'element leads elsewhere', at: `@${map.name} ${at}` },
                  table: withElements(map.elements.with(at, changed)),
                },
              ]),
        ];
      });
    }),
  ];
}

const some = (list: readonly unknown[]): readonly number[] =>
  list.length === 0 ? [] : [...new Set([0, list.length >> 1, list.length - 1])];

/** To the next address; undefined where it leads to none. */
function otherData(element: MapElement): MapElement | undefined {
  const { data } = element;
  if (data.kind !== 'concat') return undefined;
  const [address] = data.parts;
  if (address?.kind !== 'address') return undefined;
  const other = { kind: 'address' as const, address: addAddress(address.address, 1n) };
  return { ...element, data: { ...data, parts: [other, ...data.parts.slice(1)] } };
}

function mutantsOfRules(
  rules: readonly Rule[],
): readonly { readonly kind: string; readonly at: string; readonly rules: readonly Rule[] }[] {
  return rules.flatMap((rule, index) => {
    const at = `rule ${index}`;
    const next = rules[index + 1];
    const withStatements = (statements: readonly Statement[]): readonly Rule[] =>
      rules.with(index, { ...rule, statements });
    return [
      { kind: 'rule gone', at, rules: without(rules, index) },
      ...(next === undefined
        ? []
        : [{ kind: 'rules swapped', at, rules: rules.with(index, next).with(index + 1, rule) }]),
      ...rule.statements.flatMap((statement, part) => {
        const turned = turnedVerdict(statement);
        return [
          ...(statement.kind === 'match'
            ? [
                {
                  kind: 'rule widened',
                  at: `${at}, part ${part}`,
                  rules: withStatements(without(rule.statements, part)),
                },
              ]
            : []),
          ...(statement.kind === 'set'
            ? [
                {
                  kind: 'mark not set',
                  at: `${at}, part ${part}`,
                  rules: withStatements(without(rule.statements, part)),
                },
              ]
            : []),
          ...(turned === undefined
            ? []
            : [
                {
                  ...{ kind: 'verdict turned', at: `${at}, part ${part}` },
                  rules: withStatements(rule.statements.with(part, turned)),
                },
              ]),
        ];
      }),
    ];
  });
}

function turnedVerdict(statement: Statement): Statement | undefined {
  if (statement.kind !== 'verdict') return undefined;
  const { kind } = statement.verdict;
  if (kind === 'accept') return { kind: 'verdict', verdict: { kind: 'drop' } };
  return kind === 'drop' ? { kind: 'verdict', verdict: { kind: 'accept' } } : undefined;
}

const shorter = (prefix: Prefix, by: number): Prefix => {
  const bits = prefix.address.family === 4 ? 32 : 128;
  const length = Math.max(0, prefix.length - by);
  const shift = BigInt(bits - length);
  return { address: { ...prefix.address, value: (prefix.address.value >> shift) << shift }, length };
};

function ofRoutes(state: HostState): readonly Mutant[] {
  return state.routes.flatMap((route, index): readonly Mutant[] => {
    const at = `route ${index}`;
    const withRoute = (changed: typeof route): HostState => ({ ...state, routes: state.routes.with(index, changed) });
    return [
      { kind: 'route gone', at, state: { ...state, routes: without(state.routes, index) } },
      { kind: 'route in another table', at, state: withRoute({ ...route, table: route.table + 1 }) },
      ...(route.destination.length === 0
        ? []
        : [{ kind: 'route widened', at, state: withRoute({ ...route, destination: shorter(route.destination, 8) }) }]),
    ];
  });
}

function ofRules(state: HostState): readonly Mutant[] {
  return state.rules.flatMap((rule, index): readonly Mutant[] => {
    const at = `routing rule ${rule.priority}`;
    const withRule = (changed: typeof rule): HostState => ({ ...state, rules: state.rules.with(index, changed) });
    return [
      { kind: 'routing rule gone', at, state: { ...state, rules: without(state.rules, index) } },
      { kind: 'routing rule too late', at, state: withRule({ ...rule, priority: 33_000 }) },
      ...(rule.mark === undefined
        ? []
        : [
            {
              ...{ kind: 'mark of a routing rule changed', at },
              state: withRule({ ...rule, mark: { ...rule.mark, value: (rule.mark.value ^ rule.mark.mask) >>> 0 } }),
            },
          ]),
    ];
  });
}

const ofSysctls = (state: HostState): readonly Mutant[] =>
  [...state.sysctls].map(([path, value]) => ({
    ...{ kind: 'sysctl turned', at: path },
    state: { ...state, sysctls: new Map(state.sysctls).set(path, value === '0' ? '1' : '0') },
  }));

function ofDevices(state: HostState): readonly Mutant[] {
  const withDevice = (index: number, device: WireGuardDevice): HostState => ({
    ...state,
    devices: state.devices.with(index, device),
  });
  return state.devices.flatMap((device, index) =>
    device.peers.flatMap((peer, number): readonly Mutant[] => [
      {
        ...{ kind: 'peer gone', at: device.link },
        state: withDevice(index, { ...device, peers: without(device.peers, number) }),
      },
      ...peer.allowedIps.map((_, which) => ({
        ...{ kind: 'allowed IPs gone', at: `${device.link} ${which}` },
        state: withDevice(index, {
          ...device,
          peers: device.peers.with(number, { ...peer, allowedIps: without(peer.allowedIps, which) }),
        }),
      })),
    ]),
  );
}

/** Somebody else's firewall that drops ICMP errors, as many do. */
const withoutErrors = (state: HostState): readonly Mutant[] =>
  (['input', 'forward', 'output'] as const).flatMap((hook) =>
    ([4, 6] as const).map((family): Mutant => {
      const [protocol, type] = family === 4 ? (['icmp', 3] as const) : (['icmpv6', 2] as const);
      const dropped = rule(match(payload(protocol, 'type'), '==', number(type)), drop);
      const table: Table = {
        ...{ family: family === 4 ? 'ip' : 'ip6', name: 'theirs', sets: [], maps: [], opaque: [] },
        chains: [baseChain('guard', { type: 'filter', hook, priority: 0 }, dropped)],
      };
      return {
        kind: 'ICMP errors dropped',
        at: `${hook}, IPv${family}`,
        state: { ...state, tables: [...state.tables, table] },
      };
    }),
  );

const ofLinks = (state: HostState): readonly Mutant[] =>
  state.links.flatMap((link, index): readonly Mutant[] => {
    const withLink = (changed: typeof link): HostState => ({ ...state, links: state.links.with(index, changed) });
    return [
      { kind: 'link down', at: link.name, state: withLink({ ...link, up: false }) },
      { kind: 'MTU too small', at: link.name, state: withLink({ ...link, mtu: link.mtu - 200 }) },
    ];
  });
