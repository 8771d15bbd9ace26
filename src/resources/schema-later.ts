import { z } from 'zod';
import { printPrefix } from '../net/index.ts';
import {
  address,
  asIs,
  exactlyOne,
  hostName,
  hostsAt,
  interfaceName,
  listOf,
  notes,
  plainText,
  port,
  prefix,
  reference,
  unicastAddress,
  wholeNumber,
} from './fields.ts';

const selector = () =>
  z.strictObject({
    matchLabels: z.record(z.string(), z.string()).exactOptional().describe('Labels with these values.'),
    matchExpressions: z
      .array(
        z.strictObject({
          key: z.string().describe('The label.'),
          operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How it is compared.'),
          values: z.array(z.string()).exactOptional().describe('With what, for In and NotIn.'),
        }),
      )
      .exactOptional()
      .describe('Conditions that must all hold.'),
  });

/** The spec of an EgressRoute. Its form is checked, then it is refused, as the two below. */
export const egressRouteSpec = z.strictObject({
  at: z.strictObject({ hosts: hostsAt() }).describe('Where it stands.'),
  from: z
    .strictObject({
      cidrs: listOf(prefix(), printPrefix, { least: 1 }).exactOptional().describe('Source addresses.'),
      podSelector: selector().exactOptional().describe('Pods by label, on their node.'),
      namespaceSelector: selector().exactOptional().describe('Namespaces of those pods.'),
      ciliumPool: plainText('name').exactOptional().describe('Pods with an address of this Cilium pool.'),
    })
    .describe('Who leaves.'),
  via: z
    .strictObject({
      tunnel: reference('Tunnel').exactOptional().describe('By this Tunnel.'),
      interface: interfaceName().exactOptional().describe('By this interface.'),
    })
    .superRefine((value, context) => exactlyOne(value, ['tunnel', 'interface'], context))
    .describe('By which path.'),
  except: listOf(prefix(), printPrefix).default([]).describe('Destinations that keep the ordinary path.'),
  translate: z
    .union(
      [z.enum(['Masquerade', 'None']), z.strictObject({ to: address().describe('The source address to write.') })],
      {
        error: 'is neither Masquerade nor None nor { to: ADDRESS }',
      },
    )
    .default('Masquerade')
    .describe('The source address outside.')
    .register(notes, { type: 'Masquerade, None or { to: address }' }),
  whenDown: z
    .enum(['Block', 'Direct'])
    .default('Block')
    .describe('While the path is down: drop, or take the ordinary path.'),
  returnVia: z
    .record(z.string(), address())
    .default({})
    .describe('Next hops back to networks behind other routers.')
    .register(notes, { type: 'map of prefix to address' }),
});

/** The spec of a Site. */
export const siteSpec = z.strictObject({
  at: z.strictObject({ hosts: hostsAt() }).describe('Where it stands.'),
  hosts: listOf(z.string(), asIs, { least: 1 }).describe('Names it answers to; `*.` for one label.'),
  tls: z
    .strictObject({
      certificateFile: plainText('path').describe('Certificate chain (PEM), relative to this document.'),
      keyFile: plainText('path').describe('Private key (PEM), relative to this document.'),
    })
    .exactOptional()
    .describe('Left out: HTTP alone.'),
  upstreams: z
    .array(
      z.strictObject({
        address: unicastAddress().describe('Where it listens.'),
        port: port().describe('On which port.'),
      }),
    )
    .min(1, { error: 'is empty' })
    .describe('The servers behind it.'),
  limits: z
    .strictObject({
      requestsPerSecond: wholeNumber(1, 1_000_000).exactOptional().describe('Requests per second.'),
      burst: wholeNumber(1, 1_000_000).exactOptional().describe('Requests above that which are let through at once.'),
      connections: wholeNumber(1, 1_000_000).exactOptional().describe('Connections at a time.'),
    })
    .exactOptional()
    .describe('Limits per client address.'),
  forwarded: z
    .strictObject({
      trust: listOf(prefix(), printPrefix).describe('Proxies whose X-Forwarded-* headers are believed.'),
    })
    .exactOptional()
    .describe('The X-Forwarded-* headers.'),
});

/** The spec of a DNSRecord. */
export const dnsRecordSpec = z.strictObject({
  zone: hostName().describe('The zone.').register(notes, { type: 'domain name' }),
  names: listOf(z.string(), asIs, { least: 1 }).describe(
    'Names in the zone; `@` for the zone itself, `*` for all others.',
  ),
  server: z
    .strictObject({
      address: hostName().describe("The zone's primary server."),
      tsigKeyFile: plainText('path')
        .exactOptional()
        .describe('Key file for signed updates, relative to this document.'),
    })
    .describe('Where updates go (RFC 2136).'),
  addresses: z
    .strictObject({ fromHost: reference('Host').describe('The public addresses of this Host.') })
    .describe('What the names point to.'),
  // RFC 2181, 8: at most 2^31 - 1.
  ttl: wholeNumber(1, 0x7fff_ffff).default(60).describe('Seconds that resolvers may keep the answer.'),
});
