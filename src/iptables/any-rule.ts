/** Random lines that iptables-restore takes, for property tests. */
import fc from 'fast-check';
import type { Family } from '../net/index.ts';

const bang = fc.constantFrom('', '', '! ');
const words = (...parts: readonly (string | fc.Arbitrary<string | number>)[]): fc.Arbitrary<string> =>
  fc.tuple(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part))).map((all) => all.join(''));
const oneOf = (...texts: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
const hex = fc.nat({ max: 0xffff_ffff }).map((value) => `0x${value.toString(16)}`);
const masked = fc.oneof(hex, words(hex, '/', hex));
const port = fc.integer({ min: 1, max: 65_535 });
const ports = fc.oneof(
  port.map(String),
  fc.tuple(port, port).map(([a, b]) => `${Math.min(a, b)}:${Math.max(a, b)}`),
);
const portList = fc.uniqueArray(port, { minLength: 1, maxLength: 4 }).map((all) => all.join(','));

const anyAddress = (family: Family): fc.Arbitrary<string> =>
  family === 4
    ? fc.nat({ max: 255 }).map((last) => `10.1.2.${last}`)
    : fc.nat({ max: 0xffff }).map((last) => `fd00::${last.toString(16)}`);
const anyBlock = (family: Family): fc.Arbitrary<string> =>
  fc.oneof(
    anyAddress(family),
    fc.tuple(anyAddress(family), fc.integer({ min: 1, max: family === 4 ? 32 : 128 })).map((parts) => parts.join('/')),
    ...(family === 4 ? [words(anyAddress(4), '/255.0.255.0')] : []),
  );

/** Options of the command itself that need no protocol. */
const anyBasic = (family: Family): fc.Arbitrary<string> =>
  fc.oneof(
    words(bang, oneOf('-s ', '--source ', '-d ', '--dst '), anyBlock(family)),
    words(bang, '-i ', oneOf('eth0', 'veth+')),
    words(bang, '-o ', oneOf('eth1', 'br-+')),
  );

const flags = fc.subarray(['FIN', 'SYN', 'RST', 'ACK'], { minLength: 1 });
const anyPorted = (protocol: string): fc.Arbitrary<string> =>
  fc.oneof(
    words(`-p ${protocol} -m ${protocol} `, bang, oneOf('--sport ', '--dport '), ports),
    words(`-p ${protocol} `, bang, '--dport ', ports),
    words(`-p ${protocol} -m multiport `, bang, oneOf('--sports ', '--dports ', '--ports '), portList),
  );
const anyTransport = (family: Family): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constant(''),
    words(bang, '-p ', oneOf('tcp', 'udp', '47', family === 4 ? 'icmp' : 'ipv6-icmp')),
    anyPorted('tcp'),
    anyPorted('udp'),
    anyPorted('sctp'),
    words('-p tcp ', bang, '--syn'),
    fc
      .tuple(bang, flags, flags)
      .map(
        ([not, mask, set]) => `-p tcp -m tcp ${not}--tcp-flags ${[...new Set([...mask, ...set])].join()} ${set.join()}`,
      ),
    family === 4
      ? words('-p icmp -m icmp ', bang, '--icmp-type ', oneOf('8', '3/4', 'echo-reply', 'fragmentation-needed'))
      : words('-p ipv6-icmp -m icmp6 ', bang, '--icmpv6-type ', oneOf('128', '1/4', 'packet-too-big')),
  );

