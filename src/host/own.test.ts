import { expect, test } from 'vitest';
import { parseInterfaceAddress, parsePrefix } from '../net/index.ts';
import { FILE_MARK } from './daemon-files.ts';
import { ownState } from './own.ts';
import { EMPTY_STATE } from './state.ts';

const link = (name: string) => ({ name, kind: 'veth', mtu: 1500, up: true });

const address = (name: string, text: string, scope: string) => {
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined) throw new Error(text);
  return { link: name, address: parsed, scope };
};

const destination =
  parsePrefix('10.0.0.0/8') ??
  (() => {
    throw new Error('10.0.0.0/8');
  })();
const route = (protocol: number, table: number) => ({
  table,
  destination,
  type: 'unicast' as const,
  metric: 0,
  protocol,
});
const rule = (protocol: number, priority: number) => ({
  family: 4 as const,
  priority,
  action: { kind: 'lookup' as const, table: 5001 },
  protocol,
});
const table = (family: 'inet' | 'ip', name: string) => ({ family, name, sets: [], maps: [], chains: [], opaque: [] });

test('ours is known by name, protocol number and table, and a number like ours is not enough', () => {
  const own = ownState({
    ...EMPTY_STATE,
    links: [link('sp-wg51820'), link('eth0'), link('wsp-0')],
    addresses: [
      address('sp-wg51820', '10.90.0.1/30', 'global'),
      address('sp-wg51820', 'fd90::1/64', 'global'),
      address('sp-wg51820', 'fe80::1/64', 'link'),
      address('eth0', '10.90.0.1/30', 'global'),
    ],
    routes: [route(83, 5001), route(4, 5001), route(83, 254)],
    rules: [rule(83, 5000), rule(3, 5001)],
    sysctls: new Map([['net/ipv4/conf/sp-wg51820/rp_filter', '2']]),
    devices: [
      { link: 'sp-wg51820', peers: [] },
      { link: 'wg0', peers: [] },
    ],
    tables: [table('inet', 'sallyport'), table('ip', 'sallyport'), table('inet', 'filter')],
    files: new Map([
      ['/etc/a.conf', `${FILE_MARK}\n[Network]\n`],
      ['/etc/b.conf', `# theirs\n${FILE_MARK}\n`],
    ]),
  });
  expect(own).toEqual({
    links: [link('sp-wg51820')],
    addresses: [
      address('sp-wg51820', '10.90.0.1/30', 'global'),
      address('sp-wg51820', 'fd90::1/64', 'global'),
      address('sp-wg51820', 'fe80::1/64', 'link'),
    ],
    routes: [route(83, 5001), route(83, 254)],
    rules: [rule(83, 5000)],
    sysctls: new Map(),
    devices: [{ link: 'sp-wg51820', peers: [] }],
    tables: [table('inet', 'sallyport')],
    accepts: [],
    files: new Map([['/etc/a.conf', `${FILE_MARK}\n[Network]\n`]]),
  });
});
