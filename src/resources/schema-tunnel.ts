import { z } from 'zod';
import { printPrefix } from '../net/index.ts';
import {
  endpoint,
  exactlyOne,
  interfaceAddress,
  listOf,
  notes,
  plainText,
  port,
  reference,
  wholeNumber,
} from './fields.ts';

const tunnelEnd = z
  .strictObject({
    host: reference('Host').exactOptional().describe('The Host at this end.'),
    provider: z
      .strictObject({
        configFile: plainText('path').describe("The provider's wg-quick file, relative to this document."),
      })
      .exactOptional()
      .describe('A VPN provider in place of a Host.')
      .register(notes, { later: true }),
    addresses: listOf(interfaceAddress(), printPrefix)
      .default([])
      .describe(
        'Addresses inside the tunnel, both ends in common prefixes. Direct: addresses that the host has already, the length may be left out.',
      ),
    endpoint: endpoint()
      .exactOptional()
      .describe(
        'Where the other end finds this one. WireGuard: one end at least; VXLAN, IPIP, GRE: both; Direct: none. VXLAN may leave out the port.',
      ),
    listenPort: port()
      .exactOptional()
      .describe(
        "UDP port it listens on. Left out: the endpoint's port; VXLAN 4789; an end without endpoint: chosen by the host.",
      ),
  })
  .superRefine((value, context) => exactlyOne(value, ['host', 'provider'], context));

/** The spec of a Tunnel. */
export const tunnelSpec = z.strictObject({
  type: z
    .enum(['WireGuard', 'IPIP', 'GRE', 'VXLAN', 'Direct'])
    .describe(
      'How packets travel. Only WireGuard encrypts; Direct is a private network that is there already, nothing is created.',
    ),
  // 576: what every IPv4 host must be able to receive (RFC 791, 3.1).
  mtu: wholeNumber(576, 65_535).exactOptional().describe('Bytes of the largest inner packet. Left out: from the path.'),
  vni: wholeNumber(1, 0xff_ffff).exactOptional().describe('VXLAN network identifier. Left out: chosen.'),
  presharedKeys: z
    .boolean()
    .default(false)
    .describe('WireGuard: a secret that the two ends share, beside their keys. Renewed by tunnel rotate.'),
  ends: z
    .array(tunnelEnd)
    // Also where an end is wrong in itself: all that is wrong is said at once.
    .refine((values) => values.length === 2, {
      error: ({ input }) => `needs exactly two ends, has ${Array.isArray(input) ? input.length : 'none'}`,
      params: { code: 'badTunnel' },
      when: ({ value }) => Array.isArray(value),
    })
    .describe('Exactly two. WireGuard tunnels whose ends share a host and a listen port are peers on one link.'),
});
