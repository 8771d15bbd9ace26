import { describe, expect, test } from 'vitest';
import { compile, declaredFacts } from '../compile/index.ts';
import type { HostFacts, HostState } from '../host/index.ts';
import { planHost } from '../plan/index.ts';
import { allWell, reportStatus, type StatusInput, type StatusReport } from './status-report.ts';
import { printStatus } from './status-text.ts';
import { after, bare, compiled, declared, load, set, sysctls } from './testdata/applied.ts';

function report(facts: ReadonlyMap<string, HostFacts>, options: Partial<StatusInput> = {}): StatusReport {
  const input = {
    set,
    facts,
    unreachable: new Map(),
    wanted: compiled(facts),
    setName: 'default',
    silent: new Set<string>(),
  };
  return reportStatus({ ...input, now: 1_030, ...options });
}

const resource = (of: StatusReport, name: string) => of.resources.find((each) => each.name === name);

test('all well: in sync, tunnels up with the age of their handshake, the address as the Internet sees it', () => {
  const found = report(after());
  expect(found.hosts).toEqual([
    {
      host: 'edge',
      reachable: true,
      inSync: true,
      sets: ['default'],
      generation: 1,
      drift: [],
      suspects: [],
      tunnels: [{ name: 'edge-node', up: true, lastHandshakeSeconds: 30, keyAgeSeconds: null }],
    },
    {
      host: 'node',
      reachable: true,
      inSync: true,
      sets: ['default'],
      generation: 1,
      drift: [],
      suspects: [],
      tunnels: [{ name: 'edge-node', up: true, lastHandshakeSeconds: 30, keyAgeSeconds: null }],
    },
  ]);
  expect(resource(found, 'edge')).toMatchObject({ ready: true, addresses: ['203.0.113.9'] });
  expect(resource(found, 'edge-node-web')).toEqual({
    kind: 'PortForward',
    name: 'edge-node-web',
    ready: true,
    reason: null,
    addresses: ['203.0.113.9'],
    targets: [{ name: 'node', healthy: true }],
  });
  expect(allWell(found)).toBe(true);
});

for (const ahead of [10_800, -900])
  test(`a host whose clock is ${ahead} s ahead of ours shook hands and made its key when it says, by its own clock`, () => {
    const facts = new Map(
      [...after()].map(([name, known]) => {
        const devices = known.state.devices.map((device) => ({
          ...device,
          peers: device.peers.map((peer) => ({ ...peer, latestHandshake: 1_000 + ahead })),
        }));
        const keysMade = new Map(devices.map(({ link }) => [link, ahead - 86_400 * 3]));
        return [name, { ...known, keysMade, state: { ...known.state, devices }, clockAheadSeconds: ahead }] as const;
      }),
    );
    for (const { tunnels } of report(facts).hosts)
      expect(tunnels).toEqual([{ name: 'edge-node', up: true, lastHandshakeSeconds: 30, keyAgeSeconds: 260_230 }]);
    expect(printStatus(report(facts), false)).toContain('edge-node up (handshake 30 s ago, key 3 d old)');
  });

describe('a tunnel is not ready, and why', () => {
  const withPeers = (latestHandshake: number | undefined) => (state: HostState) => ({
    ...state,
    devices: state.devices.map((device) => ({
      ...device,
      peers: device.peers.map(({ latestHandshake: _, ...peer }) => ({
        ...peer,
        ...(latestHandshake && { latestHandshake }),
      })),
    })),
  });
  const onEdge = (change: (state: HostState) => HostState) => (state: HostState, host: string) =>
    host === 'edge' ? change(state) : state;
  for (const [what, change, reason] of [
    ['no handshake', withPeers(undefined), 'edge: no handshake yet with node; node: no handshake yet with edge'],
    ['an old handshake', onEdge(withPeers(600)), 'edge: the last handshake with node was 430 s ago'],
    [
      'the link is down',
      onEdge((state) => ({
        ...state,
        links: state.links.map((link) => (link.name.startsWith('sp-') ? { ...link, up: false } : link)),
      })),
      'edge: sp-wg51820 is down',
    ],
    [
      'the link is gone',
      onEdge((state) => ({ ...state, links: state.links.filter(({ name }) => !name.startsWith('sp-')) })),
      'edge: there is no link sp-wg51820',
    ],
    [
      'the peer is gone',
      onEdge((state) => ({ ...state, devices: state.devices.map((device) => ({ ...device, peers: [] })) })),
      'edge: node is no peer on sp-wg51820',
    ],
  ] as const) {
    test(what, () => {
      const found = report(after(change));
      expect(resource(found, 'edge-node')).toMatchObject({ ready: false, reason });
      expect(resource(found, 'edge-node-web')).toMatchObject({
        ready: false,
        targets: [{ name: 'node', healthy: false }],
      });
      expect(allWell(found)).toBe(false);
    });
  }
});

