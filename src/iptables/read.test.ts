import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { printStatement, type Rule, type Statement, type Table } from '../nftables/index.ts';
import { readIpsets, readIptablesSave } from './index.ts';

const print = (statement: Statement): string =>
  statement.kind === 'opaque' ? JSON.stringify(statement.json) : printStatement(statement);
const printed = ({ statements }: Rule): string => statements.map(print).join(' ');

const listing = (table: string, ...lines: readonly string[]): string =>
  [`*${table}`, ...['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'].map((name) => `:${name} ACCEPT [0:0]`)]
    .concat(':mine - [0:0]', ':other - [0:0]', ...lines, 'COMMIT', '')
    .join('\n');
const read = (text: string, family: 4 | 6 = 4, sets = '') =>
  readIptablesSave(text, { family, origin: 'iptables-nft', sets: readIpsets(sets) });
const rulesOf = ({ chains }: Table): readonly Rule[] => chains.flatMap(({ rules }) => rules);

const SETS = `create blocked hash:net family inet hashsize 1024 maxelem 65536
add blocked 10.0.0.0/8
add blocked 10.1.0.0/16
create served hash:ip,port family inet hashsize 1024 maxelem 65536
add served 192.0.2.1,tcp:80
create links hash:net,iface family inet
add links 10.9.0.0/16,eth0
create ports bitmap:port range 0-65535
add ports 80
create lists list:set size 8
`;

/** One line of iptables-save beside the nft rules that say the same. */
function each(family: 4 | 6, cases: readonly (readonly [string, ...(readonly string[])])[]): void {
  for (const [line, ...wanted] of cases)
    test(line, () => {
      const { tables, problems } = read(listing(line.includes('NETMAP') ? 'nat' : 'filter', line), family, SETS);
      expect(problems).toEqual([]);
      expect(tables.flatMap(rulesOf).map(printed)).toEqual(wanted);
      expect(tables.flatMap(rulesOf).map(({ text }) => text)).toEqual(wanted.map(() => line));
    });
}

