import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePrefix } from '../../net/index.ts';
import {
  accept,
  address,
  baseChain,
  ct,
  dnat,
  flags,
  masquerade,
  match,
  meta,
  number,
  payload,
  prefix,
  rule,
  type Table,
  text,
} from '../../nftables/index.ts';
import { buildNetwork, type Socket } from '../../simulate/index.ts';
import { at, sketch } from '../testdata/sketch.ts';
import { diagnose } from './doctor.ts';
import type { Finding } from './finding.ts';

/** How a healthy host may stand: one way out or two with rules, a router or not, with forwards, walls and settings that go together. */
const anyHost = fc.record({
  twoWays: fc.boolean(),
  router: fc.boolean(),
  filter: fc.constantFrom('0', '1', '2'),
  all: fc.constantFrom('0', '1', '2'),
  ports: fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 6 }),
  forwards: fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 4 }),
  policy: fc.constantFrom('accept' as const, 'drop' as const),
  lan: fc.integer({ min: 1, max: 250 }),
  count: fc.integer({ min: 0, max: 50_000 }),
});
type Drawn = typeof anyHost extends fc.Arbitrary<infer T> ? T : never;

/** What is wrong with it, of errors and warnings: nothing, if doctor is right. */
function examined(drawn: Drawn, isOn = drawn.router): readonly Finding[] {
  const lan = `192.168.${drawn.lan}`;
  const facts = sketch({
    interfaces: {
      wan0: ['198.51.100.10/24'],
      ...(drawn.twoWays && { wan1: ['10.2.0.2/24'] }),
      ...(drawn.router && { lan0: [`${lan}.1/24`] }),
    },
    routes: [['default', '198.51.100.1', 'wan0']],
    sysctls: {
      'net/ipv4/conf/all/rp_filter': drawn.all,
      'net/netfilter/nf_conntrack_count': String(drawn.count),
      'net/netfilter/nf_conntrack_max': '65536',
      'net/ipv4/ip_forward': isOn ? '1' : '0',
      ...Object.fromEntries(
        ['all', 'wan0', 'wan1', 'lan0'].map((link) => [`net/ipv4/conf/${link}/forwarding`, isOn ? '1' : '0']),
      ),
      ...Object.fromEntries(['wan0', 'wan1', 'lan0'].map((link) => [`net/ipv4/conf/${link}/rp_filter`, drawn.filter])),
    },
    tables: drawn.router ? tablesOf(drawn, lan) : [],
  });
  const main = parsePrefix('0.0.0.0/0');
  if (main === undefined) throw new TypeError('no prefix');
  const own = parsePrefix('10.2.0.2/32');
  const state = {
    ...facts.state,
    ...(drawn.twoWays &&
      own && {
        routes: [
          ...facts.state.routes,
          {
            table: 102,
            destination: main,
            type: 'unicast' as const,
            gateway: at('10.2.0.1'),
            link: 'wan1',
            metric: 0,
            protocol: 4,
          },
        ],
        rules: [
          ...facts.state.rules,
          {
            family: 4 as const,
            priority: 102,
            action: { kind: 'lookup' as const, table: 102 },
            from: own,
            protocol: 3,
          },
        ].sort((left, right) => left.priority - right.priority),
      }),
  };
  const sockets: readonly Socket[] = drawn.ports.map((port) => ({ protocol: 'tcp', families: [4], port }));
  const network = buildNetwork([{ name: 'host', state, openAddresses: [], sockets }], []);
  const simulated = network.hosts.get('host');
  if (simulated === undefined) throw new TypeError('no host');
  const looks = {
    entries: [],
    halfOpen: [],
    reversePathDrops: 3,
    wireguardFiles: [],
    sysctlsWritable: true,
    nowSeconds: 1,
  };
  const { findings } = diagnose({
    host: 'host',
    facts: { ...facts, state },
    simulated,
    network,
    sockets,
    looks,
    settings: [],
  });
  return findings.filter(({ severity }) => severity !== 'info');
}

function tablesOf({ forwards, policy }: Drawn, lan: string): readonly Table[] {
  const inside = parsePrefix(`${lan}.0/24`);
  if (inside === undefined) throw new TypeError(lan);
  const table = (name: string, ...chains: Table['chains']): Table => ({
    family: 'ip',
    name,
    sets: [],
    maps: [],
    chains,
    opaque: [],
  });
  return [
    table(
      'nat',
      {
        ...baseChain('pre', { type: 'nat', hook: 'prerouting', priority: -100 }),
        rules: forwards.map((port) =>
          rule(
            match(meta('iifname'), '==', text('wan0')),
            match(payload('tcp', 'dport'), '==', number(port)),
            dnat('ip', address(at(`${lan}.20`))),
          ),
        ),
      },
      {
        ...baseChain('post', { type: 'nat', hook: 'postrouting', priority: 100 }),
        rules: [
          rule(
            match(payload('ip', 'saddr'), '==', prefix(inside)),
            match(meta('oifname'), '==', text('wan0')),
            masquerade(),
          ),
        ],
      },
    ),
    table('wall', {
      ...baseChain('forward', { type: 'filter', hook: 'forward', priority: 0 }),
      policy,
      rules: [
        rule(match(ct('state'), 'in', flags('established', 'related')), accept),
        rule(match(ct('status'), 'in', flags('dnat')), accept),
        rule(match(meta('iifname'), '==', text('lan0')), accept),
      ],
    }),
  ];
}

const RUNS = Number(process.env.HEALTHY_HOSTS ?? 150);
const SEED = Number(process.env.HEALTHY_SEED ?? 20_261_127);

test(`of ${RUNS} healthy hosts at most one in a hundred has a finding (seed ${SEED})`, () => {
  const hosts = fc.sample(anyHost, { numRuns: RUNS, seed: SEED });
  const wrong = hosts.flatMap((host) => {
    const findings = examined(host);
    return findings.length === 0
      ? []
      : [{ host, findings: findings.map(({ code, summary }) => `${code}: ${summary}`) }];
  });
  expect(wrong.length, JSON.stringify(wrong.slice(0, 3))).toBeLessThanOrEqual(RUNS / 100);
});

test('the same routers with forwarding switched off are found, every one', () => {
  const routers = fc
    .sample(anyHost, { numRuns: 200, seed: SEED })
    .filter(({ router, forwards }) => router && forwards.length > 0);
  expect(routers.length).toBeGreaterThan(10);
  for (const host of routers) expect(examined(host, false).map(({ code }) => code)).toContain('forwardingOff');
});
