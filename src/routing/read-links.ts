import { addressBits } from '../net/index.ts';
import {
  addressField,
  type Entry,
  flagsOf,
  hasField,
  listField,
  numberField,
  objectField,
  readEntries,
  required,
  textField,
} from './json.ts';
import { isOuterKind, type Link, type LinkAddress, type Outer, type Vxlan } from './state.ts';

/** Its output is for readLinks. */
export const LINKS_COMMAND: readonly string[] = ['ip', '-j', '-d', 'link', 'show'];

/** Its output is for readAddresses. */
export const ADDRESSES_COMMAND: readonly string[] = ['ip', '-j', 'addr', 'show'];

/** The links of a namespace in the kernel's order, from LINKS_COMMAND. Throws an Error where the text is not its output. */
export function readLinks(jsonText: string): readonly Link[] {
  const entries = readEntries(LINKS_COMMAND, jsonText);
  const indexByName = new Map(entries.map((entry) => [nameOf(entry), numberField(entry, 'ifindex')]));
  return entries.map((entry) => readLink(entry, indexByName));
}

function readLink(entry: Entry, indexByName: ReadonlyMap<string, number | undefined>): Link {
  const flags = flagsOf(entry);
  const info = objectField(entry, 'linkinfo');
  const kind = (info && textField(info, 'info_kind')) ?? required(entry, 'link_type', textField(entry, 'link_type'));
  const index = numberField(entry, 'ifindex');
  const mac = kind === 'loopback' ? undefined : macOf(entry);
  const alias = textField(entry, 'ifalias');
  const master = textField(entry, 'master');
  // The other end by name where it is in this namespace, by its index where it is in another.
  const peerName = textField(entry, 'link');
  const peerIndex = peerName === undefined ? numberField(entry, 'link_index') : indexByName.get(peerName);
  const peerNamespace = numberField(entry, 'link_netnsid');
  const vxlan = kind === 'vxlan' && info !== undefined ? readVxlan(info) : undefined;
  const outer = isOuterKind(kind) && info !== undefined ? readOuter(info) : undefined;
  return {
    name: nameOf(entry),
    kind,
    mtu: required(entry, 'mtu', numberField(entry, 'mtu')),
    up: flags.has('UP'),
    carrier: flags.has('LOWER_UP'),
    ...(index !== undefined && { index }),
    ...(mac !== undefined && { mac }),
    ...(alias !== undefined && { alias }),
    ...(master !== undefined && { master }),
    ...(peerIndex !== undefined && peerIndex > 0 && { peerIndex }),
    ...(peerNamespace !== undefined && { peerNamespace }),
    ...(vxlan !== undefined && { vxlan }),
    ...readStacked(kind, info),
    ...(outer !== undefined && { outer }),
  };
}

const nameOf = (entry: Entry): string => required(entry, 'ifname', textField(entry, 'ifname'));

/** Only Ethernet has a MAC here: an IPIP link's `address` is an IP address. */
const macOf = (entry: Entry): string | undefined =>
  textField(entry, 'link_type') === 'ether' ? textField(entry, 'address') : undefined;

/** Nothing for a link with `external`, which has no VNI of its own. */
function readVxlan(info: Entry): Vxlan | undefined {
  const data = objectField(info, 'info_data');
  if (data === undefined) return undefined;
  const vni = numberField(data, 'id');
  const port = numberField(data, 'port');
  if (vni === undefined || port === undefined) return undefined;
  const local = addressField(data, 'local') ?? addressField(data, 'local6');
  // One attribute of the kernel (IFLA_VXLAN_GROUP), which `ip` calls a group where it is a multicast address.
  const remote = ['remote', 'remote6', 'group', 'group6'].map((name) => addressField(data, name)).find(Boolean);
  return { vni, port, ...(local !== undefined && { local }), ...(remote !== undefined && { remote }) };
}

/** What tells how frames go on through a VLAN, a macvlan or a bridge. */
function readStacked(
  kind: string,
  info: Entry | undefined,
): Pick<Link, 'vlan' | 'macvlanMode' | 'vlanFiltering' | 'filtersCrossing'> {
  const data = info && objectField(info, 'info_data');
  if (data === undefined) return {};
  if (kind === 'macvlan') {
    const mode = textField(data, 'mode');
    return mode === undefined ? {} : { macvlanMode: mode };
  }
  if (kind === 'vlan') {
    const id = numberField(data, 'id');
    return id === undefined ? {} : { vlan: { id, protocol: textField(data, 'protocol') ?? '802.1Q' } };
  }
  if (kind !== 'bridge') return {};
  const calls = CALLS.flatMap(([family, name]) => (numberField(data, name) === 1 ? [family] : []));
  return {
    ...(numberField(data, 'vlan_filtering') === 1 && { vlanFiltering: true }),
    ...(calls.length > 0 && { filtersCrossing: calls }),
  };
}

const CALLS = [
  [4, 'nf_call_iptables'],
  [6, 'nf_call_ip6tables'],
] as const;

/** `any` at an end is no address: such a link waits for whoever comes. */
function readOuter(info: Entry): Outer | undefined {
  const data = objectField(info, 'info_data');
  if (data === undefined) return undefined;
  const [local, remote] = ['local', 'remote'].map((name) =>
    textField(data, name) === 'any' ? undefined : addressField(data, name),
  );
  return local === undefined || remote === undefined ? undefined : { local, remote };
}

/** The addresses of all links, in the kernel's order, from ADDRESSES_COMMAND. Throws an Error where the text is not its output. */
export const readAddresses = (jsonText: string): readonly LinkAddress[] =>
  readEntries(ADDRESSES_COMMAND, jsonText).flatMap((link) => {
    const addresses = listField(link, 'addr_info');
    return addresses.length === 0 ? [] : addresses.map((entry) => readAddress(nameOf(link), entry));
  });

function readAddress(link: string, entry: Entry): LinkAddress {
  // IFA_LOCAL is left out where it equals IFA_ADDRESS; where both stand, the second is the peer (if_addr.h).
  const far = addressField(entry, 'address');
  const address = required(entry, 'local', addressField(entry, 'local') ?? far);
  const length = numberField(entry, 'prefixlen') ?? addressBits(address.family);
  const peer = entry.fields.local === undefined ? undefined : far;
  return {
    link,
    address: { address, length },
    scope: textField(entry, 'scope') ?? 'global',
    // SLAAC with an unlimited lifetime is not `dynamic` to the kernel; the other two say who made it (`protocol`: iproute2 6.3).
    ...((hasField(entry, 'dynamic') || hasField(entry, 'mngtmpaddr') || entry.fields.protocol === 'kernel_ra') && {
      dynamic: true,
    }),
    ...(hasField(entry, 'temporary') && { temporary: true }),
    ...(hasField(entry, 'deprecated') && { deprecated: true }),
    ...((hasField(entry, 'tentative') || hasField(entry, 'dadfailed')) &&
      !hasField(entry, 'optimistic') && { tentative: true }),
    ...(peer !== undefined && { peer }),
  };
}