describe('matches', () => {
  each(4, [
    ['-A mine', ''],
    ['-A mine -s 10.0.0.0/8 -d 192.0.2.1/32 -j DROP', 'ip saddr 10.0.0.0/8 ip daddr 192.0.2.1 drop'],
    ['-A mine ! -s 10.1.2.3/255.255.0.0 -j DROP', 'ip saddr != 10.1.0.0/16 drop'],
    ['-A mine -d 0.0.0.1/0.0.0.255 -j DROP', 'ip daddr & 0.0.0.255 == 0.0.0.1 drop'],
    ['-A mine -s 0.0.0.0/0 -j DROP', 'drop'],
    ['-A mine ! -s 0.0.0.0/0 -j DROP'],
    ['-A mine -i eth0 ! -o veth+ -j DROP', 'iifname "eth0" oifname != "veth*" drop'],
    ['-A mine -i + -j DROP', 'drop'],
    ['-A mine ! -p tcp -j DROP', 'meta l4proto != tcp drop'],
    ['-A mine -p 47 -j DROP', 'meta l4proto gre drop'],
    ['-A mine -p ipencap -j DROP', 'meta l4proto 4 drop'],
    ['-A mine ! -f -j DROP', 'ip frag-off & 8191 == 0 drop'],
    ['-A mine -p tcp -m tcp --dport 80 -j DROP', 'meta l4proto tcp tcp dport 80 drop'],
    ['-A mine -p tcp --dport ! 80:90 -j DROP', 'meta l4proto tcp tcp dport != 80-90 drop'],
    ['-A mine -p tcp -m tcp ! --sport :1023 -j DROP', 'meta l4proto tcp tcp sport != 0-1023 drop'],
    ['-A mine -p udp -m udp --sport 1024: -j DROP', 'meta l4proto udp udp sport 1024-65535 drop'],
    ['-A mine -p sctp -m sctp --dport 9 -j DROP', 'meta l4proto sctp sctp dport 9 drop'],
    ['-A mine -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP', 'meta l4proto tcp tcp flags & 23 == 2 drop'],
    ['-A mine -p tcp ! --syn -j DROP', 'meta l4proto tcp tcp flags & 23 != 2 drop'],
    ['-A mine -p tcp -m tcp --tcp-flags ALL NONE -j DROP', 'meta l4proto tcp tcp flags & 63 == 0 drop'],
    [
      '-A mine -p tcp -m multiport --dports 80,443,1000:2000 -j DROP',
      'meta l4proto tcp tcp dport { 80, 443, 1000-2000 } drop',
    ],
    [
      '-A mine -p udp -m multiport --ports 53,67 -j mine',
      'meta l4proto udp udp sport { 53, 67 } jump mine',
      'meta l4proto udp udp sport != { 53, 67 } udp dport { 53, 67 } jump mine',
    ],
    [
      '-A mine -p udp -m multiport ! --ports 53 -j mine',
      'meta l4proto udp udp sport != { 53 } udp dport != { 53 } jump mine',
    ],
    ['-A mine -p icmp -m icmp --icmp-type 8 -j DROP', 'meta l4proto icmp icmp type 8 drop'],
    ['-A mine -p icmp -m icmp --icmp-type 3/4 -j DROP', 'meta l4proto icmp icmp type 3 icmp code 4 drop'],
    [
      '-A mine -p icmp -m icmp ! --icmp-type fragmentation-needed -j DROP',
      'meta l4proto icmp icmp type != 3 drop',
      'meta l4proto icmp icmp type 3 icmp code != 4 drop',
    ],
    ['-A mine -p icmp -m icmp --icmp-type any -j DROP', 'meta l4proto icmp drop'],
    ['-A mine -m conntrack --ctstate RELATED,ESTABLISHED -j DROP', 'ct state established,related drop'],
    ['-A mine -m state ! --state NEW -j DROP', 'ct state established,related,invalid,untracked drop'],
    ['-A mine -m conntrack --ctstate DNAT -j DROP', 'ct state new,established,related ct status dnat drop'],
    [
      '-A mine -m conntrack --ctstate ESTABLISHED,DNAT -j DROP',
      'ct state established drop',
      'ct state new,related ct status dnat drop',
    ],
    [
      '-A mine -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
      'ct state invalid,untracked drop',
      'ct state new ct status & dnat == 0 drop',
    ],
    ['-A mine -m conntrack --ctdir REPLY -j DROP', 'ct direction reply drop'],
    ['-A mine -m conntrack --ctstatus SEEN_REPLY,ASSURED -j DROP', 'ct status seen-reply,assured drop'],
    [
      '-A mine -m conntrack ! --ctorigdst 10.0.0.0/8 --ctorigdstport 80 -j DROP',
      'ct original ip daddr != 10.0.0.0/8 ct original proto-dst 80 drop',
    ],
    ['-A mine -m mark --mark 0x4000/0x4000 -j DROP', 'meta mark & 0x00004000 == 0x00004000 drop'],
    ['-A mine -m mark ! --mark 0xca6c -j DROP', 'meta mark != 0x0000ca6c drop'],
    ['-A mine -m connmark --mark 0x1/0xff -j DROP', 'ct mark & 0x000000ff == 0x00000001 drop'],
    ['-A mine -m addrtype --dst-type LOCAL -j DROP', 'fib daddr type local drop'],
    [
      '-A mine -m addrtype ! --src-type LOCAL,UNICAST --limit-iface-in -j DROP',
      'fib saddr . iif type != { local, unicast } drop',
    ],
    ['-A mine -m rpfilter --validmark --invert -j DROP', 'fib saddr . mark . iif oif missing drop'],
    ['-A mine -m rpfilter --loose -j DROP', 'fib saddr oif exists drop'],
    ['-A mine -m iprange --src-range 10.0.0.1-10.0.0.9 -j DROP', 'ip saddr 10.0.0.1-10.0.0.9 drop'],
    ['-A mine -m length --length 40:100 -j DROP', 'meta length 40-100 drop'],
    ['-A mine -m pkttype --pkt-type broadcast -j DROP', 'meta pkttype broadcast drop'],
    ['-A mine -m mac --mac-source 02:00:00:AA:bb:01 -j DROP', 'ether saddr 02:00:00:aa:bb:01 drop'],
    ['-A mine -m dscp --dscp 0x2e -j DROP', 'ip dscp 46 drop'],
    ['-A mine -m ttl --ttl-lt 2 -j DROP', 'ip ttl < 2 drop'],
    ['-A mine -m owner ! --uid-owner 1337 -j DROP', 'meta skuid != 1337 drop'],
    ['-A mine -p tcp -m tcpmss --mss 1400:1536 -j DROP', 'meta l4proto tcp tcp option maxseg size 1400-1536 drop'],
    ['-A mine -m set --match-set blocked src -j DROP', 'ip saddr @blocked drop'],
    ['-A mine -m set ! --match-set served dst,dst -j DROP', 'ip daddr . meta l4proto . th dport != @served drop'],
    ['-A mine -m set --match-set links dst,src -j DROP', 'ip daddr . iifname @links drop'],
    ['-A mine -m set --match-set ports src -j DROP', 'th sport @ports drop'],
    ['-A mine -m limit --limit 3/min --limit-burst 10 -j DROP', 'limit rate 3/minute burst 10 packets drop'],
    [
      '-A mine -m statistic --mode random --probability 0.33333333349 -j DROP',
      'numgen random mod 2147483648 < 715827883 drop',
    ],
    [
      '-A mine -m statistic --mode random ! --probability 0.50000000000 -j DROP',
      'numgen random mod 2147483648 >= 1073741824 drop',
    ],
    ['-A mine -m statistic --mode nth --every 3 --packet 1 -j DROP', 'numgen inc mod 3 1 drop'],
    ['-A mine -m nfacct --nfacct-name  seen -j DROP', 'drop'],
  ]);
  each(6, [
    [
      '-A mine -s fd00::/8 -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP',
      'ip6 saddr fd00::/8 meta l4proto icmpv6 icmpv6 type 135 drop',
    ],
    ['-A mine -m addrtype --dst-type LOCAL -j DROP', 'fib daddr type local drop'],
    ['-A mine -m addrtype --dst-type UNICAST -j DROP', 'ip6 daddr != { ::, ff00::/8 } drop'],
    [
      '-A mine -m addrtype ! --src-type UNICAST,LOCAL -j DROP',
      'ip6 saddr { ::, ff00::/8 } drop',
      'ip6 saddr != { ::, ff00::/8 } fib saddr type != local drop',
    ],
    ['-A mine -m iprange --dst-range fd00::1-fd00::9 -j DROP', 'ip6 daddr fd00::1-fd00::9 drop'],
    ['-A mine -m hl --hl-eq 255 -j DROP', 'ip6 hoplimit 255 drop'],
    ['-A mine -m rt --rt-type 0 -j DROP', 'rt type 0 drop'],
    ['-A mine -j REJECT --reject-with icmp6-adm-prohibited', 'reject with icmpv6 type admin-prohibited'],
    ['-A mine -j DNAT --to-destination [fd00::1]:80', 'dnat ip6 to [fd00::1]:80'],
    ['-A mine -j DNAT --to-destination fd00::1', 'dnat ip6 to fd00::1'],
    ['-A mine -j SNAT --to-source fd00::1-fd00::9', 'snat ip6 to fd00::1-fd00::9'],
  ]);
});