test('before the first apply nothing is ready, and it is said that it is not applied', () => {
  const found = report(bare);
  expect(found.hosts.every(({ inSync, drift }) => !inSync && drift.length > 0)).toBe(true);
  expect(resource(found, 'edge-node')?.reason).toBe('not applied on edge yet; not applied on node yet');
  expect(resource(found, 'edge-node-web')?.reason).toMatch(/not applied on edge yet/);
});

test('what somebody took away is drift on that host alone', () => {
  const found = report(after((state, host) => (host === 'edge' ? { ...state, tables: [] } : state)));
  expect(found.hosts.map(({ inSync }) => inSync)).toEqual([false, true]);
  expect(found.hosts[0]?.drift).toContainEqual(
    expect.objectContaining({ action: 'add', object: 'nft', name: 'table inet sallyport' }),
  );
});

test('a setting that somebody changed, with the line of the file that set it so', () => {
  const path = 'net/ipv4/conf/eth0/forwarding';
  const changed = after((state, host) =>
    host === 'edge' ? { ...state, sysctls: new Map([...state.sysctls, [path, '0']]) } : state,
  );
  const line = { at: '/etc/sysctl.d/9.conf:3', key: 'net.ipv4.ip_forward', path: 'net/ipv4/ip_forward', value: '0' };
  const found = report(changed, { changed: new Map([['edge', { groups: [], settings: [line] }]]) });
  const cause = '/etc/sysctl.d/9.conf:3 sets net.ipv4.ip_forward = 0';
  expect(found.hosts[0]?.drift).toContainEqual(
    expect.objectContaining({ object: 'sysctl', before: '0', after: '1', cause }),
  );
  expect(printStatus(found, false)).toContain(`  ~ sysctl  net.ipv4.conf.eth0.forwarding: 0, should be 1; ${cause}\n`);
});

for (const [what, path, now, should] of [
  ['the limit of connections', 'net/netfilter/nf_conntrack_max', '1024', '65536'],
  ['forwarding that stood before us', 'net/ipv4/conf/eth0/forwarding', '0', '1'],
] as const)
  test(`${what}, changed by somebody, is a change to come`, () => {
    const limited = load(declared.replace('interfaces: [{', 'conntrack: { max: 65536 }\n  interfaces: [{'));
    const known = new Map([...limited.hosts].map(([name, host]): [string, HostFacts] => [name, declaredFacts(host)]));
    const before = known.get('edge');
    if (before === undefined) throw new Error('no edge');
    const sees = (value: string): HostFacts => ({
      ...before,
      state: { ...before.state, sysctls: new Map([...sysctls, [path, value]]) },
    });
    const options = { setName: 'default', version: '1' };
    const first = compile(limited, new Map([...known, ['edge', sees(should)]]), options).hosts.get('edge');
    if (first?.record === undefined) throw new Error('nothing is to stand');
    expect(first.record.sysctlsBefore.has(path)).toBe(false); // relied on, never written
    const later = { ...sees(now), record: first.record };
    const wanted = compile(limited, new Map([...known, ['edge', later]]), options).hosts.get('edge');
    if (wanted === undefined) throw new Error('no edge');
    expect(planHost(later, wanted)).toContainEqual({
      action: 'change',
      before: { kind: 'sysctl', path, value: now },
      after: { kind: 'sysctl', path, value: should },
    });
  });

test('a host that does not answer is not in sync; what leads to it is not ready', () => {
  const found = report(after(), { unreachable: new Map([['node', 'gone']]) });
  expect(found.hosts[1]).toEqual({
    host: 'node',
    reachable: false,
    inSync: false,
    sets: [],
    drift: [],
    suspects: [],
    tunnels: [],
  });
  expect(resource(found, 'node')).toMatchObject({ ready: false, reason: 'unreachable: gone', addresses: [] });
  expect(resource(found, 'edge-node')).toMatchObject({ ready: false, reason: 'node is unreachable' });
  expect(resource(found, 'edge-node-web')).toMatchObject({ ready: false, targets: [{ healthy: false }] });
});

test('for people: a line a host with its tunnels, a line a resource with the reason', () => {
  expect(printStatus(report(after()), false)).toBe(`edge: in sync, edge-node up (handshake 30 s ago)
node: in sync, edge-node up (handshake 30 s ago)

Host edge                  ready: 203.0.113.9
Host node                  ready
Tunnel edge-node           ready
PortForward edge-node-web  ready: 203.0.113.9; to node healthy
`);
});
