/** What stands on a host and what should, as a list of changes in an order that can be carried out. */
import { handedOver } from '../compile/index.ts';
import {
  add,
  besideHandMade,
  encodeRecord,
  type ForeignAccept,
  type HandMade,
  type HostChange,
  type HostFacts,
  type HostObject,
  type HostRecord,
  type HostState,
  ownState,
  placeKey,
  printAccept,
  remove,
  standingOf,
  undoScript,
} from '../host/index.ts';
import { type Address, printAddress, printInterfaceAddress, printPrefix } from '../net/index.ts';
import type { RulesetChange } from '../nftables/index.ts';
import { type Link, type LinkAddress, printRoute, printRule, type Route, type RoutingRule } from '../routing/index.ts';
import { diffDevices } from './devices.ts';
import { tableChanges } from './fast-path.ts';
import { flowChanges } from './flows.ts';
import { diffRestore } from './restore.ts';

export interface Desired {
  readonly state: HostState;
  /** Absent: nothing of ours is left on the host, the record goes too. */
  readonly record?: HostRecord;
  /** Rules that somebody made by hand and this stands for: those that are there still go. */
  readonly taken?: readonly HandMade[];
}

/**
 * The changes that make what is ours on the host as desired; empty where it is so already. What is not ours is never in it.
 * The order: the record and its undo first, so that a crash at any later step can be mended; what closes before what opens;
 * the table before links and forwarding, so that no packet passes unjudged; what is taken over from others once all that stands for it is
 * there, and its connections with it; the record's last word at the end.
 */
export function planHost(facts: HostFacts, desired: Desired): readonly HostChange[] {
  const own = ownState(facts.state);
  const want = desired.state;
  const links = diffLinks(own.links, want.links);
  const gone = new Set(links.removed.map(({ name }) => name));
  const made = new Set(links.added.map(({ name }) => name));
  // The kernel takes a link's addresses, routes, peers and settings with it. They are named all the same: undone, the plan brings them back.
  const wantedAddresses = new Set(want.addresses.map(addressKey));
  const addresses = diffSets(
    // Link-local addresses that we did not ask for are the kernel's.
    own.addresses.filter((each) => each.scope !== 'link' || wantedAddresses.has(addressKey(each))),
    want.addresses,
    addressKey,
    ({ link }) => gone.has(link),
  );
  const routes = diffRoutes(own.routes, want.routes, ({ link }) => link !== undefined && gone.has(link));
  const rules = diffSets(own.rules, want.rules, ruleKey, () => false);
  const peers = diffDevices(own.devices, want.devices, gone, facts);
  const sysctls = diffSysctls(facts, desired, made);
  const { first, main, last } = tableChanges(own.tables[0], want.tables[0], gone);
  const tables = main.map(ofNft);
  const taken = standingOf(facts.state, desired.taken ?? []);
  const accepts = diffAccepts(
    own.accepts,
    want.accepts.map((accept) => besideHandMade(accept, facts.state, taken)),
  );
  const daemons = diffDaemonFiles(own.files, want.files);
  const files = diffFiles(facts, desired, sysctls.restored.length > 0);
  const changes = [
    // How the host starts first of all: what is pending at a boot is taken back by it.
    ...daemons.written,
    ...files.first,
    ...accepts.removed,
    ...sysctls.restored,
    ...rules.removed.map((rule) => remove({ kind: 'rule', rule })),
    ...routes.removed.map((route) => remove({ kind: 'route', route })),
    ...addresses.removed.map((address) => remove({ kind: 'address', address })),
    ...linkSysctls(facts, gone),
    ...peers.removed,
    ...first.map(ofNft),
    ...links.removed.map((link) => remove({ kind: 'link', link })),
    ...tables,
    ...flowChanges(facts, desired.record, tables),
    ...sysctls.first,
    ...links.added.map((link) => add({ kind: 'link', link })),
    ...links.changed.map(
      ({ before, after }): HostChange => ({
        action: 'change',
        before: { kind: 'link', link: before },
        after: { kind: 'link', link: after },
      }),
    ),
    ...peers.devices,
    ...peers.added,
    ...addresses.added.map((address) => add({ kind: 'address', address })),
    ...sysctls.wanted,
    ...routes.wanted,
    ...rules.added.map((rule) => add({ kind: 'rule', rule })),
    ...last.map(ofNft),
    ...accepts.wanted,
    ...handOver(desired.record, taken),
    ...daemons.removed,
    ...files.last,
  ];
  return [...changes, ...diffRestore(facts, desired, changes)];
}