describe('targets', () => {
  each(4, [
    ['-A mine -j ACCEPT', 'accept'],
    ['-A mine -g other', 'goto other'],
    ['-A mine -j RETURN', 'return'],
    ['-A mine -j REJECT', 'reject with icmp type port-unreachable'],
    ['-A mine -p tcp -j REJECT --reject-with tcp-reset', 'meta l4proto tcp reject with tcp reset'],
    [
      '-A mine -j DNAT --to-destination 10.0.0.1:8080 --random --persistent',
      'dnat ip to 10.0.0.1:8080 random,persistent',
    ],
    ['-A mine -j DNAT --to-destination 10.0.0.1-10.0.0.3:80-90', 'dnat ip to 10.0.0.1-10.0.0.3:80-90'],
    ['-A mine -j DNAT --to-destination :8080', 'dnat ip to :8080'],
    ['-A mine -j SNAT --to-source 10.0.0.1:1024-65535 --random-fully', 'snat ip to 10.0.0.1:1024-65535 fully-random'],
    ['-A mine -j MASQUERADE --to-ports 1024-65535 --random-fully', 'masquerade to :1024-65535 fully-random'],
    ['-A mine -j REDIRECT --to-ports 15001', 'redirect to :15001'],
    ['-A PREROUTING -j NETMAP --to 10.5.0.0/16', 'dnat ip to ip daddr & 0.0.255.255 | 10.5.0.0'],
    ['-A POSTROUTING -j NETMAP --to 10.5.0.0/16', 'snat ip to ip saddr & 0.0.255.255 | 10.5.0.0'],
    ['-A mine -j MARK --set-xmark 0x4000/0x4000', 'meta mark set meta mark & 0xffffbfff | 0x00004000'],
    ['-A mine -j MARK --set-xmark 0x4000/0x0', 'meta mark set meta mark ^ 0x00004000'],
    ['-A mine -j MARK --set-xmark 0x0/0xff', 'meta mark set meta mark & 0xffffff00'],
    ['-A mine -j MARK --set-xmark 0x1ff/0xff', 'meta mark set meta mark & 0xffffff00 ^ 0x000001ff'],
    ['-A mine -j MARK --set-mark 0x1', 'meta mark set 0x00000001'],
    ['-A mine -j MARK --set-mark 0x100/0xff', 'meta mark set meta mark & 0xfffffe00 | 0x00000100'],
    ['-A mine -j MARK --and-mark 0xff', 'meta mark set meta mark & 0x000000ff'],
    ['-A mine -j MARK --or-mark 0xff', 'meta mark set meta mark & 0xffffff00 | 0x000000ff'],
    ['-A mine -j MARK --xor-mark 0xff', 'meta mark set meta mark ^ 0x000000ff'],
    ['-A mine -j CONNMARK --set-xmark 0x80000/0x80000', 'ct mark set ct mark & 0xfff7ffff | 0x00080000'],
    ['-A mine -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff', 'ct mark set meta mark'],
    ['-A mine -j CONNMARK --restore-mark --mask 0xff', 'meta mark set meta mark & 0xffffff00 ^ ct mark & 0x000000ff'],
    [
      '-A mine -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff00 --left-shift-mark 8',
      'ct mark set ct mark & 0xffff00ff ^ (meta mark & 0x000000ff) << 8',
    ],
    ['-A mine -p tcp -j TCPMSS --set-mss 1360', 'meta l4proto tcp tcp option maxseg size set 1360'],
    ['-A mine -p tcp -j TCPMSS --clamp-mss-to-pmtu', 'meta l4proto tcp tcp option maxseg size set rt mtu'],
    ['-A mine -j CT --notrack', 'notrack'],
    ['-A mine -j NOTRACK', 'notrack'],
    [
      '-A mine -j CT --zone-orig 5 --zone-reply mark',
      'ct state != untracked ct original zone set 5 ct reply zone set meta mark',
    ],
    ['-A mine -j CT --helper ftp', '{"ct helper":"helper ftp"}'],
    ['-A mine -j CONNSECMARK --save', 'ct secmark set meta secmark'],
    ['-A mine -j DSCP --set-dscp 0x2e', 'ip dscp set 46'],
  ]);
});

