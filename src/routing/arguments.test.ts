import { expect, test } from 'vitest';
import { parseAddress, parsePrefix } from '../net/index.ts';
import {
  addLinkArguments,
  addRouteArguments,
  addRuleArguments,
  changeLinkArguments,
  type Link,
  leastMtu,
  ownRoutes,
  ownRules,
  type Route,
  type RoutingRule,
  SALLYPORT_PROTOCOL,
  vxlanMtu,
} from './index.ts';

const link: Link = { name: 'sp-a', kind: 'wireguard', mtu: 1420, up: true };
const route: Route = {
  table: 5001,
  destination: parsePrefix('0.0.0.0/0') ?? expect.fail(),
  type: 'unicast',
  gateway: parseAddress('10.90.0.1') ?? expect.fail(),
  link: 'sp-a',
  metric: 0,
  protocol: SALLYPORT_PROTOCOL,
};
const rule: RoutingRule = {
  family: 6,
  priority: 5001,
  mark: { value: 0x10000, mask: 0xff0000 },
  action: { kind: 'lookup', table: 5001 },
  protocol: SALLYPORT_PROTOCOL,
};

for (const [name, words, text] of [
  ['a WireGuard link', () => addLinkArguments(link), 'link add name sp-a mtu 1420 up type wireguard'],
  ['a link that goes down', () => changeLinkArguments(link, { ...link, up: false }), 'link set dev sp-a down'],
  ['a link as it is', () => changeLinkArguments(link, link), 'link set dev sp-a'],
  ['a route', () => addRouteArguments(route), 'route add 0.0.0.0/0 via 10.90.0.1 dev sp-a table 5001 protocol 83'],
  [
    'an IPv6 rule',
    () => addRuleArguments(rule),
    '-6 rule add priority 5001 fwmark 0x10000/0xff0000 lookup 5001 protocol 83',
  ],
] as const) {
  test(name, () => expect(words().join(' ')).toBe(text));
}

for (const [name, words, message] of [
  [
    'a link only observed',
    () => addLinkArguments({ ...link, kind: 'bridge' }),
    'sp-a: a link of kind bridge is only observed',
  ],
  ['another kind', () => changeLinkArguments(link, { ...link, kind: 'vxlan' }), 'sp-a: only MTU, alias, up and down'],
  [
    'a route not modelled',
    () => addRouteArguments({ ...route, opaque: { tos: '0x10' } }),
    'only observed, cannot be written: {"tos":"0x10"}',
  ],
  ['a rule not modelled', () => addRuleArguments({ ...rule, opaque: { dport: 80 } }), 'rule 5001: only observed'],
  [
    'an action not modelled',
    () => addRuleArguments({ ...rule, action: { kind: 'opaque', json: {} } }),
    'rule 5001: only observed',
  ],
] as const) {
  test(`refused: ${name}`, () => expect(words).toThrow(message));
}

test('ours is what carries our protocol number, wherever it stands', () => {
  const others = [2, 3, 4, 16, 84];
  expect(ownRoutes([route, ...others.map((protocol) => ({ ...route, protocol }))])).toEqual([route]);
  expect(ownRules([rule, ...others.map((protocol) => ({ ...rule, protocol }))])).toEqual([rule]);
});

for (const [pathMtu, family, mtu] of [
  [1500, 4, 1450],
  [1500, 6, 1430],
  [1492, 4, 1442],
] as const) {
  test(`VXLAN over IPv${family} and ${pathMtu} bytes`, () => expect(vxlanMtu(pathMtu, family)).toBe(mtu));
}

test('IPv6 needs 1280', () => expect([leastMtu(4), leastMtu(6)]).toEqual([68, 1280]));
