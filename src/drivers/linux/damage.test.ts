/** Output that was cut off, mixed up or written by another version: a sentence that says so, or something read; never a crash, never a hang. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readIpsets, readIptablesSave } from '../../iptables/index.ts';
import { type Address, type Family, parseAddress } from '../../net/index.ts';
import {
  evaluate,
  type PacketContext,
  prepareRuleset,
  readConntrack,
  readRuleset,
  type Table,
  withDevices,
} from '../../nftables/index.ts';
import {
  indexRoutes,
  lookupRoute,
  type Route,
  type RoutingRule,
  readAddresses,
  readLearnt,
  readLinks,
  readNamespaceNames,
  readNeighbours,
  readNexthops,
  readRoutes,
  readRules,
  readSysctls,
} from '../../routing/index.ts';
import { readDump } from '../../wireguard/index.ts';
import { readDaemons } from './daemons.ts';
import { readFlows } from './flows.ts';
import { readListing } from './generation.ts';
import { readKeys } from './keys.ts';
import { readNames } from './names.ts';
import { readOwners } from './owners.ts';
import { startReadings } from './readings.ts';

const sample = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const addressOf = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return address;
};

/** One packet through all that was read: whatever it is, there is an answer. */
function askRules(tables: readonly Table[]): void {
  const ruleset = prepareRuleset(tables);
  for (const hook of ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const)
    for (const type of ['filter', 'nat'] as const)
      expect(evaluate(ruleset, { hook, type }, PACKET).verdict).toMatch(/^(accept|drop|reject|undecided)$/);
}
const PACKET: PacketContext = {
  ...{ family: 4, source: addressOf('192.0.2.7'), destination: addressOf('10.96.0.10') },
  ...{ protocol: 6, sourcePort: 40_000, destinationPort: 443, tcpFlags: 2, mark: 0, iif: 'eth0', oif: 'eth1' },
  addressType: () => 'unicast',
  socketAt: () => 'none',
};

const askRoutes = (family: Family, rules: readonly RoutingRule[], routes: readonly Route[]): void => {
  const destination = addressOf(family === 4 ? '10.9.1.1' : '2001:db8:9::1');
  expect(lookupRoute(indexRoutes({ addresses: [], links: [], rules, routes }), { destination }).kind).toBeTypeOf(
    'string',
  );
};

const MAIN_RULES = (family: Family): readonly RoutingRule[] => [
  { family, priority: 1, action: { kind: 'lookup', table: 254 }, protocol: 2 },
];

const KEY = `${'A'.repeat(42)}8=`;
const DUMP = `wg0\t${KEY}\t${KEY}\t51820\toff\nwg0\t${KEY}\t(none)\t198.51.100.1:51820\t10.0.0.0/8,fd00::/8\t1\t2\t3\t25\n`;
const IPSETS = `create a hash:ip family inet hashsize 1024 maxelem 65536\nadd a 10.0.0.1\ncreate b hash:ip,port,net family inet\nadd b 10.0.0.1,tcp:80,10.0.0.0/8\n`;
const FLOWS = `udp      17 29 src=192.0.2.7 dst=198.51.100.1 sport=4000 dport=80 [UNREPLIED] src=10.0.0.1 dst=192.0.2.7 sport=80 dport=4000 mark=255 use=1\n`;
const ENTRIES = `ipv4     2 udp      17 29 src=192.0.2.7 dst=198.51.100.1 sport=4000 dport=80 [UNREPLIED] src=10.0.0.1 dst=192.0.2.7 sport=80 dport=4000 mark=255 zone-orig=3 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.7 dst=198.51.100.1 sport=4001 dport=80 src=10.0.0.1 dst=192.0.2.7 sport=80 dport=4001 [ASSURED] mark=0 use=1
ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=9 src=fd00::2 dst=fd00::1 type=129 code=0 id=9 mark=0 use=1
299 proto=17 src=10.0.0.1 dst=192.0.2.7 sport=0 dport=41224 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.7 master-dst=198.51.100.1 sport=4000 dport=80 class=0 helper=tftp\n`;
const NEXTHOPS =
  '[{"id":1,"gateway":"10.0.0.2","dev":"d0","scope":"253","flags":[]},{"id":3,"via":{"family":"inet6","host":"fd00::2"},"dev":"d1","flags":["onlink"]},{"id":5,"blackhole":null,"flags":[]},{"id":10,"group":[{"id":1,"weight":3},{"id":3}],"type":"resilient","resilient_args":{"buckets":32},"flags":[]}]';
