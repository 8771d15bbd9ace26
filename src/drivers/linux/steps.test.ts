import { expect, test } from 'vitest';
import { parsePrefix } from '../../net/index.ts';
import type { HostChange, HostObject } from '../../plan/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';
import { nameOf } from './step-name.ts';
import { changesOf, makeSteps } from './steps.ts';

const destination = parsePrefix('10.0.0.0/8');
const add = (after: HostObject): HostChange => ({ action: 'add', after });
const route = (metric: number): HostObject => {
  if (destination === undefined) throw new Error('no prefix');
  return { kind: 'route', route: { table: 254, destination, type: 'unicast', link: 'v0', metric, protocol: 83 } };
};
const table = (name: string): HostObject => ({ kind: 'nft', object: { kind: 'table', family: 'inet', table: name } });
const sysctl = (path: string): HostObject => ({ kind: 'sysctl', path, value: '1' });
/** Of which there are 256. */
const peer = (index: number): HostObject => {
  const publicKey = parsePublicKey(Buffer.alloc(32, index).toString('base64'));
  if (publicKey === undefined) throw new Error('no key');
  return { kind: 'peer', link: 'sp-x', peer: { publicKey, allowedIps: [] } };
};
const names = (changes: readonly HostChange[]) => makeSteps(changes, '/run/x').map(nameOf);

test('neighbours of one kind are one step, of nft one transaction, and nothing moves', () => {
  const file: HostObject = { kind: 'file', path: '/run/x/record.json', mode: 0o600, content: '' };
  const changes = [
    ...[
      add(file),
      add(route(1)),
      add(route(2)),
      add(table('a')),
      add(table('b')),
      add(sysctl('net/ipv4/ip_forward')),
      add(sysctl('net/a')),
    ],
    ...[add(table('c')), add(peer(0)), add(route(3))],
  ];
  expect(names(changes)).toEqual([
    'file /run/x/record.json',
    'ip: 2 routes',
    'nft: 2 changes',
    'sysctl: 2 sysctls',
    'nft: 1 change',
    'wg: 1 peer of sp-x',
    'ip: 1 route',
  ]);
  expect(makeSteps(changes, '/run/x').flatMap(changesOf)).toEqual(changes);
});

test('peers of one link are told together, up to two hundred, and one that goes and comes apart', () => {
  const many = Array.from({ length: 201 }, (_, index) => add(peer(index)));
  expect(names(many)).toEqual(['wg: 200 peers of sp-x', 'wg: 1 peer of sp-x']);
  expect(names([{ action: 'remove', before: peer(1) }, add(peer(1)), add(peer(2))])).toEqual([
    'wg: 1 peer of sp-x',
    'wg: 2 peers of sp-x',
  ]);
});

test('a WireGuard key is named by its file and never by itself', () => {
  const [step] = makeSteps([add({ kind: 'device', device: { link: 'sp-x', listenPort: 51820 } })], '/etc/sallyport');
  expect(step).toMatchObject({
    kind: 'wg',
    link: 'sp-x',
    items: [{ words: ['listen-port', '51820', 'fwmark', '0', 'private-key', '/etc/sallyport/keys/sp-x.key'] }],
  });
});

test('what goes with its link is a step of its own that does nothing', () => {
  const changes: readonly HostChange[] = [
    { action: 'remove', before: sysctl('net/ipv4/conf/sp-x/rp_filter') },
    { action: 'remove', before: { kind: 'device', device: { link: 'sp-x' } } },
  ];
  expect(makeSteps(changes, '/run/x')).toEqual(changes.map((change) => ({ kind: 'goesWithLink', change })));
});

for (const [name, change, reason] of [
  ['a sysctl outside the network', add(sysctl('kernel/panic')), 'not the path of a sysctl of a network: kernel/panic'],
  [
    'a path that leaves it',
    add(sysctl('net/../kernel/panic')),
    'not the path of a sysctl of a network: net/../kernel/panic',
  ],
  [
    'an absolute path',
    add(sysctl('/net/ipv4/ip_forward')),
    'not the path of a sysctl of a network: /net/ipv4/ip_forward',
  ],
  [
    'one kind changing into another',
    { action: 'change', before: table('a'), after: route(1) },
    'a route cannot change into a nft',
  ],
  [
    'another key of a peer',
    { action: 'change', before: peer(0), after: peer(1) },
    'sp-x: a peer with another key is another peer: remove one, add one',
  ],
] as const satisfies readonly (readonly [string, HostChange, string])[]) {
  test(`refused before anything is done: ${name}`, () => expect(() => makeSteps([change], '/run/x')).toThrow(reason));
}