describe('rates, of which one packet alone meets none', () => {
  each(4, [
    ['-A mine -m hashlimit --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-name a', 'limit rate 5/second'],
    [
      '-A mine -m hashlimit --hashlimit-above 1mb/s --hashlimit-mode srcip --hashlimit-name a -j DROP',
      'limit rate over 1/second drop',
    ],
    [
      '-A mine -p tcp -m connlimit --connlimit-above 20 --connlimit-mask 32 --connlimit-saddr',
      'meta l4proto tcp ct count over 20',
    ],
    ['-A mine -p tcp -m connlimit ! --connlimit-above 20 --connlimit-mask 32', 'meta l4proto tcp ct count 20'],
    ['-A mine -m recent --set --name a --mask 255.255.255.255 --rsource', ''],
    [
      '-A mine -m recent --update --seconds 30 --hitcount 6 --name a --mask 255.255.255.255 --rsource -j DROP',
      'limit rate over 6/minute drop',
    ],
    ['-A mine -m policy --dir in --pol none -j ACCEPT', 'accept'],
  ]);

  test('what asks for IPsec on the way in never holds', () => {
    const text = '*filter\n:mine - [0:0]\n-A mine -m policy --dir in --pol ipsec -j ACCEPT\nCOMMIT\n';
    const { tables, problems } = readIptablesSave(text, { family: 4, origin: 'iptables-nft' });
    expect([tables[0]?.chains[0]?.rules, problems]).toEqual([[], []]);
  });

  test('a set that a rule of another table writes to is not known', () => {
    const sets = readIpsets('create nets hash:net family inet\nadd nets 10.0.0.0/8\n');
    const rules = '*filter\n:mine - [0:0]\n-A mine -m set --match-set nets src -j DROP\nCOMMIT\n';
    const write = '*raw\n:mine - [0:0]\n-A mine -j SET --add-set nets src\nCOMMIT\n';
    const flags = (text: string) =>
      readIptablesSave(text, { family: 4, origin: 'iptables-nft', sets }).tables.flatMap((table) =>
        table.sets.map((set) => set.flags),
      );
    expect(flags(rules)).toEqual([['interval']]);
    expect(flags(rules + write)).toEqual([['dynamic']]);
  });
});

