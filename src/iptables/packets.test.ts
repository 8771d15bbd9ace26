/** The kernel runs real packets through random rules, the evaluator the same packets through what is read of them: the same marks come out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { type Family, parseAddress } from '../net/index.ts';
import { type ConnectionContext, evaluate, type PacketContext, prepareRuleset, type Table } from '../nftables/index.ts';
import { readIptablesSave } from './index.ts';

const runs = Math.ceil(Number(process.env.SALLYPORT_RUNS ?? 60) / 4);

const AT = {
  4: { client: '10.1.0.2', router: '10.1.0.1', beyond: '10.2.0.1', server: '10.2.0.2' },
  6: { client: 'fd01::2', router: 'fd01::1', beyond: 'fd02::1', server: 'fd02::2' },
} as const;
const MAC = { client: '02:00:00:00:01:02', server: '02:00:00:00:02:02' } as const;
const bits = { 4: 24, 6: 64 } as const;
const both = (who: 'client' | 'router' | 'beyond' | 'server'): readonly string[] =>
  ([4, 6] as const).map((family) => `${AT[family][who]}/${bits[family]}`);
const ways = (who: 'router' | 'beyond') => ([4, 6] as const).map((family) => ({ to: 'default', via: AT[family][who] }));

const network: Topology = {
  name: 'one-router',
  hosts: [
    { name: 'client', routes: ways('router') },
    { name: 'router', sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } },
    { name: 'server', routes: ways('beyond') },
  ],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', mac: MAC.client, addresses: both('client') },
        { at: 'router', interface: 'left0', addresses: both('router') },
      ],
    },
    {
      ends: [
        { at: 'router', interface: 'right0', addresses: both('beyond') },
        { at: 'server', interface: 'eth0', mac: MAC.server, addresses: both('server') },
      ],
    },
  ],
};

const oneOf = (...texts: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
const bang = fc.constantFrom('', '! ');
/** Bits that rules set, so that a later rule finds some of them. */
const few = fc.constantFrom(0, 1, 2, 3, 6, 0x10, 0xff, 0xff00, 0xdeadbeef, 0xffffffff);
const hex = few.map((value) => `0x${value.toString(16)}`);

