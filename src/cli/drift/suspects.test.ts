import { describe, expect, test } from 'vitest';
import type { HostState } from '../../host/index.ts';
import { readIptablesSave } from '../../iptables/index.ts';
import type { Table } from '../../nftables/index.ts';
import { after } from '../testdata/applied.ts';
import { type Clues, readClues } from './clues.ts';
import { driftOf, suspectsOf } from './suspects.ts';

const APPLIED = 2_000_000_000;
const clues = (text: string): Clues => readClues(`boot 1000\napplied ${APPLIED}\n${text}`);

/** What is found of the edge, or the node, after somebody changed it. */
function found(change: (state: HostState) => HostState, tells: string, host = 'edge') {
  const facts = after((state, name) => (name === host ? change(state) : state)).get(host);
  if (facts === undefined) throw new Error(`no ${host}`);
  return suspectsOf(driftOf(host, facts, facts.record?.version ?? ''), facts, clues(tells));
}

const table = (family: Table['family'], name: string): Table => ({
  family,
  name,
  sets: [],
  maps: [],
  chains: [],
  opaque: [],
});
const flushed =
  (...others: readonly Table[]) =>
  (state: HostState): HostState => ({ ...state, tables: others });

test('where nobody touched a host there is nothing to tell', () => expect(found((state) => state, '')).toEqual([]));

describe('the table is gone', () => {
  for (const [what, others, tells, who, shown] of [
    [
      'a file that nftables.service loads flushes',
      [table('inet', 'filter')],
      'machine\nnft /etc/nftables.conf:3:flush ruleset\nnft /etc/nftables.conf:5:table inet filter {\n\n',
      'nftables.service',
      '/etc/nftables.conf:3:flush ruleset',
    ],
    [
      'the same in a namespace, of which that service knows nothing',
      [table('inet', 'filter')],
      'nft /etc/nftables.conf:3:flush ruleset\n\n',
      'whoever loads /etc/nftables.conf',
      '/etc/nftables.conf:3:flush ruleset',
    ],
    [
      'a file flushes, and its own table does not stand',
      [],
      'machine\nnft /etc/nftables.conf:3:flush ruleset\nnft /etc/nftables.conf:5:table inet filter {\n\n',
      'a person',
      'nft list tables: none',
    ],
    [
      'the same, and the service ended since',
      [],
      `machine\nunit ${(APPLIED + 60 - 1000) * 1e6} nftables\nnft /etc/nftables.conf:3:flush ruleset\nnft /etc/nftables.conf:5:table inet filter {\n\n`,
      'nftables.service',
      'nftables.service was started, loaded anew or stopped at 2033-05-18T03:34:20Z, after our last apply at 2033-05-18T03:33:20Z',
    ],
    ['no file flushes, nothing stands', [], 'machine\n\n', 'a person', 'nft list tables: none'],
    [
      'no file flushes, others stand',
      [table('ip', 'nat')],
      'machine\n\n',
      'a person',
      'the others stand: as after "nft delete table inet sallyport"',
    ],
    [
      'the journal names somebody',
      [],
      `machine\nsudo ${APPLIED + 9}.5 vps sudo[81]:    alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/nft flush ruleset\n\n`,
      'alice, by sudo',
      'the journal: 2033-05-18T03:33:29Z sudo: alice ran /usr/sbin/nft flush ruleset',
    ],
    [
      'what the journal names was before our apply',
      [],
      `machine\nsudo ${APPLIED - 9}.5 vps sudo[81]:    alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/nft flush ruleset\n\n`,
      'a person',
      'nft list tables: none',
    ],
  ] as const)
    test(what, () => {
      const [group, ...more] = found(flushed(...others), tells);
      expect(more).toEqual([]);
      expect(group).toMatchObject({ did: 'the table inet sallyport is gone', who });
      expect(group?.evidence).toContain(shown);
    });
});

test('after a reboot all of it is one thing', () => {
  const gone = (state: HostState): HostState => ({
    ...state,
    ...{ tables: [], devices: [], rules: [], routes: [] },
    links: state.links.filter(({ name }) => !name.startsWith('sp-')),
    addresses: state.addresses.filter(({ link }) => !link.startsWith('sp-')),
  });
  // Booted before our apply.
  expect(found(gone, '\n').every(({ who }) => who !== 'a reboot')).toBe(true);
  const facts = after((state, name) => (name === 'edge' ? gone(state) : state)).get('edge');
  if (facts === undefined) throw new Error('no edge');
  const rebooted = suspectsOf(
    driftOf('edge', facts, facts.record?.version ?? ''),
    facts,
    readClues(`boot ${APPLIED + 100}\napplied ${APPLIED}\n\n`),
  );
  expect(rebooted).toMatchObject([
    { who: 'a reboot', evidence: [expect.stringContaining('booted at 2033-05-18T03:35:00Z')] },
  ]);
});