describe('what nft has no equal of stands in its own words', () => {
  const xt = (type: string, name: string, words?: string): string =>
    JSON.stringify({ xt: { type, name, ...(words !== undefined && { words }) } });
  each(4, [
    [
      '-A mine -m recent --rcheck --name a --rsource -j DROP',
      `${xt('match', 'recent', '--rcheck --name a --rsource')} drop`,
    ],
    [
      '-A mine -m u32 --u32 "0>>22&0x3C@4=0x29" -j LOG --log-prefix "[UFW BLOCK] "',
      `${xt('match', 'u32', '--u32 "0>>22&0x3C@4=0x29"')} ${xt('target', 'LOG', '--log-prefix "[UFW BLOCK] "')}`,
    ],
    [
      '-A mine -m physdev ! --physdev-is-bridged -m mark --mark 0x1 -j DROP',
      '{"xt":{"type":"match","name":"physdev","words":"! --physdev-is-bridged","unbridged":true}} meta mark 0x00000001 drop',
    ],
    ['-A mine -m set --match-set unknown src -j DROP', `${xt('match', 'set', '--match-set unknown src')} drop`],
    ['-A mine -m set --match-set lists src -j DROP', `${xt('match', 'set', '--match-set lists src')} drop`],
    ['-A mine -p tcp -m tcp --tcp-option 2 -j DROP', `meta l4proto tcp ${xt('match', 'tcp', '--tcp-option 2')} drop`],
    [
      '-A mine -j TPROXY --on-port 15001 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1',
      '{"xt":{"type":"target","name":"TPROXY","words":"--on-port 15001 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1","on":{"port":15001,"mark":1,"mask":1}}}',
    ],
    ['-A mine -j NFLOG --nflog-group 1', xt('target', 'NFLOG', '--nflog-group 1')],
    ['-A mine -j AUDIT --type accept', xt('target', 'AUDIT', '--type accept')],
    ['-A mine -j NFQUEUE --queue-num 0', xt('target', 'NFQUEUE', '--queue-num 0')],
    [
      '-A mine -j DNAT --to-destination 10.0.0.1:80-90/8080',
      JSON.stringify({
        xt: {
          ...{ type: 'target', name: 'DNAT', words: '--to-destination 10.0.0.1:80-90/8080' },
          on: { address: '10.0.0.1', first: 80, last: 90, base: 8080 },
        },
      }),
    ],
    ['-A mine -j NETMAP --to 10.5.0.0/16', xt('target', 'NETMAP', '--to 10.5.0.0/16')],
    ['-A mine -j elsewhere', xt('target', 'elsewhere')],
  ]);
});