function anyCondition(family: Family): fc.Arbitrary<string> {
  const { client, server, router } = AT[family];
  const icmp = family === 4 ? '-p icmp -m icmp' : '-p icmpv6 -m icmp6';
  const [type, other] = family === 4 ? ['--icmp-type', ['8', '0', '3/4']] : ['--icmpv6-type', ['128', '129', '1/4']];
  const block = family === 4 ? '10.2.0.0/255.255.0.255' : 'fd02::/16';
  const states = fc.subarray(['NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'DNAT'], { minLength: 1 });
  const not = (...texts: readonly string[]) => fc.tuple(bang, oneOf(...texts)).map((parts) => parts.join(''));
  const after = (match: string, option: fc.Arbitrary<string>) => option.map((each) => `${match} ${each}`);
  return fc.oneof(
    fc.constant(''),
    not(`-s ${client}`, `-d ${server}`, `-d ${router}`, `-s ${block}`),
    not('-i left0', '-i right+', '-o right0', '-o le+'),
    not('-p tcp', '-p udp', icmp.slice(0, icmp.indexOf(' -m'))),
    after('-p udp -m udp', not('--dport 53', '--sport 50:60', '--dport 1024:', '--sport 40000:40010')),
    after('-p tcp -m tcp', not('--dport 81', '--syn', '--tcp-flags RST RST', '--tcp-flags SYN,ACK SYN')),
    after('-p tcp -m multiport', not('--dports 80,81,90:99', '--sports 81', '--ports 81,82')),
    after('-p udp -m multiport', not('--dports 50:60', '--ports 53,99')),
    after(icmp, not(...other.map((each) => `${type} ${each}`))),
    fc.tuple(bang, states).map(([sign, all]) => `-m conntrack ${sign}--ctstate ${all.join(',')}`),
    after('-m conntrack', not(`--ctorigsrc ${client}`, `--ctrepldst ${server}`, '--ctproto 17')),
    after('-m conntrack', not('--ctstatus SEEN_REPLY', '--ctstatus CONFIRMED,ASSURED')),
    after('-m conntrack', oneOf('--ctdir REPLY', '--ctdir ORIGINAL')),
    fc.tuple(bang, hex, hex).map(([sign, value, mask]) => `-m mark ${sign}--mark ${value}/${mask}`),
    fc.tuple(bang, hex, hex).map(([sign, value, mask]) => `-m connmark ${sign}--mark ${value}/${mask}`),
    after(
      '-m addrtype',
      not('--dst-type LOCAL', '--src-type UNICAST', '--src-type LOCAL,UNICAST', '--dst-type UNICAST'),
    ),
    after('-m iprange', not(`--src-range ${client}-${client}`, `--dst-range ${AT[family].beyond}-${server}`)),
    after('-m mac', not(`--mac-source ${MAC.client.toUpperCase()}`)),
    after('-m pkttype', not('--pkt-type unicast')),
    after('-p tcp --syn -m tcpmss', oneOf('--mss 1400:1460', '--mss 1:1000')),
    after('-m connlabel', not('--label 5', '--label 5 --set', '--label 100')),
    after('-m helper', not('--helper ftp')),
    fc.constant('-m comment --comment "a b"'),
    oneOf('-m recent --set --name seen', '-m recent --update --seconds 1 --hitcount 20 --name unseen'),
    oneOf(
      '-m hashlimit --hashlimit-upto 900/sec --hashlimit-burst 900 --hashlimit-mode srcip --hashlimit-name a',
      '-m hashlimit --hashlimit-above 900/sec --hashlimit-burst 900 --hashlimit-mode srcip --hashlimit-name b',
    ),
    oneOf(
      '-m connlimit --connlimit-above 900',
      '-m connlimit --connlimit-upto 900',
      '-m connlimit --connlimit-above 0',
    ),
    after('-m physdev', not('--physdev-in left0', '--physdev-is-in', '--physdev-is-bridged')),
    oneOf('-m policy --dir in --pol none', '-m policy --dir in --pol ipsec'),
  );
}

const anyTarget = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.oneof(
      fc
        .tuple(oneOf('MARK', 'CONNMARK'), oneOf('--set-xmark', '--set-mark'), hex, hex)
        .map(([target, option, value, mask]) => `-j ${target} ${option} ${value}/${mask}`),
      fc.tuple(oneOf('--and-mark', '--or-mark', '--xor-mark'), hex).map((parts) => `-j MARK ${parts.join(' ')}`),
      fc
        .tuple(oneOf('--save-mark', '--restore-mark'), hex, hex)
        .map(([option, packet, connection]) => `-j CONNMARK ${option} --nfmask ${packet} --ctmask ${connection}`),
      oneOf('-j CONNMARK --save-mark --left-shift-mark 8', '-j CONNMARK --restore-mark --right-shift-mark 4'),
    ),
  },
  { weight: 1, arbitrary: oneOf('-j inner', '-g inner', '-j RETURN', '-j inner2') },
);
const innerTarget = anyTarget.filter((target) => !target.includes('inner'));

const rulesIn = (chain: string, family: Family, target: fc.Arbitrary<string>): fc.Arbitrary<readonly string[]> =>
  fc.array(
    fc
      .tuple(
        // Most conditions hold for few packets: every third rule has none.
        fc.oneof(
          { weight: 1, arbitrary: fc.constant<string[]>([]) },
          {
            weight: 2,
            arbitrary: fc.uniqueArray(anyCondition(family), {
              maxLength: 2,
              selector: (text) => /-[a-z](?: [a-z]+)?/.exec(text.replace(/^(?:! )?(-[sdio]) .*/, '$1'))?.[0],
            }),
          },
        ),
        target,
      )
      // iptables takes `-p` once.
      .filter(([conditions]) => conditions.join(' ').split('-p ').length < 3)
      .map(([conditions, action]) => ['-A', chain, ...conditions.filter(Boolean), action].join(' ')),
    { minLength: chain === 'outer' ? 3 : 0, maxLength: chain === 'outer' ? 12 : 4 },
  );

