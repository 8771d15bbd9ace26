import { z } from 'zod';
import { parsePrefix, portCount, printAddress, printPortRange, printPrefix } from '../net/index.ts';
import {
  duration,
  hostsAt,
  listOf,
  port,
  portRange,
  prefix,
  reference,
  unicastAddress,
  wholeNumber,
} from './fields.ts';

/** Faster ones say more of the processors of both ends than of the path. */
const LEAST_INTERVAL_MS = 50;

const EVERYONE = ['0.0.0.0/0', '::/0'];

/** The spec of a PortForward. */
export const portForwardSpec = z.strictObject({
  at: z
    .strictObject({
      hosts: hostsAt(),
      addresses: listOf(unicastAddress(), printAddress, { least: 1 })
        .exactOptional()
        .describe(
          'Addresses it answers at, the inner or the outside one. Left out: all public addresses of the hosts.',
        ),
    })
    .describe('Where it stands.'),
  ports: z
    .array(
      z
        .strictObject({
          protocol: z.enum(['TCP', 'UDP']).describe('The transport.'),
          port: portRange().describe('The public port, or a range as `30000-30100`.'),
          targetPort: portRange()
            .exactOptional()
            .describe('The port at the target, or a range of the same length. Left out: the public one.'),
        })
        .superRefine(({ port: from, targetPort: to }, context) => {
          if (to === undefined || portCount(from) === portCount(to)) return;
          const message = `${printPortRange(from)} are ${portCount(from)} ports, ${printPortRange(to)} are ${portCount(to)}`;
          context.addIssue({ code: 'custom', path: ['targetPort'], message, params: { code: 'rangeLength' } });
        }),
    )
    .min(1, { error: 'is empty' })
    .describe('What is forwarded.'),
  to: z
    .array(
      z
        .strictObject({
          host: reference('Host').exactOptional().describe('The target, or the Host that the target lies behind.'),
          via: reference('Tunnel')
            .exactOptional()
            .describe('The Tunnel that leads there. Left out: the only one between the two hosts.'),
          address: unicastAddress()
            .exactOptional()
            .describe(
              'With `host`: what lies behind it, a pod or a VIP. Alone: an address that the host of the forward reaches itself.',
            ),
          weight: wholeNumber(1, 1_000).default(1).describe('Share of the clients under `policy: Balance`.'),
          drain: z
            .boolean()
            .default(false)
            .describe('No new connection is sent to it while another target answers; established TCP finishes there.'),
        })
        .superRefine((value, context) => {
          if (value.host !== undefined) return;
          if (value.via !== undefined) {
            context.addIssue({
              code: 'custom',
              message: 'needs host beside it: the Host at its other end',
              path: ['via'],
            });
          } else if (value.address === undefined) {
            context.addIssue({ code: 'custom', message: 'needs host, or address, or both' });
          }
        }),
    )
    .min(1, { error: 'is empty' })
    .describe('Targets in the order they are taken.'),
  policy: z
    .enum(['Failover', 'Balance'])
    .default('Failover')
    .describe("Failover: the first healthy target. Balance: spread by the client's address."),
  clientAddress: z
    .enum(['Preserve', 'Masquerade'])
    .default('Preserve')
    .describe(
      "Preserve: the target sees the client's own address. Masquerade: it sees the edge's, for a target that cannot route back.",
    ),
  tracking: z
    .enum(['Stateful', 'Stateless'])
    .default('Stateful')
    .describe(
      'Stateless: no connection tracking on the edge, each packet is rewritten by itself. Without limits, Masquerade, hairpin, drain and translated ICMP errors.',
    ),
  hairpin: z
    .boolean()
    .default(true)
    .describe(
      "The public address works from inside too: for the edge itself and its other networks, the target's among them.",
    ),
  allow: listOf(prefix(), printPrefix)
    .default(EVERYONE.flatMap((all) => parsePrefix(all) ?? []))
    .describe('Clients that may connect. A family without an entry means nobody of that family.'),
  limits: z
    .strictObject({
      newConnectionsPerSecond: wholeNumber(1, 1_000_000).exactOptional().describe('New connections per second.'),
      connections: wholeNumber(1, 1_000_000).exactOptional().describe('Connections at a time.'),
    })
    .exactOptional()
    .describe('Limits per client: an IPv4 address, a /64 of IPv6. What is over them is dropped.'),
  health: z
    .strictObject({
      tcp: port().exactOptional().describe('Port of the target that a probe connects to.'),
      http: z
        .strictObject({
          port: port().describe('Port of the target that is asked.'),
          path: z
            .string()
            .regex(/^\/[\x21-\x7e]*$/, { error: 'is no path of a URL, as /healthz' })
            .default('/')
            .describe('What is asked for; an answer of 200 to 399 is a good one.'),
        })
        .exactOptional()
        .describe('Instead of `tcp`: asked by HTTP, without TLS.'),
      interval: duration()
        .refine((ms) => ms >= LEAST_INTERVAL_MS, { error: `is less than ${LEAST_INTERVAL_MS}ms` })
        .exactOptional()
        .describe('Time between two probes; 200ms unless named.'),
      failures: wholeNumber(1, 100).default(3).describe('Failed probes in a row that make a target unhealthy.'),
    })
    .superRefine(({ tcp, http }, context) => {
      if ((tcp === undefined) === (http === undefined))
        context.addIssue({ code: 'custom', message: 'needs one of tcp and http' });
    })
    .exactOptional()
    .describe(
      'How `run` probes the targets, from the hosts of the forward. Left out: where there are several, whether anything answers through the tunnel at the first TCP port.',
    ),
  drain: z.boolean().default(true).describe('Established TCP connections finish on the old target.'),
  fastPath: z
    .enum(['Auto', 'Off'])
    .default('Auto')
    .describe(
      'Auto: established connections take the flowtable of the kernel where it has one. "Off", in quotes: they do not.',
    ),
  allowAccessPort: z
    .boolean()
    .default(false)
    .describe('Lets the forward take the access port of its host (22 where none is named): you may lock yourself out.'),
});