describe('routing rules', () => {
  const without = (state: HostState): HostState => ({
    ...state,
    rules: state.rules.filter(({ protocol }) => protocol !== 83),
  });
  test('networkd runs on the host', () => {
    const [group] = found(without, 'program 312 1999999999 systemd-network\n\n', 'node');
    expect(group).toMatchObject({
      did: 'a routing rule of ours is gone',
      who: 'systemd-networkd',
      evidence: [
        'systemd-networkd runs here (process 312, since 2033-05-18T03:33:19Z)',
        expect.stringContaining('takes away routes and rules'),
      ],
    });
  });
  test('nobody that is known runs there', () =>
    expect(found(without, '\n', 'node')).toMatchObject([
      { did: 'a routing rule of ours is gone', who: null, evidence: [] },
    ]));
});

test('a link takes with it what was on it', () => {
  const groups = found(
    (state) => ({
      ...state,
      devices: [],
      links: state.links.filter(({ name }) => !name.startsWith('sp-')),
      addresses: state.addresses.filter(({ link }) => !link.startsWith('sp-')),
      routes: state.routes.filter(({ link }) => !link?.startsWith('sp-')),
    }),
    '\n',
  );
  expect(groups.map(({ did, who }) => [did, who])).toEqual([['the link sp-wg51820 is gone, and what was on it', null]]);
});

test('a peer that is not ours', () => {
  const groups = found(
    (state) => ({ ...state, devices: state.devices.map((device) => ({ ...device, peers: [] })) }),
    '\n',
  );
  expect(groups).toMatchObject([{ did: 'a peer on sp-wg51820 is gone', who: null }]);
});

describe('inside our table', () => {
  test('an element is gone', () => {
    const groups = found(
      (state) => ({
        ...state,
        tables: state.tables.map((each) => ({ ...each, maps: each.maps.map((map) => ({ ...map, elements: [] })) })),
      }),
      '\n',
    );
    expect(groups).toMatchObject([{ did: 'element of sp_to4 in the table inet sallyport is gone', who: 'a person' }]);
  });
});

describe('settings', () => {
  const off = (state: HostState): HostState => ({
    ...state,
    sysctls: new Map([...state.sysctls, ['net/ipv4/conf/eth0/forwarding', '0']]),
  });
  for (const [file, who] of [
    ['/etc/sysctl.d/99-hardening.conf', 'sysctl --system (systemd-sysctl)'],
    ['/etc/ufw/sysctl.conf', 'ufw'],
  ] as const)
    test(`a line of ${file}`, () =>
      expect(found(off, `\n${file}:2:net/ipv4/ip_forward=0\n`)).toMatchObject([
        { did: 'net.ipv4.conf.eth0.forwarding is 0', who, evidence: [`${file}:2 sets net/ipv4/ip_forward = 0`] },
      ]));
  test('no file says so', () => expect(found(off, '\n')).toMatchObject([{ who: null, evidence: [] }]));
});

describe('what lets us through in the firewalls of others', () => {
  for (const [who, chain] of [
    ['Docker', 'DOCKER-USER'],
    ['kube-proxy', 'KUBE-FORWARD'],
    ['ufw', 'ufw-before-forward'],
    [null, 'mine'],
  ] as const)
    test(`${who ?? 'nobody'} made ${chain}`, () => {
      const { tables } = readIptablesSave(
        `*filter\n:FORWARD DROP [0:0]\n:${chain} - [0:0]\n-A FORWARD -j ${chain}\nCOMMIT\n`,
        {
          ...{ family: 4, origin: 'iptables-nft' },
        },
      );
      const groups = found((state) => ({ ...state, tables: [...state.tables, ...tables] }), '\n');
      expect(groups.map((each) => each.who)).toEqual([who]);
      expect(groups[0]?.did).toMatch(
        /^what lets our packets through in iptables -t filter .* is not there as we put it$/,
      );
    });
});
