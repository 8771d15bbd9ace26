import { z } from 'zod';
import { parsePrefix, printAddress, printPrefix } from '../net/index.ts';
import {
  address,
  dnsLabel,
  duration,
  endpoint,
  hostName,
  interfaceAddress,
  interfaceName,
  listOf,
  mac,
  mark,
  notes,
  numberRange,
  plainText,
  port,
  portRange,
  prefix,
  reference,
  unicastAddress,
  wholeNumber,
} from './fields.ts';

/** The only version so far. */
export const API_VERSION = 'sallyport.dev/v1alpha1';

const asIs = (text: string): string => text;

/** The fields of `fields` of which exactly one must be given. */
function exactlyOne<T extends object>(value: T, fields: readonly (keyof T & string)[], context: z.RefinementCtx): void {
  const given = fields.filter((field) => value[field] !== undefined);
  if (given.length === 1) return;
  const list = `${fields.slice(0, -1).join(', ')} or ${fields.at(-1)}`;
  const found = given.length === 0 ? 'none is given' : `${given.join(' and ')} are given`;
  context.addIssue({ code: 'custom', message: `needs exactly one of ${list}; ${found}` });
}

/* ---- Host ---- */

const access = z
  .strictObject({
    local: z.strictObject({}).exactOptional().describe('This machine. Written `local: {}`.'),
    ssh: z
      .strictObject({
        address: hostName().describe('Address, name or alias that the OpenSSH client knows.'),
        port: port().default(22).describe('TCP port of the SSH server. No forward may take it; see `allowAccessPort`.'),
        user: plainText('user').exactOptional().describe("The login. Left out: the OpenSSH client's choice."),
        identityFile: plainText('path').exactOptional().describe('Private key file, relative to this document.'),
        hostKey: plainText('key')
          .exactOptional()
          .describe("The host's public key, as in known_hosts. Left out: the client's known_hosts decide."),
      })
      .exactOptional()
      .describe('By the OpenSSH client.')
      .register(notes, { later: true }),
    netns: z
      .strictObject({ name: plainText('network namespace').describe('As `ip netns list` shows it.') })
      .exactOptional()
      .describe('A network namespace of this machine.'),
    http: z
      .strictObject({
        url: z.url({ error: 'expected a URL' }).describe("The router's interface: REST, TR-064 or IGD."),
        user: plainText('user').exactOptional().describe('The login.'),
        passwordFile: plainText('path').exactOptional().describe('File with the password, relative to this document.'),
      })
      .exactOptional()
      .describe("By the router's own interface.")
      .register(notes, { later: true }),
    agent: z
      .strictObject({})
      .exactOptional()
      .describe('By the node agent in a cluster.')
      .register(notes, { later: true }),
    become: z.enum(['sudo']).exactOptional().describe('Become root so. Only beside `local` or `ssh`.'),
  })
  .superRefine((value, context) => {
    exactlyOne(value, ['local', 'ssh', 'netns', 'http', 'agent'], context);
    if (value.become !== undefined && value.local === undefined && value.ssh === undefined) {
      context.addIssue({ code: 'custom', message: 'stands only beside local or ssh', path: ['become'] });
    }
  });

const interfaces = z.strictObject({
  name: interfaceName().exactOptional().describe('The name of the link. Either this or `mac`.'),
  mac: mac().exactOptional().describe('The hardware address, where names change.'),
  zone: z
    .enum(['public', 'private'])
    .exactOptional()
    .describe(
      'Whether the Internet is behind it. Left out: the interface of the default route is public if its address is global or has an `outside`.',
    ),
  network: dnsLabel().exactOptional().describe('Name of the network it is in, where two networks use the same prefix.'),
  addresses: listOf(interfaceAddress(), printPrefix)
    .exactOptional()
    .describe('Its addresses with their lengths. Left out: observed.'),
  outside: z
    .record(z.string(), z.string())
    .transform((entries, context) => {
      const found = [];
      for (const [key, value] of Object.entries(entries)) {
        const inner = unicastAddress().safeParse(key);
        const outer = unicastAddress().safeParse(value);
        for (const read of [inner, outer]) {
          if (!read.success)
            context.addIssue({ code: 'custom', message: read.error.issues[0]?.message ?? '', path: [key] });
        }
        if (!inner.success || !outer.success) continue;
        if (inner.data.family !== outer.data.family) {
          const message = `${key} is IPv${inner.data.family}, ${value} is IPv${outer.data.family}`;
          context.addIssue({ code: 'custom', message, path: [key], params: { code: 'mixedFamilies' } });
        }
        found.push({ inner: inner.data, outer: outer.data });
      }
      return found;
    })
    .prefault({})
    .describe("The provider's 1:1 NAT: from the address on the interface to the one that the Internet sees.")
    .register(notes, { type: 'map of address to address' }),
});