test('comments keep spaces, quotes and words that look like options', () => {
  const lines = [
    String.raw`-A mine -m comment --comment "say \"hi\" to C:\\x; it\'s -j DROP" -j ACCEPT`,
    '-A mine -m comment --comment --dport -j ACCEPT',
    '-A mine -m comment --comment "!" -j ACCEPT',
  ];
  const { tables, problems } = read(listing('filter', ...lines));
  expect(problems).toEqual([]);
  expect(tables.flatMap(rulesOf).map((rule) => [rule.comment, printed(rule)])).toEqual([
    [`say "hi" to C:\\x; it's -j DROP`, 'accept'],
    ['--dport', 'accept'],
    ['!', 'accept'],
  ]);
});

test('counters stand behind what they count, and are no part of the text', () => {
  const { tables } = read(listing('filter', '[12:3400] -A mine -m recent --rcheck -i eth0 -j mine'));
  const [rule] = tables.flatMap(rulesOf);
  expect(rule && printed(rule)).toMatch(/\}\} counter jump mine$/);
  expect(rule?.text).toBe('-A mine -m recent --rcheck -i eth0 -j mine');
});

test('built-in chains stand where the kernel calls them', () => {
  const places = ['raw', 'mangle', 'nat', 'filter', 'security'].map((name) => {
    const { tables, problems } = read(listing(name).replace(/^:mine.*\n:other.*\n/m, ''), 6);
    expect(problems).toEqual([]);
    const chains = tables.flatMap((table) => table.chains);
    return `${name}: ${chains.map((of) => (of.kind === 'base' ? `${of.type} ${of.hook} ${of.priority}` : '')).join(', ')}`;
  });
  expect(places).toEqual([
    'raw: filter prerouting -300, filter output -300',
    'mangle: filter prerouting -150, filter input -150, filter forward -150, route output -150, filter postrouting -150',
    'nat: nat prerouting -100, nat input 100, nat output -100, nat postrouting 100',
    'filter: filter input 0, filter forward 0, filter output 0',
    'security: filter input 50, filter forward 50, filter output 50',
  ]);
});

test('a table that is not known is kept, and nobody says what its chains do', () => {
  const [table] = read(
    '*broute\n:BROUTING DROP [0:0]\n:mine - [0:0]\n-A mine -j DROP\n-A BROUTING -j mine\nCOMMIT\n',
  ).tables;
  expect(table).toMatchObject({
    ...{ family: 'ip', name: 'broute', origin: 'iptables-nft', chains: [{ kind: 'regular', name: 'mine' }] },
    opaque: [{ chain: { table: 'broute', name: 'BROUTING', policy: 'DROP', rules: ['-A BROUTING -j mine'] } }],
  });
});

test('a set that rules add to is not known beforehand', () => {
  const lines = ['-A mine -m set --match-set blocked src -j DROP', '-A mine -j SET --add-set blocked src'];
  expect(read(listing('filter', ...lines), 4, SETS).tables[0]?.sets.map(({ name, flags }) => [name, flags])).toEqual([
    ['blocked', ['dynamic']],
  ]);
});

test('a block inside another of its ipset is no second element', () =>
  expect(
    read(listing('filter', '-A mine -m set --match-set blocked src -j DROP'), 4, SETS).tables[0]?.sets,
  ).toMatchObject([
    {
      name: 'blocked',
      type: ['ipv4_addr'],
      flags: ['interval'],
      elements: [{ key: { kind: 'prefix', prefix: { length: 8 } } }],
    },
  ]));

test('a table of native rules is named', () =>
  expect(read("# Table `nat' is incompatible, use 'nft' tool.\n").incompatible).toEqual(['nat']));

