/** Changes of what is others': whether they stand, and what a host is with them. */
import {
  type HostChange,
  type HostFacts,
  type HostObject,
  type HostState,
  type RulePlace,
  standingOf,
} from '../host/index.ts';
import { printIptablesTable, readIptablesSave } from '../iptables/index.ts';
import { type Chain, diffTable, type Rule, type RulesetObject, type Table } from '../nftables/index.ts';
import { printRoute, printRule } from '../routing/index.ts';
import { sameKey, type WireGuardPeer } from '../wireguard/index.ts';

/** Those of `changes` that a look does not show as made. */
export const unmade = (facts: HostFacts, changes: readonly HostChange[]): readonly HostChange[] =>
  changes.filter((change) => isMade(facts, change) !== true);

/** Whether what the change makes stands on the host; undefined where a look does not show it. */
export function isMade({ state }: Pick<HostFacts, 'state'>, change: HostChange): boolean | undefined {
  if (change.action === 'change' && change.before.kind === 'peer' && change.after.kind === 'peer')
    return isPeerMade(state, change.before, change.after);
  if (change.action !== 'remove') return stands(state, change.after);
  const there = stands(state, change.before);
  return there === undefined ? undefined : !there;
}

function stands(state: HostState, object: HostObject): boolean | undefined {
  switch (object.kind) {
    case 'sysctl':
      return words(state.sysctls.get(object.path)) === words(object.value);
    case 'route':
      return state.routes.some((route) => printRoute(route) === printRoute(object.route));
    case 'rule':
      return state.rules.some((rule) => printRule(rule) === printRule(object.rule));
    case 'link':
      return state.links.some(
        ({ name, mtu, up }) => name === object.link.name && mtu === object.link.mtu && up === object.link.up,
      );
    case 'nft':
      return standsInTable(state.tables, object.object);
    case 'foreignRule': {
      const isThere = chainAt(state.tables, object.place)?.rules.some((rule) => isRule(rule, object.rule)) === true;
      return isThere || object.place.kind === 'nft' ? isThere : undefined;
    }
    case 'iptablesTable':
      return state.tables.some((table) => isLegacy(table, object) && printIptablesTable(table) === object.content);
    case 'peer':
    case 'address':
    case 'device':
    case 'accept':
    case 'flows':
    case 'file':
    case 'restore':
    case 'connection':
    case 'unit':
    case 'connections':
      return undefined;
    case 'iptables':
      return standingOf(state, [object.rule]).length > 0;
  }
}

const words = (text: string | undefined): string | undefined => text?.trim().split(/\s+/).join(' ');

/** By what the change sets: an endpoint moves with what is heard of the peer. */
function isPeerMade(state: HostState, before: PeerObject, { link, peer, meaning }: PeerObject): boolean {
  const standing = state.devices
    .find((device) => device.link === link)
    ?.peers.find((each) => sameKey(each.publicKey, peer.publicKey));
  const wanted = { ...peer, ...(meaning && { endpoint: meaning }) };
  return (
    standing !== undefined &&
    (['endpoint', 'keepaliveSeconds', 'allowedIps'] as const).every(
      (key) => plain(before.peer[key]) === plain(peer[key]) || plain(standing[key]) === plain(wanted[key]),
    )
  );
}

type PeerObject = Extract<HostObject, { readonly kind: 'peer' }>;

const plain = (data: unknown): string =>
  JSON.stringify(data, (_, value) => (typeof value === 'bigint' ? `${value}` : value));

/** By its comment, where it has one; iptables' own list may say it in other words. */
const isRule = (left: Rule, right: Rule): boolean =>
  right.comment === undefined ? plain(left.statements) === plain(right.statements) : left.comment === right.comment;

function standsInTable(tables: readonly Table[], object: RulesetObject): boolean | undefined {
  const table = tables.find(({ family, name }) => family === object.family && name === object.table);
  if (object.kind === 'table') return table !== undefined;
  if (object.kind !== 'chain') return undefined;
  const chain = table?.chains.find(({ name }) => name === object.chain.name);
  const alone = (of: Chain): Table => ({ ...EMPTY, family: object.family, name: object.table, chains: [of] });
  return chain !== undefined && diffTable(alone(chain), alone(object.chain)).length === 0;
}

const EMPTY = { sets: [], maps: [], chains: [], opaque: [] };

// ---- the host with them

/** The state of a host once the changes are carried out, as far as they are of what a state holds. */
export const carriedOut = (state: HostState, changes: readonly HostChange[]): HostState =>
  changes.reduce((before, change) => {
    const gone = change.action === 'add' ? before : without(before, change.before);
    return change.action === 'remove' ? gone : withObject(gone, change.after);
  }, state);