const hostSpec = z.strictObject({
  driver: z
    .enum(['linux', 'routeros', 'igd', 'pcp'])
    .default('linux')
    .describe(
      'What is programmed: a Linux kernel, MikroTik RouterOS, UPnP IGD (FRITZ!Box included), or PCP and NAT-PMP.',
    )
    .register(notes, { later: ['routeros', 'igd', 'pcp'] }),
  access: access.describe('How the host is reached. Exactly one of `local`, `ssh`, `netns`, `http`, `agent`.'),
  foreignFirewall: z
    .enum(['Accommodate', 'Refuse'])
    .default('Accommodate')
    .describe(
      "Another's firewall rule that would drop our traffic: let the traffic through where its owner means it to be, or refuse the plan.",
    )
    .register(notes, { later: ['Refuse'] }),
  interfaces: z
    .array(interfaces.superRefine((value, context) => exactlyOne(value, ['name', 'mac'], context)))
    .default([])
    .describe('What is declared of the links; what is left out is observed. Declared and observed differ: an error.'),
  mainAddresses: listOf(unicastAddress(), printAddress)
    .superRefine((values, context) => {
      const [first, second, third] = values;
      const twice = third ?? (first !== undefined && first.family === second?.family ? second : undefined);
      if (twice !== undefined) {
        context.addIssue({ code: 'custom', message: `a second IPv${twice.family} address; one per family` });
      }
    })
    .default([])
    .describe('The address that forwards aim at, at most one per family. Left out: chosen, and shown in the plan.'),
  forwarding: z
    .strictObject({
      tables: numberRange(1, 0xffff_ffff)
        .exactOptional()
        .describe("Routing tables that are ours, as `5000-5099`. 253 to 255 are the kernel's own."),
      // 0 is the rule of table local, 32766 and 32767 those of main and default (net/ipv4/fib_rules.c).
      priorities: numberRange(1, 32_765)
        .exactOptional()
        .describe('Priorities of `ip rule` that are ours, as `5000-5099`.'),
      mark: z
        .strictObject({
          value: mark().describe('The first value used; it lies inside the mask.'),
          mask: mark().describe('The bits that are ours, in a row, as `0x00ff0000`.'),
        })
        .superRefine(({ value, mask }, context) => {
          const lowest = mask & -mask;
          if (((mask / (lowest >>> 0) + 1) & (mask / (lowest >>> 0))) !== 0) {
            context.addIssue({ code: 'custom', message: 'its bits do not stand in a row', path: ['mask'] });
          }
          if ((value & ~mask) !== 0) {
            const bits = `0x${mask.toString(16)}`;
            context.addIssue({ code: 'custom', message: `has bits outside the mask ${bits}`, path: ['value'] });
          }
        })
        .exactOptional()
        .describe('Bits of packet and connection marks.'),
    })
    .superRefine(({ tables }, context) => {
      if (tables !== undefined && tables.first <= 255 && tables.last >= 253) {
        context.addIssue({ code: 'custom', message: "takes the kernel's own tables 253 to 255", path: ['tables'] });
      }
    })
    .default({})
    .describe('Numbers that Sallyport may use. Left out: chosen at the first apply from what is free, and kept.'),
  conntrack: z
    .strictObject({
      max: wholeNumber(1_024, 0x7fff_ffff)
        .exactOptional()
        .describe('Most connections that the kernel tracks (nf_conntrack_max).')
        .register(notes, { later: true }),
    })
    .default({})
    .describe('Limits of connection tracking.'),
});

