import { expect, test } from 'vitest';
import { add, EMPTY_STATE, type HostChange, type HostObject, type HostState } from '../host/index.ts';
import { parseAddress, parseEndpoint, parsePrefix } from '../net/index.ts';
import { accept, baseChain, drop, match, meta, rule, type Table, text } from '../nftables/index.ts';
import type { Route, RoutingRule } from '../routing/index.ts';
import { parsePublicKey } from '../wireguard/index.ts';
import { undo } from './index.ts';
import { carriedOut, isMade, unmade } from './mend.ts';

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new TypeError('it cannot be read');
  return value;
};
const everywhere = must(parsePrefix('0.0.0.0/0'));
const key = must(parsePublicKey(`${'a'.repeat(42)}A=`));
const other = must(parsePublicKey(`${'b'.repeat(42)}A=`));
const forward = baseChain('forward', { type: 'filter', hook: 'forward', priority: 0 }, rule(drop));
const THEIRS: Table = { family: 'inet', name: 'theirs', sets: [], maps: [], opaque: [], chains: [forward] };

const STANDS: HostState = {
  ...EMPTY_STATE,
  links: [{ name: 'wg0', kind: 'wireguard', mtu: 1420, up: true }],
  rules: [{ family: 4, priority: 32_766, action: { kind: 'lookup', table: 254 }, protocol: 2 }],
  sysctls: new Map([
    ['net/ipv4/ip_forward', '0'],
    ['net/ipv4/conf/wg0/forwarding', '0'],
    ['net/ipv6/conf/wg0/forwarding', '0'],
  ]),
  devices: [
    {
      link: 'wg0',
      peers: [
        { publicKey: key, allowedIps: [everywhere] },
        { publicKey: other, allowedIps: [] },
      ],
    },
  ],
  tables: [THEIRS],
};

const route: Route = { table: 100, destination: everywhere, type: 'unicast', link: 'wg0', metric: 0, protocol: 3 };
const lookup: RoutingRule = { family: 4, priority: 100, action: { kind: 'lookup', table: 100 }, protocol: 3 };
const peer = (publicKey: typeof key, allowedIps: readonly (typeof everywhere)[]): HostObject => ({
  ...{ kind: 'peer', link: 'wg0' },
  peer: { publicKey, allowedIps },
});
const change = (before: HostObject, after: HostObject): HostChange => ({ action: 'change', before, after });
const sysctl = (value: string): HostObject => ({ kind: 'sysctl', path: 'net/ipv4/ip_forward', value });
const link = (mtu: number): HostObject => ({ kind: 'link', link: { name: 'wg0', kind: 'wireguard', mtu, up: true } });
const into = { statements: [match(meta('iifname'), '==', text('wg0')), accept], comment: 'for wg0' };

for (const [name, changes] of [
  ['a route', [add({ kind: 'route', route })]],
  ['a rule', [add({ kind: 'rule', rule: lookup })]],
  ['an MTU', [change(link(1420), link(1280))]],
  ['a sysctl', [change(sysctl('0'), sysctl('1'))]],
  [
    'allowed IPs that go from one peer to another',
    [change(peer(key, [everywhere]), peer(key, [])), change(peer(other, []), peer(other, [everywhere]))],
  ],
  [
    "a rule in another's chain",
    [
      add({
        kind: 'foreignRule',
        place: { kind: 'nft', family: 'inet', table: 'theirs', chain: 'forward' },
        rule: into,
      }),
    ],
  ],
] as const)
  test(`${name}: carried out it is made, taken back the host is as it was`, () => {
    const facts = (state: HostState) => ({ state }) as Parameters<typeof unmade>[0];
    expect(unmade(facts(STANDS), changes)).toEqual(changes);
    const after = carriedOut(STANDS, changes);
    expect(changes.map((each) => isMade({ state: after }, each))).toEqual(changes.map(() => true));
    expect(unmade(facts(after), changes)).toEqual([]);
    expect(carriedOut(after, undo(changes))).toEqual(STANDS);
  });

test('a table with its chain stands once it was made, and not with other rules', () => {
  const made = { ...THEIRS, name: 'mine' };
  const changes = [
    add({ kind: 'nft', object: { kind: 'table', family: 'inet', table: 'mine' } }),
    add({ kind: 'nft', object: { kind: 'chain', family: 'inet', table: 'mine', chain: forward } }),
  ];
  const after = carriedOut(STANDS, changes);
  expect(after.tables).toEqual([THEIRS, made]);
  expect(changes.map((each) => isMade({ state: after }, each))).toEqual([true, true]);
  const [, ofChain] = changes;
  const bare = { ...after, tables: [THEIRS, { ...made, chains: [{ ...forward, rules: [] }] }] };
  expect(isMade({ state: bare }, must(ofChain))).toBe(false);
});

test('forwarding of a family is that of each link of it', () => {
  const { sysctls } = carriedOut(STANDS, [change(sysctl('0'), sysctl('1'))]);
  expect(sysctls.get('net/ipv4/conf/wg0/forwarding')).toBe('1');
  expect(sysctls.get('net/ipv6/conf/wg0/forwarding')).toBe('0');
});

test('what no look shows is neither made nor unmade; an endpoint counts where the change is about it', () => {
  const connection = {
    ...({ protocol: 'udp', sourcePort: 1, destinationPort: 2 } as const),
    ...{ source: must(parseAddress('192.0.2.1')), destination: must(parseAddress('192.0.2.2')) },
  } as const;
  expect(isMade({ state: STANDS }, { action: 'remove', before: { kind: 'connection', connection } })).toBeUndefined();
  const endpoint = must(parseEndpoint('192.0.2.9:51820'));
  const moved = change(peer(key, [everywhere]), {
    ...{ kind: 'peer', link: 'wg0' },
    peer: { publicKey: key, allowedIps: [everywhere], endpoint },
  });
  expect(isMade({ state: STANDS }, moved)).toBe(false);
  expect(isMade({ state: carriedOut(STANDS, [moved]) }, moved)).toBe(true);
});