/** The connections that these rules made get our marks first, then the rules go. */
function handOver(record: HostRecord | undefined, taken: readonly HandMade[]): readonly HostChange[] {
  const handed = record && taken.length > 0 ? handedOver(record, taken) : undefined;
  return [
    ...(handed === undefined ? [] : [add({ kind: 'connections', ...handed })]),
    ...taken.map((made) =>
      remove(made.kind === 'rule' ? { ...made, handMade: true } : { kind: 'iptables', rule: made }),
    ),
  ];
}

/** What is on a link that goes is removed, and added again where it is wanted on its successor. */
function diffSets<T>(
  before: readonly T[],
  after: readonly T[],
  key: (each: T) => string,
  goes: (each: T) => boolean,
): { readonly added: readonly T[]; readonly removed: readonly T[] } {
  const stays = new Set(before.filter((each) => !goes(each)).map(key));
  const wanted = new Set(after.map(key));
  return {
    added: after.filter((each) => !stays.has(key(each))),
    removed: before.filter((each) => goes(each) || !wanted.has(key(each))),
  };
}

/** Of two routes that the kernel has one of at a time, one takes the other's place at once: no packet is without. */
function diffRoutes(
  before: readonly Route[],
  after: readonly Route[],
  goes: (route: Route) => boolean,
): { readonly removed: readonly Route[]; readonly wanted: readonly HostChange[] } {
  const { added, removed } = diffSets(before, after, routeKey, goes);
  const places = new Map(removed.filter((route) => !goes(route)).map((route) => [routePlace(route), route]));
  const replaced = new Set<Route>();
  const wanted = added.map((route): HostChange => {
    const old = places.get(routePlace(route));
    if (old === undefined) return add({ kind: 'route', route });
    places.delete(routePlace(route));
    replaced.add(old);
    return { action: 'change', before: { kind: 'route', route: old }, after: { kind: 'route', route } };
  });
  return { removed: removed.filter((route) => !replaced.has(route)), wanted };
}

const addressKey = ({ link, address }: LinkAddress): string => `${link} ${printInterfaceAddress(address)}`;
/** What the kernel tells routes of a table apart by. */
const routePlace = ({ destination, table, metric }: Route): string => `${printPrefix(destination)} ${table} ${metric}`;
const routeKey = (route: Route): string => `${printPrefix(route.destination)} ${route.table} ${printRoute(route)}`;
const ruleKey = (rule: RoutingRule): string => `${rule.family} ${rule.priority} ${printRule(rule)}`;

// ---- links

interface LinkDiff {
  readonly added: readonly Link[];
  readonly removed: readonly Link[];
  readonly changed: readonly { readonly before: Link; readonly after: Link }[];
}

/** A link is changed in place while it is of the same kind; the ends of a VXLAN, IPIP or GRE link cannot change, so that one is made anew. */
function diffLinks(before: readonly Link[], after: readonly Link[]): LinkDiff {
  const stands = new Map(before.map((link) => [link.name, link]));
  const wanted = new Map(after.map((link) => [link.name, link]));
  const renewed = (link: Link): boolean => {
    const other = stands.get(link.name);
    return other !== undefined && linkIdentity(other) !== linkIdentity(link);
  };
  return {
    added: after.filter((link) => !stands.has(link.name) || renewed(link)),
    removed: before.filter((link) => {
      const next = wanted.get(link.name);
      return next === undefined || renewed(next);
    }),
    changed: after.flatMap((link) => {
      const other = stands.get(link.name);
      const same = other === undefined || renewed(link) || (other.mtu === link.mtu && other.up === link.up);
      return same ? [] : [{ before: { ...link, mtu: other.mtu, up: other.up }, after: link }];
    }),
  };
}