describe('bad text is a problem with its line', () => {
  for (const [what, text, ...wanted] of [
    ['a rule outside of a table', '-A INPUT -j DROP\n', '1: stands outside of a table: "-A INPUT -j DROP"'],
    ['no COMMIT', '*filter\n:INPUT ACCEPT [0:0]\n', '1: table filter has no COMMIT'],
    ['a table in a table', '*filter\n*nat\nCOMMIT\n', '2: table filter has no COMMIT before this table begins'],
    ['an unknown chain', '*filter\n-A no -j DROP\nCOMMIT\n', '2: table filter has no chain no'],
    ['a chain twice', '*filter\n:a - [0:0]\n:a - [0:0]\nCOMMIT\n', '3: chain a is declared twice'],
    ['a wrong policy', '*filter\n:INPUT QUEUE [0:0]\nCOMMIT\n', '2: "QUEUE" is no policy'],
    ['no policy', '*filter\n:INPUT\nCOMMIT\n', '2: no chain with a policy: ":INPUT"'],
    ['another command', '*filter\n-F INPUT\nCOMMIT\n', '2: neither a chain, a rule nor COMMIT: "-F INPUT"'],
  ] as const)
    test(what, () => expect(read(text).problems.map(({ line, what: of }) => `${line}: ${of}`)).toEqual(wanted));

  for (const [line, what] of [
    ['-A mine -m comment --comment "open -j DROP', 'a quote is not closed'],
    ['-A mine -s 10.0.0.300 -j DROP', '"10.0.0.300" is no IPv4 address or block'],
    ['-A mine -s fd00::1 -j DROP', '"fd00::1" is no IPv4 address or block'],
    ['-A mine --dport 80 -j DROP', '"--dport" is an option of no match before it'],
    ['-A mine -p tcp -m tcp --dport', '"--dport" lacks its value'],
    ['-A mine -j DROP -j ACCEPT', 'more than one target'],
    ['-A mine -j', '"-j" wants a name after it and no "!" before it'],
    ['-A mine stray -j DROP', '"stray" stands where an option was meant'],
    ['-A mine -j DROP !', 'a "!" with nothing after it'],
  ] as const)
    test(line, () => {
      const { tables, problems } = read(listing('filter', '-A mine -j ACCEPT', line));
      expect(problems).toEqual([{ line: 10, what }]);
      // What it does is not known, so whatever meets it is undecided.
      const [, rule] = tables.flatMap(rulesOf);
      expect(rule).toEqual({
        statements: [{ kind: 'opaque', json: { xt: { type: 'target', name: 'unread', words: line } } }],
        text: line,
      });
    });
});

test('no text makes it throw', () => {
  const text = readFileSync(new URL('testdata/kube-proxy-1.36/iptables.iptables-save', import.meta.url), 'utf8');
  for (let cut = 0; cut < text.length; cut += 37) {
    const damaged = text.slice(0, cut) + text.slice(cut + 5, cut + 2000);
    expect(() => read(damaged)).not.toThrow();
  }
});

test('the rules of kube-proxy 1.36 lack only what is memory', () => {
  for (const [file, family] of [
    ['iptables.iptables-save', 4],
    ['iptables.ip6tables-save', 6],
  ] as const) {
    const { tables, problems } = read(
      readFileSync(new URL(`testdata/kube-proxy-1.36/${file}`, import.meta.url), 'utf8'),
      family,
    );
    expect(problems).toEqual([]);
    expect(tables.map(({ name }) => name)).toEqual(['mangle', 'filter', 'nat']);
    const opaque = tables
      .flatMap(rulesOf)
      .flatMap(({ statements }) => statements.filter(({ kind }) => kind === 'opaque'));
    for (const statement of opaque) expect(print(statement)).toMatch(/^\{"xt":\{"type":"match","name":"recent"/);
  }
});

test('the rules of ufw and of dockerd lack only what is written to a log and what is memory', () => {
  for (const folder of ['ufw-0.36', 'docker-20.10'])
    for (const [file, family] of [
      ['iptables.save', 4],
      ['ip6tables.save', 6],
    ] as const) {
      const text = readFileSync(new URL(`testdata/${folder}/${file}`, import.meta.url), 'utf8');
      const { tables, problems } = read(text, family);
      expect(problems).toEqual([]);
      const statements = tables.flatMap(rulesOf).flatMap((each) => each.statements);
      expect(statements.length).toBeGreaterThan(5);
      for (const statement of statements.filter(({ kind }) => kind === 'opaque'))
        expect(print(statement)).toMatch(/^\{"xt":\{"type":"(target","name":"LOG|match","name":"recent)"/);
    }
});