/** The marks as they are at last, a rule each bit: its counter tells. */
const PROBES = Array.from({ length: 32 }, (_, index) => `0x${((1 << index) >>> 0).toString(16)}`).flatMap((bit) => [
  `-A probe -m mark --mark ${bit}/${bit}`,
  `-A probe -m connmark --mark ${bit}/${bit}`,
]);
const listing = (rules: readonly string[]): string =>
  [
    ...[
      '*mangle',
      ':FORWARD ACCEPT [0:0]',
      ':INPUT ACCEPT [0:0]',
      ':outer - [0:0]',
      ':inner - [0:0]',
      ':inner2 - [0:0]',
      ':probe - [0:0]',
    ],
    // Of an exchange the question and the answer are told apart by their link.
    ...['-i left0 -j outer', '-i left0 -j probe', '-i right0 -j outer', '-i right0 -j probe'].map(
      (each) => `-A FORWARD ${each}`,
    ),
    // Neighbour discovery comes here too.
    ...['-A INPUT -i left0 -p udp -j outer', '-A INPUT -i left0 -p udp -j probe'],
    ...rules,
    ...PROBES,
    ...['COMMIT', ''],
  ].join('\n');

interface Marks {
  readonly mark: number;
  readonly connectionMark: number;
}

/** The probes were met by one packet: a bit is set where its rule counted. */
function marksOf(tables: readonly Table[]): Marks {
  const marks = { mark: 0, connectionMark: 0 };
  const probe = tables.flatMap(({ chains }) => chains).find(({ name }) => name === 'probe');
  for (const { statements, text = '' } of probe?.rules ?? []) {
    const counted = statements.some((each) => each.kind === 'counter' && each.packets === 1);
    const bit = Number(/0x[0-9a-f]+$/.exec(text)?.[0]);
    if (counted && text.includes('-m mark')) marks.mark = (marks.mark | bit) >>> 0;
    if (counted && text.includes('-m connmark')) marks.connectionMark = (marks.connectionMark | bit) >>> 0;
  }
  return marks;
}

const at = (text: string) => {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
};

type Asked = 'udp' | 'tcp' | 'ping' | 'udp to the router';
interface Exchange {
  readonly asked: Asked;
  readonly port: number;
}

/** The first packet of an exchange as it comes by left0. */
function question(family: Family, { asked, port }: Exchange): PacketContext {
  const { client, server, router } = AT[family];
  const source = at(client);
  const isHere = asked === 'udp to the router';
  const destination = at(isHere ? router : server);
  const protocol = asked === 'tcp' ? 6 : asked === 'ping' ? (family === 4 ? 1 : 58) : 17;
  const destinationPort = asked === 'tcp' ? 81 : 53;
  const ports = { sourcePort: port, destinationPort };
  const tuple = { source, destination, protocol, ...ports };
  const connection: ConnectionContext = {
    ...{ state: 'new', direction: 'original', mark: 0, status: 0, zone: { original: 0, reply: 0 }, original: tuple },
    reply: { source: destination, destination: source, protocol, sourcePort: destinationPort, destinationPort: port },
  };
  return {
    ...{ family, source, destination, protocol, mark: 0, connection, hardwareSource: MAC.client, iif: 'left0' },
    unbridged: true,
    ...(asked === 'ping' ? { icmpType: family === 4 ? 8 : 128 } : ports),
    ...(asked === 'tcp' && { tcpFlags: 2, maxseg: family === 4 ? 1460 : 1440 }),
    ...(!isHere && { oif: 'right0' }),
    addressType: (address, link) =>
      link !== undefined
        ? undefined
        : address.value === at(router).value || address.value === at(AT[family].beyond).value
          ? 'local'
          : 'unicast',
  };
}

/** What the first packet leaves on its connection. */
type Left = Required<Pick<ConnectionContext, 'labels'>> & { readonly connectionMark: number };