/* ---- Tunnel ---- */

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

const tunnelSpec = z.strictObject({
  type: z
    .enum(['WireGuard', 'IPIP', 'GRE', 'VXLAN', 'Direct'])
    .describe(
      'How packets travel. Only WireGuard encrypts; Direct is a private network that is there already, nothing is created.',
    )
    .register(notes, { later: ['IPIP', 'GRE'] }),
  // 576: what every IPv4 host must be able to receive (RFC 791, 3.1).
  mtu: wholeNumber(576, 65_535).exactOptional().describe('Bytes of the largest inner packet. Left out: from the path.'),
  vni: wholeNumber(1, 0xff_ffff).exactOptional().describe('VXLAN network identifier. Left out: chosen.'),
  presharedKeys: z
    .boolean()
    .default(false)
    .describe('WireGuard: a secret of its own for each pair of peers beside the keys.')
    .register(notes, { later: [true] }),
  ends: z
    .array(tunnelEnd)
    .superRefine((values, context) => {
      if (values.length === 2) return;
      const message = `needs exactly two ends, has ${values.length}`;
      context.addIssue({ code: 'custom', message, params: { code: 'badTunnel' } });
    })
    .describe('Exactly two. WireGuard tunnels whose ends share a host and a listen port are peers on one link.'),
});

/* ---- PortForward ---- */

const EVERYONE = ['0.0.0.0/0', '::/0'];

/** Whether an `allow` leaves anybody out. Data of another shape is the schema's to refuse. */
function leavesOut(allow: unknown): boolean {
  if (!Array.isArray(allow)) return false;
  const printed = allow.map((one: unknown) => {
    const read = typeof one === 'string' ? parsePrefix(one) : undefined;
    return read === undefined ? undefined : printPrefix(read);
  });
  return !printed.includes(undefined) && !EVERYONE.every((all) => printed.includes(all));
}

const hostsAt = () => listOf(reference('Host'), asIs, { least: 1 }).describe('The Hosts it is done on.');

