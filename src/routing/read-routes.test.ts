/** Real output of iproute2 with and without `-N`; what `ip` of this machine prints of our own routes is judged in roundtrip.test.ts. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startNamespace } from '../lab/index.ts';
import { type Family, parseAddress, parsePrefix } from '../net/index.ts';
import { readRoutes, readRules, routesCommand, rulesCommand } from './index.ts';

const address = (text: string) => parseAddress(text) ?? expect.fail(text);
const prefix = (text: string) => parsePrefix(text) ?? expect.fail(text);

describe('routes', () => {
  const base = { table: 254, destination: prefix('10.1.0.0/16'), type: 'unicast', metric: 0, protocol: 3 };
  const base6 = { ...base, destination: prefix('fd10::/16'), metric: 1024 };
  const usual = {
    type: '1',
    dst: '10.1.0.0/16',
    table: '254',
    protocol: '3',
    scope: '0',
    gateway: '10.0.0.3',
    dev: 'v0',
    flags: [],
  };
  const by = { gateway: address('10.0.0.3'), link: 'v0' };
  const usual6 = {
    type: 'unicast',
    dst: 'fd10::/16',
    dev: 'v0',
    table: 'main',
    protocol: 'boot',
    scope: 'global',
    flags: [],
  };
  for (const [name, family, fields, expected] of [
    ['in numbers', 4, usual, { ...base, ...by }],
    [
      'in names',
      4,
      { ...usual, type: 'unicast', table: 'main', protocol: 'dhcp', scope: 'global' },
      { ...base, ...by, protocol: 16 },
    ],
    ['default', 4, { ...usual, dst: 'default' }, { ...base, ...by, destination: prefix('0.0.0.0/0') }],
    ['IPv6 default', 6, { ...usual6, dst: 'default' }, { ...base6, destination: prefix('::/0'), link: 'v0' }],
    ['a single address', 4, { ...usual, dst: '10.1.2.3' }, { ...base, ...by, destination: prefix('10.1.2.3/32') }],
    ['linkdown and dead are said of the link', 4, { ...usual, flags: ['dead', 'linkdown'] }, { ...base, ...by }],
    ['onlink', 4, { ...usual, flags: ['onlink'] }, { ...base, ...by, onlink: true }],
    [
      'a local route in the local table',
      4,
      { ...usual, type: '2', table: '255', scope: '254', gateway: undefined },
      { ...base, table: 255, type: 'local', link: 'v0' },
    ],
    ['an expiry', 6, { ...usual6, expires: 99, pref: 'medium' }, { ...base6, link: 'v0' }],
    ['a preference', 6, { ...usual6, pref: 'high' }, { ...base6, link: 'v0', opaque: { pref: 'high' } }],
    ['a source prefix', 6, { ...usual6, from: 'fd00::/64' }, { ...base6, link: 'v0', opaque: { from: 'fd00::/64' } }],
    [
      'unreachable IPv6 on lo',
      6,
      { ...usual6, type: 'unreachable', dev: 'lo', error: 4294967183 },
      { ...base6, type: 'unreachable' },
    ],
    ['a scope of its own', 4, { ...usual, scope: '200' }, { ...base, ...by, opaque: { scope: 200 } }],
    ['a type of service', 4, { ...usual, tos: '0x10' }, { ...base, ...by, opaque: { tos: '0x10' } }],
    ['a type no kernel uses', 4, { ...usual, type: 'nat' }, { ...base, ...by, opaque: { type: 'nat' } }],
    [
      'a next hop object, printed expanded too',
      4,
      { ...usual, nhid: 5, nh_info: { id: 5 } },
      { ...base, ...by, opaque: { nhid: 5 } },
    ],
    [
      'metrics beside the MTU',
      4,
      { ...usual, metrics: [{ mtu: 1400, advmss: 1300 }] },
      { ...base, ...by, mtu: 1400, opaque: { metrics: { advmss: 1300 } } },
    ],
    [
      'next hops with encapsulation',
      4,
      {
        ...usual,
        gateway: undefined,
        dev: undefined,
        nexthops: [{ gateway: '10.0.0.3', dev: 'v0', weight: 1, flags: [], encap: 'mpls' }],
      },
      {
        ...base,
        nexthops: [by],
        opaque: { nexthops: [{ gateway: '10.0.0.3', dev: 'v0', weight: 1, flags: [], encap: 'mpls' }] },
      },
    ],
  ] as const) {
    test(name, () => expect(readRoutes(JSON.stringify([fields]), family)).toEqual([expected]));
  }

  for (const [name, text, message] of [
    ['a host name', '[{"dst":"here"}]', ', entry 1: dst: "here" is not an IPv4 prefix'],
    ['the other family', '[{"dst":"::/0"}]', ', entry 1: dst: "::/0" is not an IPv4 prefix'],
    [
      'a table by a name of the host',
      '[{"dst":"default","table":"vpn"}]',
      ', entry 1: table: "vpn" is not a number or a name of the kernel',
    ],
    [
      'a name every object has',
      '[{"dst":"default","table":"toString"}]',
      ', entry 1: table: "toString" is not a number',
    ],
    ['a negative metric', '[{"dst":"default","metric":-1}]', ', entry 1: metric: -1 is not a number'],
    ['a table that is gone', '[', ': not JSON'],
  ] as const) {
    test(`refused: ${name}`, () =>
      expect(() => readRoutes(text, 4)).toThrow(`output of "${routesCommand(4).join(' ')}"${message}`));
  }
});

describe('rules', () => {
  const base = { family: 4, priority: 9, protocol: 0 };
  const usual = { priority: 9, src: 'all', protocol: '0' };
  const lookup = { kind: 'lookup', table: 100 };
  for (const [name, fields, expected] of [
    [
      'of the kernel',
      { ...usual, table: '255', protocol: '2' },
      { ...base, protocol: 2, action: { kind: 'lookup', table: 255 } },
    ],
    [
      'in names',
      { ...usual, table: 'main', protocol: 'kernel' },
      { ...base, protocol: 2, action: { kind: 'lookup', table: 254 } },
    ],
    ['without a protocol', { priority: 9, src: 'all', table: '100' }, { ...base, action: lookup }],
    [
      'host bits set',
      { ...usual, src: '10.0.0.9', srclen: 8, table: '100' },
      { ...base, from: prefix('10.0.0.0/8'), action: lookup },
    ],
    [
      'a whole mask',
      { ...usual, fwmark: '0xca6c', table: '100' },
      { ...base, mark: { value: 0xca6c, mask: 0xffffffff }, action: lookup },
    ],
    [
      'not',
      { ...usual, not: null, dst: '1.2.3.4', table: '100' },
      { ...base, not: true, to: prefix('1.2.3.4/32'), action: lookup },
    ],
    [
      'a link that is gone',
      { ...usual, iif: 'gone', iif_detached: null, table: '100' },
      { ...base, iif: 'gone', action: lookup },
    ],
    ['a jump', { ...usual, goto: 77, unresolved: null }, { ...base, action: { kind: 'goto', priority: 77 } }],
    [
      'a jump to nowhere',
      { ...usual, goto: 'none' },
      { ...base, action: { kind: 'opaque', json: { src: 'all', goto: 'none' } } },
    ],
    ['prohibit by number', { ...usual, action: '8' }, { ...base, action: { kind: 'prohibit' } }],
    ['nop', { ...usual, nop: null }, { ...base, action: { kind: 'nop' } }],
    [
      'the table of a VRF',
      { ...usual, l3mdev: null },
      { ...base, action: { kind: 'opaque', json: { src: 'all', l3mdev: null } } },
    ],
    [
      'selectors not modelled',
      { ...usual, uid_start: 0, uid_end: 10, ipproto: 'tcp', dport: 80, tos: '0x10', table: '100' },
      { ...base, action: lookup, opaque: { uid_start: 0, uid_end: 10, ipproto: 'tcp', dport: 80, tos: '0x10' } },
    ],
  ] as const) {
    test(name, () => expect(readRules(JSON.stringify([fields]), 4)).toEqual([expected]));
  }

  test('refused: no priority', () =>
    expect(() => readRules('[{"src":"all","table":"7"}]', 6)).toThrow(
      `output of "${rulesCommand(6).join(' ')}", entry 1: priority is missing`,
    ));
});

test('tables and protocols with names of this host are read as numbers', async () => {
  await using kernel = await startNamespace();
  // A mount namespace of its own: the files are this namespace's alone.
  // iproute2 6.5 and newer bring theirs in /usr/share, and read /etc first where it is there.
  const folder = existsSync('/etc/iproute2') ? '/etc/iproute2' : '/usr/share/iproute2';
  await kernel.run(['mount', '-t', 'tmpfs', 'tmpfs', folder]);
  await kernel.run(['tee', `${folder}/rt_tables`], { stdin: '100 vpn\n254 home\n' });
  await kernel.run(['tee', `${folder}/rt_protos`], { stdin: '77 ours\n' });
  await kernel.run(['ip', 'route', 'add', '10.0.0.0/8', 'dev', 'lo', 'table', 'vpn', 'proto', 'ours']);
  await kernel.run(['ip', 'rule', 'add', 'priority', '9', 'lookup', 'home']);
  const family: Family = 4;
  const routes = readRoutes((await kernel.run(routesCommand(family))).stdout, family);
  expect(routes.filter(({ table }) => table !== 255)).toMatchObject([{ table: 100, protocol: 77 }]);
  const rules = readRules((await kernel.run(rulesCommand(family))).stdout, family);
  expect(rules.find(({ priority }) => priority === 9)?.action).toEqual({ kind: 'lookup', table: 254 });
});