function without(state: HostState, object: HostObject): HostState {
  switch (object.kind) {
    case 'route': {
      const text = printRoute(object.route);
      return { ...state, routes: state.routes.filter((route) => printRoute(route) !== text) };
    }
    case 'rule': {
      const text = printRule(object.rule);
      return { ...state, rules: state.rules.filter((rule) => printRule(rule) !== text) };
    }
    case 'foreignRule':
      return inChain(state, object.place, (rules) => rules.filter((rule) => !isRule(rule, object.rule)));
    // Exchanged by what comes after them, or nothing that a packet meets.
    default:
      return state;
  }
}

function withObject(state: HostState, object: HostObject): HostState {
  switch (object.kind) {
    case 'sysctl':
      return { ...state, sysctls: withSysctl(state.sysctls, object.path, object.value) };
    case 'route':
      return { ...state, routes: [...state.routes, object.route] };
    case 'rule':
      // Behind those of its priority (fib_rules.c).
      return { ...state, rules: [...state.rules, object.rule].sort((left, right) => left.priority - right.priority) };
    case 'link':
      return { ...state, links: state.links.map((link) => (link.name === object.link.name ? object.link : link)) };
    case 'peer':
      return {
        ...state,
        devices: state.devices.map((device) =>
          device.link === object.link
            ? { ...device, peers: device.peers.map((peer) => withPeer(peer, object)) }
            : device,
        ),
      };
    case 'nft':
      return { ...state, tables: withRuleset(state.tables, object.object) };
    case 'foreignRule':
      return inChain(state, object.place, (rules) => {
        const { behind = 0 } = object.place;
        return [...rules.slice(0, behind), object.rule, ...rules.slice(behind)];
      });
    case 'iptablesTable': {
      const { tables } = readIptablesSave(object.content, { family: object.family, origin: 'iptables-legacy' });
      return { ...state, tables: [...state.tables.filter((table) => !isLegacy(table, object)), ...tables] };
    }
    default:
      return state;
  }
}

/** Who asks last for an allowed IP takes it from the others of the link. */
function withPeer(peer: WireGuardPeer, { peer: wanted, meaning }: PeerObject): WireGuardPeer {
  if (sameKey(peer.publicKey, wanted.publicKey)) return { ...peer, ...wanted, ...(meaning && { endpoint: meaning }) };
  const taken = new Set(wanted.allowedIps.map(plain));
  return { ...peer, allowedIps: peer.allowedIps.filter((each) => !taken.has(plain(each))) };
}

/** Forwarding of a whole family is that of each of its links (devinet.c, addrconf.c). */
function withSysctl(sysctls: HostState['sysctls'], path: string, value: string): HostState['sysctls'] {
  const family =
    path === 'net/ipv4/ip_forward' || path === 'net/ipv4/conf/all/forwarding'
      ? 'ipv4'
      : path === 'net/ipv6/conf/all/forwarding'
        ? 'ipv6'
        : undefined;
  return new Map(
    [...sysctls, [path, value] as const].map(([each, now]) => {
      const goesWith =
        family !== undefined &&
        (each === `net/${family}/ip_forward` ||
          (each.startsWith(`net/${family}/conf/`) && each.endsWith('/forwarding')));
      return [each, goesWith ? value : now];
    }),
  ).set(path, value);
}

function withRuleset(tables: readonly Table[], object: RulesetObject): readonly Table[] {
  const { family, table: name } = object;
  if (object.kind === 'table') return [...tables, { ...EMPTY, family, name }];
  if (object.kind !== 'chain') return tables;
  return tables.map((table) =>
    table.family === family && table.name === name ? { ...table, chains: [...table.chains, object.chain] } : table,
  );
}

const isAt = ({ family, name, origin }: Table, place: RulePlace): boolean =>
  name === place.table &&
  (place.kind === 'nft'
    ? family === place.family
    : family === (place.family === 4 ? 'ip' : 'ip6') &&
      (origin === 'iptables-legacy') === (place.backend === 'legacy'));

const chainAt = (tables: readonly Table[], place: RulePlace): Chain | undefined =>
  tables.find((table) => isAt(table, place))?.chains.find(({ name }) => name === place.chain);

const inChain = (
  state: HostState,
  place: RulePlace,
  exchange: (rules: readonly Rule[]) => readonly Rule[],
): HostState => ({
  ...state,
  tables: state.tables.map((table) =>
    isAt(table, place)
      ? {
          ...table,
          chains: table.chains.map((chain) =>
            chain.name === place.chain ? { ...chain, rules: exchange(chain.rules) } : chain,
          ),
        }
      : table,
  ),
});

const isLegacy = ({ origin, family, name }: Table, at: { readonly family: 4 | 6; readonly table: string }): boolean =>
  origin === 'iptables-legacy' && name === at.table && family === (at.family === 4 ? 'ip' : 'ip6');