const portForwardSpec = z.strictObject({
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
      z.strictObject({
        protocol: z.enum(['TCP', 'UDP']).describe('The transport.'),
        port: portRange().describe('The public port, or a range as `30000-30100`.'),
        targetPort: portRange()
          .exactOptional()
          .describe('The port at the target, or a range of the same length. Left out: the public one.'),
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
          weight: wholeNumber(1, 1_000)
            .default(1)
            .describe('Share of the clients under `policy: Balance`.')
            .register(notes, { later: true }),
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
    .describe('Targets in the order they are taken.')
    .register(notes, {
      later: { says: 'several targets', found: (value) => Array.isArray(value) && value.length > 1 },
    }),
  policy: z
    .enum(['Failover', 'Balance'])
    .default('Failover')
    .describe("Failover: the first healthy target. Balance: spread by the client's address.")
    .register(notes, { later: ['Balance'] }),
  clientAddress: z
    .enum(['Preserve', 'Masquerade'])
    .default('Preserve')
    .describe(
      "Preserve: the target sees the client's own address. Masquerade: it sees the edge's, for a target that cannot route back.",
    ),
  tracking: z
    .enum(['Stateful', 'Stateless'])
    .default('Stateful')
    .describe('Stateless: no connection tracking on the edge.')
    .register(notes, { later: ['Stateless'] }),
  hairpin: z
    .boolean()
    .default(true)
    .describe('The public address works from inside too.')
    .register(notes, { later: [false] }),
  allow: listOf(prefix(), printPrefix)
    .default(EVERYONE.flatMap((all) => parsePrefix(all) ?? []))
    .describe('Clients that may connect. A family without an entry means nobody of that family.')
    .register(notes, { later: { says: 'anything but all clients', found: leavesOut } }),
  limits: z
    .strictObject({
      newConnectionsPerSecond: wholeNumber(1, 1_000_000).exactOptional().describe('New connections per second.'),
      connections: wholeNumber(1, 1_000_000).exactOptional().describe('Connections at a time.'),
    })
    .exactOptional()
    .describe('Limits per client address.')
    .register(notes, { later: true }),
  health: z
    .strictObject({
      tcp: port().describe('Port of the target that a probe connects to.'),
      interval: duration().exactOptional().describe('Time between two probes.'),
      failures: wholeNumber(1, 100).exactOptional().describe('Failed probes in a row that make a target unhealthy.'),
    })
    .exactOptional()
    .describe("How targets are probed. Left out: the tunnel's state alone.")
    .register(notes, { later: true }),
  drain: z
    .boolean()
    .default(true)
    .describe('Established TCP connections finish on the old target.')
    .register(notes, { later: [false] }),
  fastPath: z
    .enum(['Auto', 'Off'])
    .default('Auto')
    .describe("Auto: established connections take the kernel's flowtable where there is one."),
  allowAccessPort: z
    .boolean()
    .default(false)
    .describe('Lets the forward take the access port of its host (22 where none is named): you may lock yourself out.'),
});

/* ---- Kinds that come later: their form is checked, then they are refused ---- */

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

const egressRouteSpec = z.strictObject({
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

const siteSpec = z.strictObject({
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

const dnsRecordSpec = z.strictObject({
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

/* ---- Documents ---- */

const stringMap = () => z.record(z.string(), z.string());

const metadata = z.strictObject({
  name: dnsLabel().describe('The name of the resource, by which others refer to it.'),
  namespace: dnsLabel().exactOptional().describe('Kubernetes namespace.'),
  labels: stringMap().exactOptional().describe('As in Kubernetes.').register(notes, { type: 'map of text' }),
  annotations: stringMap().exactOptional().describe('As in Kubernetes.').register(notes, { type: 'map of text' }),
  // Written by the API server; they come along with `kubectl get -o yaml`.
  creationTimestamp: z.unknown().optional(),
  deletionGracePeriodSeconds: z.unknown().optional(),
  deletionTimestamp: z.unknown().optional(),
  finalizers: z.unknown().optional(),
  generateName: z.unknown().optional(),
  generation: z.unknown().optional(),
  managedFields: z.unknown().optional(),
  ownerReferences: z.unknown().optional(),
  resourceVersion: z.unknown().optional(),
  selfLink: z.unknown().optional(),
  uid: z.unknown().optional(),
});

const document = <K extends string, S extends z.ZodType>(kind: K, spec: S) =>
  z.strictObject({
    apiVersion: z.literal(API_VERSION).describe('The version of this form.'),
    kind: z.literal(kind).describe('The kind of resource.'),
    metadata: metadata.describe('As in Kubernetes.'),
    spec: spec.describe('What is wanted.'),
    status: z.unknown().optional(),
  });

/** One schema per kind: the source of the types, of validation and of docs/reference.md. */
export const schemas = {
  Host: document('Host', hostSpec).describe('A machine that Sallyport may program, or must know of.'),
  Tunnel: document('Tunnel', tunnelSpec).describe('A layer-3 path between two hosts.'),
  PortForward: document('PortForward', portForwardSpec).describe('Public ports and the targets they lead to.'),
  EgressRoute: document('EgressRoute', egressRouteSpec)
    .describe('Who leaves by which path.')
    .register(notes, { later: true }),
  Site: document('Site', siteSpec).describe('Names over HTTP and HTTPS.').register(notes, { later: true }),
  DNSRecord: document('DNSRecord', dnsRecordSpec)
    .describe('Names that follow an address.')
    .register(notes, { later: true }),
} as const;

export type Kind = keyof typeof schemas;

export const kinds: readonly Kind[] = ['Host', 'Tunnel', 'PortForward', 'EgressRoute', 'Site', 'DNSRecord'];

export const isKind = (text: unknown): text is Kind => typeof text === 'string' && Object.hasOwn(schemas, text);

export type HostDocument = z.output<typeof schemas.Host>;
export type TunnelDocument = z.output<typeof schemas.Tunnel>;
export type PortForwardDocument = z.output<typeof schemas.PortForward>;