/** What comes back by right0: a datagram, an echo, or the reset of a closed port. */
function answerTo(question: PacketContext, { asked }: Exchange, left: Left): PacketContext {
  const {
    source,
    destination,
    sourcePort,
    destinationPort,
    icmpType,
    tcpFlags: _flags,
    maxseg: _maxseg,
    ...rest
  } = question;
  const connection = question.connection && { ...question.connection, mark: left.connectionMark, labels: left.labels };
  return {
    ...rest,
    ...{ source: destination, destination: source, mark: 0, iif: 'right0', oif: 'left0', hardwareSource: MAC.server },
    ...(sourcePort !== undefined &&
      destinationPort !== undefined && { sourcePort: destinationPort, destinationPort: sourcePort }),
    ...(icmpType !== undefined && { icmpType: icmpType === 8 ? 0 : 129 }),
    ...(asked === 'tcp' && { tcpFlags: 20 }),
    ...(connection && {
      connection: { ...connection, state: 'established', direction: 'reply', status: 10 },
    }),
  };
}

async function send(lab: Lab, family: Family, { asked, port }: Exchange): Promise<void> {
  const { server, router } = AT[family];
  if (asked === 'ping') await lab.host('client').run(['ping', '-c', '1', '-W', '2', server]);
  else if (asked === 'tcp')
    expect(await lab.connect('client', { protocol: 'tcp', to: server, port: 81, sourcePort: port })).toMatchObject({
      error: 'ECONNREFUSED',
    });
  else {
    const to = asked === 'udp' ? server : router;
    expect(await lab.connect('client', { protocol: 'udp', to, port: 53, sourcePort: port })).toMatchObject({
      ok: true,
    });
  }
}

for (const family of [4, 6] as const)
  test(`IPv${family} packets get the marks that the evaluator foretells`, async () => {
    await using lab = await startLab(network);
    await lab.serve('server', { protocol: 'udp', port: 53 });
    await lab.serve('router', { protocol: 'udp', port: 53 });
    const router = lab.host('router');
    const word = family === 4 ? 'iptables' : 'ip6tables';
    const read = async (): Promise<readonly Table[]> => {
      const { stdout } = await router.run([`${word}-save`, '-c', '-t', 'mangle']);
      const { tables, problems } = readIptablesSave(stdout, { family, origin: 'iptables-nft' });
      expect(problems).toEqual([]);
      return tables;
    };
    let port = 40_000;
    let marked = 0;
    const anyRules = fc.tuple(
      rulesIn('outer', family, anyTarget),
      rulesIn('inner', family, innerTarget),
      rulesIn('inner2', family, innerTarget),
    );
    await fc.assert(
      fc.asyncProperty(
        anyRules,
        fc.constantFrom<Asked>('udp', 'tcp', 'ping', 'udp to the router'),
        async (rules, asked) => {
          const exchange: Exchange = { asked, port: ++port };
          const isHere = asked === 'udp to the router';
          // Questions and answers would add up in one probe: each is sent by itself, past the rules of the other.
          for (const way of isHere ? ['left0'] : ['left0', 'right0']) {
            const loaded = listing(rules.flat())
              .split('\n')
              .filter((line) => !(line.endsWith('-j probe') && !line.includes(way)));
            await router.run([`${word}-restore`], { stdin: loaded.join('\n') });
            const ruleset = prepareRuleset(await read());
            const asking = { ...exchange, port: ++port };
            const first = question(family, asking);
            const hook = isHere ? 'input' : 'forward';
            const foretell = (packet: PacketContext): Marks & Left => {
              const result = evaluate(ruleset, { hook, type: 'filter' }, packet);
              if (result.verdict !== 'accept')
                throw new Error(
                  `foretold: ${JSON.stringify(result.verdict === 'undecided' ? result.why : result.verdict)}`,
                );
              return {
                mark: result.changes.mark ?? 0,
                connectionMark: result.changes.connectionMark ?? packet.connection?.mark ?? 0,
                labels: result.changes.labels ?? packet.connection?.labels ?? 0n,
              };
            };
            const there = foretell(first);
            const { labels: _, ...foretold } = way === 'left0' ? there : foretell(answerTo(first, asking, there));
            await send(lab, family, asking);
            expect(marksOf(await read()), `${asked} by ${way}\n${rules.flat().join('\n')}`).toEqual(foretold);
            if (foretold.mark !== 0 || foretold.connectionMark !== 0) marked++;
          }
        },
      ),
      { numRuns: runs },
    );
    // A test that never marks would show nothing.
    expect(marked).toBeGreaterThan(runs / 2);
  });
