/** Real output of iproute2 6.1 and 5.10, cut to what is read; what `ip` of this machine prints is judged in roundtrip.test.ts. */
import { describe, expect, test } from 'vitest';
import { parseAddress, parseInterfaceAddress } from '../net/index.ts';
import { LINKS_COMMAND, readAddresses, readLinks } from './index.ts';

const address = (text: string) => parseAddress(text) ?? expect.fail(text);
const own = (text: string) => parseInterfaceAddress(text) ?? expect.fail(text);

describe('links', () => {
  const usual = { ifindex: 7, ifname: 'x.7', flags: ['BROADCAST', 'UP', 'LOWER_UP'], mtu: 1500, link_type: 'ether' };
  const mac = '12:aa:c1:2e:6e:31';
  const base = { name: 'x.7', mtu: 1500, up: true, carrier: true, index: 7 };
  for (const [name, fields, link] of [
    ['an Ethernet card', { address: mac }, { kind: 'ether', mac }],
    ['no carrier', { flags: ['NO-CARRIER', 'UP'] }, { kind: 'ether', carrier: false }],
    ['down', { flags: ['BROADCAST'] }, { kind: 'ether', up: false, carrier: false }],
    ['in a bridge, with an alias', { master: 'br0', ifalias: 'a b' }, { kind: 'ether', master: 'br0', alias: 'a b' }],
    [
      'a veth with its other end elsewhere',
      { linkinfo: { info_kind: 'veth' }, link_index: 12, link_netnsid: 0 },
      { kind: 'veth', peerIndex: 12, peerNamespace: 0 },
    ],
    ['a VLAN of this card', { linkinfo: { info_kind: 'vlan' }, link: 'x.7' }, { kind: 'vlan', peerIndex: 7 }],
    [
      'an IPIP tunnel, whose address is no MAC',
      { link_type: 'ipip', address: '10.0.0.1', linkinfo: { info_kind: 'ipip' } },
      { kind: 'ipip' },
    ],
    ['a point to point link without a kind', { link_type: 'ppp' }, { kind: 'ppp' }],
    ['WireGuard', { link_type: 'none', linkinfo: { info_kind: 'wireguard' } }, { kind: 'wireguard' }],
    [
      'a VXLAN to a group',
      { linkinfo: { info_kind: 'vxlan', info_data: { id: 42, group6: 'ff05::1', local6: 'fd00::1', port: 4789 } } },
      { kind: 'vxlan', vxlan: { vni: 42, port: 4789, local: address('fd00::1'), remote: address('ff05::1') } },
    ],
    [
      'a VXLAN with external, without a VNI',
      { linkinfo: { info_kind: 'vxlan', info_data: { external: true, port: 4789 } } },
      { kind: 'vxlan' },
    ],
  ] as const) {
    test(name, () => expect(readLinks(JSON.stringify([{ ...usual, ...fields }]))).toEqual([{ ...base, ...link }]));
  }

  test('the loopback has no MAC', () => {
    const lo = { ...usual, link_type: 'loopback', address: '00:00:00:00:00:00' };
    expect(readLinks(JSON.stringify([lo]))).toEqual([{ ...base, kind: 'loopback' }]);
  });
});

describe('addresses', () => {
  const usual = { family: 'inet', local: '10.0.0.1', prefixlen: 24, scope: 'global' };
  const usual6 = { family: 'inet6', local: 'fd00::1', prefixlen: 64, scope: 'global' };
  const base = { link: 'v0', address: own('10.0.0.1/24'), scope: 'global' };
  const base6 = { link: 'v0', address: own('fd00::1/64'), scope: 'global' };
  for (const [name, fields, expected] of [
    ['a static one', { ...usual, label: 'v0', valid_life_time: 4294967295 }, base],
    ['of DHCP', { ...usual, dynamic: true, valid_life_time: 1000 }, { ...base, dynamic: true }],
    ['a second of its network', { ...usual, secondary: true }, base],
    [
      'with a peer',
      { ...usual, local: '10.9.0.1', address: '10.9.0.2', prefixlen: 32 },
      { ...base, address: own('10.9.0.1/32'), peer: address('10.9.0.2') },
    ],
    ['of a router, for ever', { ...usual6, mngtmpaddr: true }, { ...base6, dynamic: true }],
    ['of a router, as iproute2 6.3 says', { ...usual6, protocol: 'kernel_ra' }, { ...base6, dynamic: true }],
    ['a private one', { ...usual6, temporary: true, dynamic: true }, { ...base6, temporary: true, dynamic: true }],
    ['past its preferred time', { ...usual6, deprecated: true }, { ...base6, deprecated: true }],
    ['being checked', { ...usual6, tentative: true }, { ...base6, tentative: true }],
    ['being checked and used', { ...usual6, tentative: true, optimistic: true }, base6],
    ['somebody else has', { ...usual6, dadfailed: true }, { ...base6, tentative: true }],
    ['of a scope without a name', { ...usual6, scope: '17' }, { ...base6, scope: '17' }],
  ] as const) {
    test(name, () =>
      expect(readAddresses(JSON.stringify([{ ifname: 'v0', addr_info: [fields] }]))).toEqual([expected]),
    );
  }

  test('links without one, and the empty objects that old versions print, give none', () => {
    const text = JSON.stringify([
      {},
      { ifname: 'v0', addr_info: [] },
      { ifname: 'v1', addr_info: [{}] },
      { ifname: 'v2' },
    ]);
    expect(readAddresses(text)).toEqual([]);
  });
});

describe('refused, with command and place', () => {
  for (const [name, text, message] of [
    ['a shell complaint', 'bash: ip: not found', ': not JSON: '],
    ['cut short', '[{"ifname":"v0"', ': not JSON: '],
    ['an object', '{}', ': {} is not a list'],
    ['a number in the list', '[{},7]', ', entry 2: 7 is not an object'],
    ['no name', '[{"mtu":1500}]', ', entry 1: ifname is missing: {"mtu":1500}'],
    ['a name that is none', '[{"ifname":7}]', ', entry 1: ifname: 7 is not a text'],
    ['no MTU', '[{"ifname":"v0","link_type":"ether"}]', ', entry 1: mtu is missing'],
    [
      'flags as text',
      '[{"ifname":"v0","link_type":"ether","mtu":1,"flags":"UP"}]',
      ', entry 1: flags: "UP" is not a list',
    ],
    [
      'no address',
      '[{"ifname":"v0","link_type":"ether","mtu":1,"linkinfo":{"info_kind":"vxlan","info_data":{"id":1,"port":2,"local":"here"}}}]',
      ', entry 1, linkinfo, info_data: local: "here" is not an address',
    ],
  ] as const) {
    test(name, () => expect(() => readLinks(text)).toThrow(`output of "${LINKS_COMMAND.join(' ')}"${message}`));
  }
});

test('no output at all is no links', () =>
  expect([readLinks(''), readLinks('\n'), readLinks('[]')]).toEqual([[], [], []]));