const linkIdentity = ({ kind, vxlan, outer }: Link): string => {
  const text = (address: Address | undefined): string => (address === undefined ? '' : printAddress(address));
  if (outer !== undefined) return `${kind} ${text(outer.local)} ${text(outer.remote)}`;
  return vxlan === undefined ? kind : `${kind} ${vxlan.vni} ${vxlan.port} ${text(vxlan.local)} ${text(vxlan.remote)}`;
};

// ---- the table

function ofNft(change: RulesetChange): HostChange {
  switch (change.action) {
    case 'add':
      return add({ kind: 'nft', object: change.after });
    case 'change':
      return {
        action: 'change',
        before: { kind: 'nft', object: change.before },
        after: { kind: 'nft', object: change.after },
      };
    case 'remove':
      return remove({ kind: 'nft', object: change.before });
  }
}

// ---- in the firewalls of others

/** What one place lets through changes at once. */
function diffAccepts(
  before: readonly ForeignAccept[],
  after: readonly ForeignAccept[],
): { readonly removed: readonly HostChange[]; readonly wanted: readonly HostChange[] } {
  const stands = new Map(before.map((accept) => [placeKey(accept.place), accept]));
  const wanted = new Set(after.map(({ place }) => placeKey(place)));
  return {
    removed: before
      .filter(({ place }) => !wanted.has(placeKey(place)))
      .map((accept) => remove({ kind: 'accept', accept })),
    wanted: after.flatMap((accept): readonly HostChange[] => {
      const old = stands.get(placeKey(accept.place));
      if (old === undefined) return [add({ kind: 'accept', accept })];
      if (printAccept(old) === printAccept(accept)) return [];
      return [{ action: 'change', before: { kind: 'accept', accept: old }, after: { kind: 'accept', accept } }];
    }),
  };
}

// ---- sysctls

/** The kernel's WireGuard clears it when a link comes up: written before that, an apply cut short there still knows to put it back. */
const ALL_SEND_REDIRECTS = 'net/ipv4/conf/all/send_redirects';
const ALL_FORWARDING_6 = 'net/ipv6/conf/all/forwarding';
const isForwarding6 = (path: string): boolean => path.startsWith('net/ipv6/conf/') && path.endsWith('/forwarding');

function diffSysctls(
  facts: HostFacts,
  { state, record }: Desired,
  made: ReadonlySet<string>,
): {
  readonly restored: readonly HostChange[];
  readonly first: readonly HostChange[];
  readonly wanted: readonly HostChange[];
} {
  const now = facts.state.sysctls;
  const noted = facts.record?.sysctlsBefore ?? new Map<string, string>();
  const back = [...noted].filter(
    ([path]) =>
      now.has(path) &&
      !state.sysctls.has(path) &&
      (record?.sysctlsBefore.get(path) === undefined || !isForwarding6(path)),
  );
  const all = back.find(([path]) => path === ALL_FORWARDING_6)?.[1];
  const writesAll = all !== undefined && now.get(ALL_FORWARDING_6) !== all;
  const restored = back
    // `all` first: writing it sets every link's (addrconf.c), and those that were otherwise are set after it.
    .sort(
      ([a], [b]) =>
        Number(isForwarding6(b)) - Number(isForwarding6(a)) ||
        Number(b === ALL_FORWARDING_6) - Number(a === ALL_FORWARDING_6),
    )
    .flatMap(([path, value]) => {
      const standing = writesAll && isForwarding6(path) && path !== ALL_FORWARDING_6 ? all : now.get(path);
      return standing === value || standing === undefined ? [] : [sysctl(path, standing, value)];
    });
  const write = ([path, value]: readonly [string, string]): readonly HostChange[] => {
    const standing = made.has(path.split('/')[3] ?? '') ? undefined : now.get(path);
    return standing === value ? [] : [sysctl(path, standing, value)];
  };
  const first = [...state.sysctls].filter(([path]) => path === ALL_SEND_REDIRECTS).flatMap(write);
  const wanted = [...state.sysctls]
    .filter(([path]) => path !== ALL_SEND_REDIRECTS)
    // Forwarding last: accept_ra must be 2 before it, or the default route is lost.
    .sort(([a], [b]) => Number(a.endsWith('/forwarding')) - Number(b.endsWith('/forwarding')))
    .flatMap(write);
  return { restored, first, wanted };
}

