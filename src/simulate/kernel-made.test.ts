import { expect, test } from 'vitest';
import { EMPTY_STATE, type HostState } from '../host/index.ts';
import { parseInterfaceAddress } from '../net/index.ts';
import { LOCAL_TABLE, MAIN_TABLE } from '../routing/index.ts';
import { withKernelRoutes } from './index.ts';

const address = (link: string, text: string): HostState['addresses'][number] => {
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined) throw new TypeError(text);
  return { link, address: parsed, scope: 'global' };
};

test('an address observed a moment before its local route gets that one alone, and one on a link that is down none', () => {
  const state: HostState = {
    ...EMPTY_STATE,
    links: ['eth0', 'eth1', 'sp-t'].map((name) => ({ name, kind: 'veth', mtu: 1500, up: name !== 'eth1' })),
    addresses: [
      address('eth0', '2001:db8::10/64'),
      address('eth1', '2001:db8:1::10/64'),
      address('sp-t', 'fd90::1/64'),
    ],
  };
  const { routes } = withKernelRoutes(state, (link) => link === 'sp-t');
  expect(routes.map(({ link, table }) => [link, table])).toEqual([
    ['eth0', LOCAL_TABLE],
    ['sp-t', LOCAL_TABLE],
    ['sp-t', MAIN_TABLE],
  ]);
  expect(withKernelRoutes({ ...state, routes }, (link) => link === 'sp-t').routes).toEqual(routes);
});