const CHAINS =
  'table netdev d {\n\tchain i {\n\t\ttype filter hook ingress device "d0" priority filter; policy accept;\n\t}\n\tchain b {\n\t\ttype filter hook egress devices = { d0, d1 } priority filter + 5; policy accept;\n\t}\n}\n';
const AT_DEVICES: readonly Table[] = [
  {
    ...{ family: 'netdev', name: 'd', sets: [], maps: [], opaque: [] },
    chains: (['i', 'b'] as const).map((name) => ({
      ...{ kind: 'base', name, type: 'filter', hook: name === 'i' ? 'ingress' : 'egress', priority: 0 },
      ...{ policy: 'accept', rules: [] },
    })),
  },
];

/** As nft 1.0.6 lists what has no type of ours, a rule each. */
const OBJECTS = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.6', release_name: 'x', json_schema_version: 1 } },
    { table: { family: 'inet', name: 't', handle: 1 } },
    { quota: { family: 'inet', table: 't', name: 'q', handle: 1, bytes: 10_485_760, used: 0, inv: true } },
    { limit: { family: 'inet', table: 't', name: 'l', handle: 3, rate: 10, per: 'second', burst: 5 } },
    { map: { family: 'inet', table: 't', name: 'm', type: 'ipv4_addr', map: 'inet_service', handle: 9 } },
    { chain: { family: 'inet', table: 't', name: 'c', type: 'filter', hook: 'prerouting', prio: 0, policy: 'accept' } },
    ...[
      { quota: 'q' },
      { quota: { val: 10, val_unit: 'mbytes', inv: true } },
      { limit: 'l' },
      { limit: { rate: 10, burst: 20, per: 'second', inv: true, rate_unit: 'kbytes', burst_unit: 'kbytes' } },
      {
        meter: {
          ...{ key: { payload: { protocol: 'ip', field: 'saddr' } }, size: 65_535, name: 'm1' },
          stmt: { limit: { rate: 10, burst: 5, per: 'second' } },
        },
      },
      {
        set: {
          op: 'add',
          elem: { payload: { protocol: 'ip', field: 'saddr' } },
          set: '@s',
          stmt: [{ quota: { val: 5 } }],
        },
      },
      'update @m { ip saddr : tcp sport }',
      { match: { op: '==', left: { socket: { key: 'transparent' } }, right: 1 } },
      { match: { op: '==', left: { exthdr: { name: 'frag' } }, right: true } },
      { tproxy: { family: 'ip', addr: '127.0.0.1', port: 50_080 } },
      {
        snat: { family: 'ip', addr: { prefix: { addr: '10.9.0.0', len: 16 } }, flags: 'netmap', type_flags: 'prefix' },
      },
      { queue: { num: 1, flags: 'bypass' } },
    ].map((statement) => ({ rule: { family: 'inet', table: 't', chain: 'c', expr: [statement, { drop: null }] } })),
  ],
});
const LEARNT =
  '[{"dst":"192.0.2.9","gateway":"198.51.100.1","dev":"eth0","flags":[],"metrics":[{"expires":"0sec","mtu":1400}]}]';
const UFW =
  '= /etc/ufw/user.rules\n*filter\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n';
const FIREWALLD =
  '= /etc/firewalld/zones/public.xml\n<?xml version="1.0" encoding="utf-8"?>\n<zone>\n  <rule family="ipv4"><source address="10.0.0.0/8"/><accept/></rule>\n</zone>\n';