/** What was set on links that go: settings other than a new link would have. */
const linkSysctls = (facts: HostFacts, gone: ReadonlySet<string>): readonly HostChange[] =>
  [...facts.state.sysctls].flatMap(([path, value]) => {
    const [net, family, conf, link, name] = path.split('/');
    const usual = facts.state.sysctls.get(`${net}/${family}/${conf}/default/${name}`);
    return conf === 'conf' && link !== undefined && gone.has(link) && value !== usual
      ? [remove({ kind: 'sysctl', path, value })]
      : [];
  });

const sysctl = (path: string, before: string | undefined, value: string): HostChange =>
  before === undefined
    ? add({ kind: 'sysctl', path, value })
    : { action: 'change', before: { kind: 'sysctl', path, value: before }, after: { kind: 'sysctl', path, value } };

// ---- files

const RECORD = 'record.json';
const UNDO = 'undo.sh';

/** The record and its undo: written before anything else, and once more at the end where the way there had to know more. */
function diffFiles(
  facts: HostFacts,
  { record }: Desired,
  restores: boolean,
): { readonly first: readonly HostChange[]; readonly last: readonly HostChange[] } {
  const folder = facts.stateFolder ?? '/etc/sallyport';
  const files = (from: HostRecord): readonly HostObject[] => [
    { kind: 'file', path: `${folder}/${RECORD}`, mode: 0o600, content: encodeRecord(from, facts.record) },
    { kind: 'file', path: `${folder}/${UNDO}`, mode: 0o700, content: undoScript(from, folder, facts.namespace) },
  ];
  const stands = facts.record === undefined ? [] : files(facts.record);
  if (record === undefined) return { first: [], last: stands.map(remove) };
  const wanted = files(record);
  if (!restores) return { first: change(stands, wanted), last: [] };
  // While sysctls are put back, the record must still tell how they were.
  const noted = facts.record?.sysctlsBefore ?? new Map<string, string>();
  const onTheWay = files({ ...record, sysctlsBefore: new Map([...noted, ...record.sysctlsBefore]) });
  return { first: change(stands, onTheWay), last: change(onTheWay, wanted) };
}

/** A daemon must know before there is anything that it could take away, and until nothing is left. */
function diffDaemonFiles(
  stand: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): { readonly written: readonly HostChange[]; readonly removed: readonly HostChange[] } {
  const file = (path: string, content: string): HostObject => ({ kind: 'file', path, mode: 0o644, content });
  return {
    written: [...wanted].flatMap(([path, content]): readonly HostChange[] => {
      const old = stand.get(path);
      if (old === content) return [];
      const after = file(path, content);
      return [old === undefined ? add(after) : { action: 'change', before: file(path, old), after }];
    }),
    removed: [...stand].flatMap(([path, content]) => (wanted.has(path) ? [] : [remove(file(path, content))])).reverse(),
  };
}

function change(before: readonly HostObject[], after: readonly HostObject[]): readonly HostChange[] {
  return after.flatMap((next, index): readonly HostChange[] => {
    const old = before[index];
    if (old === undefined) return [add(next)];
    return old.kind === 'file' && next.kind === 'file' && old.content === next.content
      ? []
      : [{ action: 'change', before: old, after: next }];
  });
}
