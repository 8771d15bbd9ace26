import type { Address } from './address.ts';
import { parsePrefix } from './prefix.ts';
import { buildPrefixTable, lookupPrefix } from './prefix-table.ts';

/** What an address is for, after the IANA special-purpose registries that RFC 6890 founded. */
export type AddressScope =
  | 'unspecified'
  | 'thisNetwork'
  | 'loopback'
  | 'linkLocal'
  | 'siteLocal'
  | 'private'
  | 'shared'
  | 'protocol'
  | 'documentation'
  | 'benchmarking'
  | 'mapped'
  | 'translation'
  | 'discard'
  | 'segmentRouting'
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  | 'global';

/** The longest prefix decides, so an exception may stand inside a block. Sources line by line. */
const registry: readonly (readonly [string, AddressScope])[] = [
  ['0.0.0.0/0', 'global'],
  ['0.0.0.0/8', 'thisNetwork'], // RFC 791, 3.2; RFC 6890, table 1
  ['0.0.0.0/32', 'unspecified'], // RFC 1122, 3.2.1.3
  ['10.0.0.0/8', 'private'], // RFC 1918
  ['100.64.0.0/10', 'shared'], // RFC 6598: a provider's carrier-grade NAT, also Tailscale
  ['127.0.0.0/8', 'loopback'], // RFC 1122, 3.2.1.3
  ['169.254.0.0/16', 'linkLocal'], // RFC 3927
  ['172.16.0.0/12', 'private'], // RFC 1918
  ['192.0.0.0/24', 'protocol'], // RFC 6890, 2.1; 192.0.0.0/29 is DS-Lite and 464XLAT (RFC 7335)
  ['192.0.0.9/32', 'global'], // PCP anycast, RFC 7723
  ['192.0.0.10/32', 'global'], // TURN anycast, RFC 8155
  ['192.0.2.0/24', 'documentation'], // RFC 5737
  ['192.168.0.0/16', 'private'], // RFC 1918
  ['198.18.0.0/15', 'benchmarking'], // RFC 2544
  ['198.51.100.0/24', 'documentation'], // RFC 5737
  ['203.0.113.0/24', 'documentation'], // RFC 5737
  ['224.0.0.0/4', 'multicast'], // RFC 5771
  ['240.0.0.0/4', 'reserved'], // RFC 1112, 4
  ['255.255.255.255/32', 'broadcast'], // RFC 919, 7
  // The IPv6 Internet is 2000::/3; what lies outside and has no line here is unassigned (RFC 4291, 2.4 lets it be global unicast).
  ['::/0', 'global'],
  ['::/96', 'reserved'], // IPv4-compatible, deprecated by RFC 4291, 2.5.5.1
  ['::/128', 'unspecified'], // RFC 4291, 2.5.2
  ['::1/128', 'loopback'], // RFC 4291, 2.5.3
  ['::ffff:0.0.0.0/96', 'mapped'], // RFC 4291, 2.5.5.2: inside a host, never on a wire
  ['64:ff9b:1::/48', 'translation'], // RFC 8215; the well-known 64:ff9b::/96 (RFC 6052) is globally reachable
  ['100::/64', 'discard'], // RFC 6666
  ['2001::/23', 'protocol'], // RFC 2928
  ['2001::/32', 'global'], // Teredo, RFC 4380
  ['2001:1::1/128', 'global'], // PCP anycast, RFC 7723
  ['2001:1::2/128', 'global'], // TURN anycast, RFC 8155
  ['2001:2::/48', 'benchmarking'], // RFC 5180
  ['2001:3::/32', 'global'], // AMT, RFC 7450
  ['2001:4:112::/48', 'global'], // AS112, RFC 7535
  ['2001:20::/28', 'global'], // ORCHIDv2, RFC 7343
  ['2001:30::/28', 'global'], // drone remote identification, RFC 9374
  ['2001:db8::/32', 'documentation'], // RFC 3849
  ['3fff::/20', 'documentation'], // RFC 9637
  ['5f00::/16', 'segmentRouting'], // RFC 9602
  ['fc00::/7', 'private'], // unique local, RFC 4193
  ['fe80::/10', 'linkLocal'], // RFC 4291, 2.5.6
  ['fec0::/10', 'siteLocal'], // deprecated by RFC 3879; the kernel still gives it a scope of its own
  ['ff00::/8', 'multicast'], // RFC 4291, 2.7, of whatever multicast scope
];

const scopes = buildPrefixTable(
  registry.map(([text, value]) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new TypeError(`the scope registry holds no prefix: ${text}`);
    return { prefix, value };
  }),
);

/** What the address is for; `global` where nothing special is known of it. */
export const addressScope = (address: Address): AddressScope => lookupPrefix(scopes, address)?.value ?? 'global';

/**
 * Whether an interface with this address counts as on the Internet: a unicast address of global scope to the kernel, and not
 * RFC 1918, unique local or shared. Documentation and benchmarking ranges count: the kernel knows no difference, and labs use them.
 * 192.0.0.0/24 does not: a DS-Lite router has 192.0.0.2 on its default route and nobody reaches it there.
 */
export function isPublicAddress(address: Address): boolean {
  const scope = addressScope(address);
  return scope === 'global' || scope === 'documentation' || scope === 'benchmarking';
}