const states = fc
  .subarray(['NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'UNTRACKED', 'SNAT', 'DNAT'], { minLength: 1 })
  .map((all) => all.join(','));
const anyMatch = (family: Family): fc.Arbitrary<string> =>
  fc.oneof(
    words('-m conntrack ', bang, '--ctstate ', states),
    words('-m state ', bang, '--state ', oneOf('NEW', 'RELATED,ESTABLISHED', 'INVALID')),
    words('-m conntrack ', bang, '--ctorigdst ', anyAddress(family), ' --ctdir ', oneOf('ORIGINAL', 'REPLY')),
    words('-m conntrack ', bang, '--ctstatus ', oneOf('ASSURED', 'SEEN_REPLY,CONFIRMED')),
    words('-m mark ', bang, '--mark ', masked),
    words('-m connmark ', bang, '--mark ', masked),
    words('-m connlabel ', bang, '--label ', oneOf('5', '127'), oneOf('', ' --set')),
    words('-m helper ', bang, '--helper ftp'),
    words(
      '-m addrtype ',
      bang,
      oneOf('--src-type ', '--dst-type '),
      oneOf('LOCAL', 'UNICAST,LOCAL', family === 4 ? 'BROADCAST' : 'ANYCAST'),
    ),
    words('-m iprange ', bang, '--src-range ', anyAddress(family)),
    words('-m length ', bang, '--length ', oneOf('40', '40:1500', '100:')),
    words('-m pkttype ', bang, '--pkt-type ', oneOf('unicast', 'broadcast', 'multicast')),
    words('-m mac ', bang, '--mac-source 02:00:00:AA:BB:01'),
    words('-m dscp ', bang, '--dscp 0x2e'),
    words('-m owner ', bang, oneOf('--uid-owner 1337', '--gid-owner 10-20')),
    words(
      '-m ',
      family === 4 ? oneOf('ttl --ttl-lt 3', 'ttl ! --ttl-eq 64') : oneOf('hl --hl-gt 3', 'hl ! --hl-eq 64'),
    ),
    words('-m statistic --mode random ', bang, '--probability ', oneOf('0.5', '0.33333333349')),
    words('-m limit --limit ', oneOf('3/min', '10/sec'), ' --limit-burst 20'),
    words('-m recent --name seen ', oneOf('--set', '--rcheck --seconds 60', '--update --seconds 9 --hitcount 4')),
    words(
      '-m comment --comment ',
      fc
        .array(oneOf('a', ' ', String.raw`\"`, String.raw`\\`, String.raw`\'`, '!', '-j', ';', 'é'), {
          minLength: 1,
          maxLength: 8,
        })
        .map((all) => `"${all.join('')}"`),
    ),
  );

const natFlags = fc.subarray(['--random', '--persistent']).map((all) => all.join(' '));
const to = (family: Family, withPort: boolean): fc.Arbitrary<string> => {
  const one = anyAddress(family);
  const suffix = withPort
    ? fc.oneof(
        port.map((value) => `:${value}`),
        fc.constant(':100-200'),
      )
    : fc.constant('');
  const open = family === 6 && withPort ? '[' : '';
  return words(open, one, open === '' ? '' : ']', suffix);
};
const mark = oneOf('--set-xmark ', '--set-mark ');
/** Targets by the tables that allow them; those of nat want a protocol where they name ports. */
const anyTarget = (family: Family, table: string): fc.Arbitrary<string> => {
  const anywhere = [
    oneOf('', '-j ACCEPT', '-j RETURN', '-j other', '-g other', ...(table === 'nat' ? [] : ['-j DROP'])),
    words('-j MARK ', mark, masked),
    words('-j MARK ', oneOf('--and-mark ', '--or-mark ', '--xor-mark '), hex),
    words('-j LOG --log-prefix "', oneOf('a b ', 'drop: '), '"'),
    words('-j NFLOG --nflog-group 5'),
  ];
  const own: Readonly<Record<string, readonly fc.Arbitrary<string>[]>> = {
    raw: [
      oneOf('-j CT --notrack', '-j CT --zone 7', '-j CT --zone-orig 7', '-j CT --zone-reply 9', '-j CT --zone mark'),
    ],
    mangle: [
      words('-j CONNMARK ', mark, masked),
      words(
        '-j CONNMARK ',
        oneOf('--save-mark', '--restore-mark'),
        fc.oneof(fc.constant(''), words(' --nfmask ', hex, ' --ctmask ', hex)),
      ),
      words('-j CONNMARK --save-mark --left-shift-mark 8'),
      oneOf('-j DSCP --set-dscp 0x2e'),
    ],
    nat: [
      words('-j DNAT --to-destination ', to(family, false), ' ', natFlags),
      words('-j SNAT --to-source ', to(family, false), ' ', natFlags),
      oneOf('-j MASQUERADE', '-j MASQUERADE --random-fully'),
    ],
    filter: [
      family === 4
        ? words(
            '-j REJECT --reject-with ',
            oneOf('icmp-port-unreachable', 'icmp-host-prohibited', 'icmp-admin-prohibited'),
          )
        : words('-j REJECT --reject-with ', oneOf('icmp6-port-unreachable', 'icmp6-no-route', 'icmp6-adm-prohibited')),
    ],
    security: [],
  };
  return fc.oneof(...anywhere, ...(own[table] ?? []));
};
/** Targets that ask for a protocol, with it. */
const anyPortedRule = (family: Family, table: string): fc.Arbitrary<string> | undefined => {
  if (table === 'mangle') return words('-p tcp --syn -j TCPMSS ', oneOf('--set-mss 1360'));
  if (table === 'filter') return words('-p tcp -j REJECT --reject-with tcp-reset');
  if (table !== 'nat') return undefined;
  return fc.oneof(
    words('-p tcp -j DNAT --to-destination ', to(family, true), ' ', natFlags),
    words('-p udp -j SNAT --to-source ', to(family, true)),
    words('-p tcp -j REDIRECT --to-ports ', port),
    words('-p udp -j MASQUERADE --to-ports 1000-2000'),
  );
};

const anyLine = (family: Family, table: string): fc.Arbitrary<string> => {
  const plain = fc
    .tuple(
      fc.uniqueArray(anyBasic(family), { maxLength: 2, selector: (basic) => /-[a-z]/.exec(basic)?.[0] }),
      anyTransport(family),
      fc.uniqueArray(anyMatch(family), { maxLength: 2, selector: (match) => match.split(' ')[1] }),
      anyTarget(family, table),
    )
    .map(([basics, transport, matches, target]) => [...basics, transport, ...matches, target]);
  const ported = anyPortedRule(family, table);
  const parts =
    ported === undefined
      ? plain
      : fc.oneof({ weight: 5, arbitrary: plain }, { weight: 1, arbitrary: ported.map((each) => [each]) });
  return parts.map((all) => ['-A mine', ...all.filter((part) => part !== '')].join(' ').trim());
};

/** A listing of one table with a chain of random rules. */
export const anyListing = (family: Family): fc.Arbitrary<string> =>
  oneOf('raw', 'mangle', 'nat', 'filter', 'security').chain((table) =>
    fc
      .array(anyLine(family, table), { minLength: 1, maxLength: 8 })
      .map((lines) => [`*${table}`, ':mine - [0:0]', ':other - [0:0]', ...lines, 'COMMIT', ''].join('\n')),
  );
