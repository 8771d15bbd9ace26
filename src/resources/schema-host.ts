import { z } from 'zod';
import { printAddress, printPrefix } from '../net/index.ts';
import {
  argument,
  dnsLabel,
  exactlyOne,
  interfaceAddress,
  interfaceName,
  listOf,
  mac,
  mark,
  netnsName,
  notes,
  numberRange,
  plainText,
  port,
  unicastAddress,
  wholeNumber,
} from './fields.ts';

const access = z
  .strictObject({
    local: z.strictObject({}).exactOptional().describe('This machine. Written `local: {}`.'),
    ssh: z
      .strictObject({
        address: argument('address, name or alias').describe('Address, name or alias that the OpenSSH client knows.'),
        port: port().default(22).describe('TCP port of the SSH server. No forward may take it; see `allowAccessPort`.'),
        user: argument('user').exactOptional().describe("The login. Left out: the OpenSSH client's choice."),
        identityFile: plainText('path').exactOptional().describe('Private key file, relative to this document.'),
        hostKey: plainText('key')
          .exactOptional()
          .describe("The host's public key, as in known_hosts. Left out: the client's known_hosts decide."),
      })
      .exactOptional()
      .describe(
        'By the OpenSSH client, with its own configuration, agent and known_hosts. Changes undo themselves there unless they are confirmed by a login of their own.',
      ),
    netns: z
      .strictObject({ name: netnsName().describe('As `ip netns list` shows it.') })
      .exactOptional()
      .describe('A network namespace of this machine.'),
    http: z
      .strictObject({
        url: z.url({ error: 'expected a URL' }).describe("The router's interface: REST, TR-064 or IGD."),
        user: argument('user').exactOptional().describe('The login.'),
        passwordFile: plainText('path').exactOptional().describe('File with the password, relative to this document.'),
      })
      .exactOptional()
      .describe("By the router's own interface.")
      .register(notes, { later: true }),
    agent: z
      .strictObject({
        address: argument('address, name or alias').describe('Address, name or alias that the OpenSSH client knows.'),
        port: port().default(22).describe('TCP port of the SSH server. No forward may take it; see `allowAccessPort`.'),
        user: argument('user').default('root').describe('The login; it must be root by another name.'),
        identityFile: plainText('path').describe(
          'Private key file of this host alone, relative to this document. `host adopt` makes it where there is none.',
        ),
        hostKey: plainText('key')
          .exactOptional()
          .describe(
            "The host's public key, as in known_hosts. `host adopt` writes it; left out, the client's known_hosts decide.",
          ),
      })
      .exactOptional()
      .describe(
        'By the OpenSSH client and a key that opens no shell there: a gate lets through what plans do, and nothing else. `host adopt` puts it there.',
      ),
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

/** The spec of a Host. */
export const hostSpec = z.strictObject({
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
    ),
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
  drain: z
    .boolean()
    .default(false)
    .describe(
      'Before it is taken down: forwards send no new connection to it, or to what lies behind it, while another target answers; established TCP finishes there.',
    ),
  conntrack: z
    .strictObject({
      max: wholeNumber(1_024, 0x7fff_ffff)
        .exactOptional()
        .describe(
          'Most connections that the kernel tracks (nf_conntrack_max); put back by destroy. Each takes 384 bytes, and as many buckets are made (nf_conntrack_buckets). Left out: as it is.',
        ),
    })
    .default({})
    .describe('Limits of connection tracking.'),
});