/** What each reader reads, with what is done to its answer; `said`: how its own errors begin. */
const readers: readonly {
  readonly name: string;
  readonly text: string;
  readonly read: (text: string) => void;
  readonly said: RegExp;
}[] = [
  ...['firewalld-1.3.json', 'kube-proxy-1.36/nftables.nft.json'].map((name) => ({
    name: `nft -j: ${name}`,
    text: sample(`../../nftables/testdata/${name}`),
    read: (text: string) => askRules(readRuleset(text)),
    said: /^nft -j: /,
  })),
  ...['docker-20.10/iptables.save', 'ufw-0.36/iptables.save', 'kube-proxy-1.36/iptables.iptables-save'].map((name) => ({
    name: `iptables-save: ${name}`,
    text: sample(`../../iptables/testdata/${name}`),
    read: (text: string) =>
      askRules(readIptablesSave(text, { family: 4, sets: new Map(), origin: 'iptables-nft' }).tables),
    said: /^never: it tells problems$/,
  })),
  // Every match and target there is: what nft hides of them, and what they say.
  {
    name: 'nft -j: iptables',
    text: sample('testdata/corpus/iptables-1.8-nft/nft.json'),
    read: (text: string) => askRules(readRuleset(text)),
    said: /^nft -j: /,
  },
  {
    name: 'nft -j: statements that no type covers',
    text: OBJECTS,
    read: (text: string) => askRules(readRuleset(text)),
    said: /^nft -j: /,
  },
  ...(['nft', 'legacy'] as const).map((backend) => ({
    name: `iptables-save: every match and target, ${backend}`,
    text: sample(`testdata/corpus/iptables-1.8-${backend}/iptables-${backend === 'nft' ? '' : 'legacy-'}save`),
    read: (text: string) =>
      askRules(readIptablesSave(text, { family: 4, sets: readIpsets(IPSETS), origin: `iptables-${backend}` }).tables),
    said: /^never: it tells problems$/,
  })),
  {
    name: 'ip neigh',
    text: sample('testdata/corpus/docker-20.10/neighbours.json'),
    read: readNeighbours,
    said: /^output of "ip /,
  },
  {
    name: 'ip netns list-id',
    text: '[{"nsid":0,"name":"edge"},{"nsid":3}]',
    read: readNamespaceNames,
    said: /^output of "ip /,
  },
  {
    name: 'ip nexthop',
    text: NEXTHOPS,
    read: (text: string) => readRoutes('[{"dst":"default","nhid":10,"flags":[]}]', 4, readNexthops(text)),
    said: /^output of "ip /,
  },
  {
    name: 'nft list chains',
    text: CHAINS,
    read: (text: string) => askRules(withDevices(AT_DEVICES, text)),
    said: /^never: it leaves out$/,
  },
  { name: 'ip route show cache', text: LEARNT, read: (text: string) => readLearnt(text, 4), said: /^output of "ip / },
  {
    name: 'sysctls',
    text: sample('testdata/corpus/docker-20.10/sysctls'),
    read: readSysctls,
    said: /^output of "grep /,
  },
  {
    name: 'a listing with its generation',
    text: `b 4026 1 7\n${sample('../../nftables/testdata/kube-proxy-1.36/nftables.nft.json').trim()}\nb 4026 1 7\n`,
    read: (text: string) => {
      const listing = readListing(text);
      if (listing !== undefined) startReadings().ruleset(listing, '');
    },
    said: /^nft -j: /,
  },
  { name: 'public keys', text: `wg0 ${KEY}\nwg1 ${KEY}\n`, read: readKeys, said: /^never: it leaves out$/ },
  {
    name: 'names',
    text: '1764200000\nvpn.example.com 192.0.2.1 2001:db8::1\nno.example.com\n',
    read: readNames,
    said: /^never: it leaves out$/,
  },
  {
    name: 'ufw and firewalld',
    text: UFW + FIREWALLD,
    read: (text: string) => readOwners(text, [], undefined),
    said: /^never: it leaves out$/,
  },
  {
    name: 'network daemons',
    text: '12 systemd-network\n\u0001/etc/systemd/networkd.conf.d/a.conf\n[Network]\n',
    read: readDaemons,
    said: /^never: it leaves out$/,
  },
  { name: 'ipset save', text: IPSETS, read: readIpsets, said: /^never: it leaves out$/ },
  { name: 'conntrack -L', text: FLOWS, read: readFlows, said: /^never: it leaves out$/ },
  { name: 'conntrack -L, whole', text: ENTRIES, read: readConntrack, said: /^conntrack -L: a line of another form: / },
  { name: 'wg show all dump', text: DUMP, read: readDump, said: /^output of "wg / },
  { name: 'ip link', text: sample('testdata/link.json'), read: readLinks, said: /^output of "ip / },
  { name: 'ip address', text: sample('testdata/addresses.json'), read: readAddresses, said: /^output of "ip / },
  ...([4, 6] as const).flatMap((family) => [
    {
      name: `ip -${family} rule`,
      text: sample(`testdata/rules${family}.json`),
      read: (text: string) => askRoutes(family, readRules(text, family), []),
      said: /^output of "ip /,
    },
    {
      name: `ip -${family} route`,
      text: sample(`testdata/routes${family}.json`),
      read: (text: string) => askRoutes(family, MAIN_RULES(family), readRoutes(text, family)),
      said: /^output of "ip /,
    },
  ]),
];

/** Reads it, or says what is wrong with it in the reader's own words. */
function readOrSay(read: (text: string) => void, said: RegExp, text: string): void {
  try {
    read(text);
  } catch (error) {
    if (error instanceof Error && said.test(error.message)) return;
    throw new Error(`not a sentence of the reader's: ${error instanceof Error ? error.stack : error}`);
  }
}

/** Cut off, a piece missing, twice or elsewhere, or a few letters changed. */
const damaged = (text: string): fc.Arbitrary<string> => {
  const place = fc.nat({ max: text.length });
  return fc.oneof(
    place.map((at) => text.slice(0, at)),
    fc.tuple(place, fc.nat({ max: 200 })).map(([at, length]) => text.slice(0, at) + text.slice(at + length)),
    fc.tuple(place, place, fc.nat({ max: 200 })).map(([at, from, length]) => {
      return text.slice(0, at) + text.slice(from, from + length) + text.slice(at);
    }),
    fc
      .array(fc.tuple(place, fc.constantFrom(...'0 9"-,:/[]{}@x\n\t!\0\u00e9')), { minLength: 1, maxLength: 4 })
      .map((changes) => changes.reduce((now, [at, letter]) => now.slice(0, at) + letter + now.slice(at + 1), text)),
  );
};

const strange: readonly unknown[] = [
  ...[
    null,
    true,
    -1,
    0,
    1e99,
    1.5,
    4_294_967_296,
    '',
    'x',
    '@x',
    '10.0.0.0/33',
    '::/129',
    'jump',
    [],
    {},
    [[]],
    [null],
  ],
  ...[
    { '': 1 },
    { jump: { target: 'x' } },
    { set: ['x'] },
    { concat: [] },
    { range: [9, 1] },
    { prefix: {} },
    { '&': [] },
  ],
  ...[{ '|': ['a', 1] }, { map: { key: 'a', data: 'b' } }, { payload: { base: 'nh', offset: -1, len: 1e9 } }],
];

/** JSON that another version might print: a value somewhere is another one, a field is missing, has another name, or comes twice. */
const altered = (text: string): fc.Arbitrary<string> =>
  fc
    .array(fc.tuple(fc.array(fc.nat(), { maxLength: 14 }), fc.nat(3), fc.constantFrom(...strange)), {
      minLength: 1,
      maxLength: 3,
    })
    .map((changes) => {
      const json: unknown = JSON.parse(text);
      for (const [path, how, value] of changes) alter(json, path, how, value);
      return JSON.stringify(json);
    });

function alter(json: unknown, [at = 0, ...path]: readonly number[], how: number, value: unknown): void {
  if (typeof json !== 'object' || json === null) return;
  const names = Object.keys(json);
  const name = names[at % (names.length || 1)];
  if (name === undefined) return;
  const held: unknown = Reflect.get(json, name);
  if (path.length > 0 && typeof held === 'object' && held !== null) alter(held, path, how, value);
  else if (how === 0) Reflect.set(json, name, value);
  else if (!Array.isArray(json)) {
    Reflect.deleteProperty(json, name);
    if (how === 2) Reflect.set(json, `${name}s`, held);
    if (how === 3) Reflect.set(json, names[(at + 1) % names.length] ?? name, held);
  } else if (how === 1) json.splice(Number(name), 1);
  else json.splice(Number(name), 0, held);
}

const RUNS = { numRuns: 150, seed: 1126 };

describe('damaged output', () => {
  for (const { name, text, read, said } of readers) {
    test(`${name}: it is read as it is`, () => read(text));
    test(`${name}: damaged, it is read or refused in a sentence`, () =>
      fc.assert(
        fc.property(damaged(text), (each) => readOrSay(read, said, each)),
        RUNS,
      ));
    if (/^[[{]/.test(text.trim()))
      test(`${name}: from another version, it is read or refused in a sentence`, () =>
        fc.assert(
          fc.property(altered(text), (each) => readOrSay(read, said, each)),
          RUNS,
        ));
  }

  for (const { name, text, read } of readers.filter(({ text: json }) => /^[[{]/.test(json.trim())))
    test(`${name}: cut off, it is never taken for less than it is`, () => {
      for (let at = 1; at < text.trimEnd().length; at += 1 + Math.floor(text.length / 100))
        expect(() => read(text.slice(0, at)), `the first ${at} letters`).toThrow();
    });

  test.each(readers)('$name: nested beyond all measure, it is refused in a sentence', ({ read, said }) => {
    const deep = (open: string, close: string): string => open.repeat(100_000) + close.repeat(100_000);
    for (const text of [
      deep('[', ']'),
      deep('{"a":', '}').replace(':}', ':1}'),
      `{"nftables":[{"table":{"family":"ip","name":"t"}},{"chain":{"family":"ip","table":"t","name":"c","type":"filter","hook":"input","prio":0,"policy":"accept"}},
        {"rule":{"family":"ip","table":"t","chain":"c","expr":[{"match":{"op":"==","left":${deep('{"&":[1,', ']}').replace(',]', ',1]')},"right":1}}]}}]}`,
    ])
      readOrSay(read, said, text);
  });
});

const chainsOf = (chains: readonly (readonly [string, readonly unknown[]])[]): string =>
  JSON.stringify({
    nftables: [
      { table: { family: 'inet', name: 't' } },
      { chain: { family: 'inet', table: 't', name: 'base', type: 'filter', hook: 'input', prio: 0, policy: 'accept' } },
      ...chains.map(([name]) => ({ chain: { family: 'inet', table: 't', name } })),
      ...[['base', [{ jump: { target: chains[0]?.[0] } }]] as const, ...chains].flatMap(([name, verdicts]) =>
        verdicts.map((verdict) => ({ rule: { family: 'inet', table: 't', chain: name, expr: [verdict] } })),
      ),
    ],
  });

describe('rulesets that no kernel would walk', () => {
  const judge = (text: string) =>
    evaluate(prepareRuleset(readRuleset(text)), { hook: 'input', type: 'filter' }, PACKET);

  test('chains that lead in a circle', () => {
    const jumps = chainsOf([
      ['a', [{ jump: { target: 'b' } }]],
      ['b', [{ jump: { target: 'a' } }]],
    ]);
    expect(judge(jumps)).toMatchObject({ verdict: 'undecided', why: expect.stringContaining('chains nest too deep') });
    const gotos = chainsOf([
      ['a', [{ goto: { target: 'b' } }]],
      ['b', [{ goto: { target: 'a' } }]],
    ]);
    expect(judge(gotos)).toMatchObject({ verdict: 'undecided' });
  });

  test('ten thousand chains, one after the other', () => {
    const many = Array.from({ length: 10_000 }, (_, index) => [`c${index}`, [{ return: null }]] as const);
    const all = many.map(([name]) => ({ jump: { target: name } }));
    expect(judge(chainsOf([['first', [...all, { drop: null }]], ...many])).verdict).toBe('drop');
  });

  const saved = (rules: readonly string[], chains: readonly string[]): string =>
    ['*filter', ':INPUT ACCEPT [0:0]', ...chains.map((name) => `:${name} - [0:0]`), ...rules, 'COMMIT', ''].join('\n');
  const judgeSaved = (text: string) => {
    const { tables } = readIptablesSave(text, { family: 4, sets: new Map(), origin: 'iptables-legacy' });
    return evaluate(prepareRuleset(tables), { hook: 'input', type: 'filter' }, PACKET);
  };

  test('chains of iptables that lead in a circle', () => {
    for (const go of ['-j', '-g'])
      expect(judgeSaved(saved([`-A INPUT -j a`, `-A a ${go} b`, `-A b ${go} a`], ['a', 'b']))).toMatchObject({
        verdict: 'undecided',
      });
  });

  test('ten thousand chains of iptables, one after the other', () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `c${index}`);
    const rules = names.flatMap((name) => [`-A INPUT -j ${name}`, `-A ${name} -p tcp -m tcp --dport 1 -j ACCEPT`]);
    expect(judgeSaved(saved([...rules, '-A INPUT -j DROP'], names)).verdict).toBe('drop');
  });

  test('a verdict map that leads in a circle', () => {
    const key = { meta: { key: 'l4proto' } };
    const vmap = { vmap: { key, data: { set: [['tcp', { goto: { target: 'a' } }]] } } };
    expect(judge(chainsOf([['a', [vmap]]]))).toMatchObject({ verdict: 'undecided' });
  });

  test('chains that double at each step', () => {
    const doubling = Array.from({ length: 15 }, (_, index) => {
      const to = { jump: { target: `c${index + 1}` } };
      return [`c${index}`, Array.from({ length: 20 }, () => to)] as const;
    });
    expect(judge(chainsOf([...doubling, ['c15', [{ return: null }]]]))).toMatchObject({
      verdict: 'undecided',
      why: expect.stringContaining('rules'),
    });
  });
});
