import { expect, test } from 'vitest';
import { EMPTY_STATE, type HostState } from '../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress, wholeFamily } from '../net/index.ts';
import { baseChain, masquerade, match, meta, rule, type Table, text } from '../nftables/index.ts';
import { MAIN_TABLE } from '../routing/index.ts';
import { buildNetwork, type Flow, simulate, wideSegments, withKernelDefaults } from './index.ts';

const must = <T>(value: T | undefined, written: string): T => {
  if (value === undefined) throw new TypeError(written);
  return value;
};
const at = (written: string): Address => must(parseAddress(written), written);

/** A host with one address on a link, and a default route that may have an MTU of its own. */
function host(name: string, own: string, mtu: number, routeMtu?: number) {
  const address = must(parseInterfaceAddress(own), own);
  const state: HostState = {
    ...EMPTY_STATE,
    links: [{ name: 'eth0', kind: 'ether', mtu, up: true }],
    addresses: [{ link: 'eth0', address, scope: 'global' }],
    routes: [
      {
        ...{ table: MAIN_TABLE, destination: wholeFamily(4), type: 'unicast', metric: 0, protocol: 4, link: 'eth0' },
        ...(routeMtu !== undefined && { mtu: routeMtu }),
      },
    ],
    sysctls: new Map([['net/ipv4/conf/default/rp_filter', '0']]),
  };
  return { name, state: withKernelDefaults(state), openAddresses: [] };
}

const ask = (to: string): Flow => ({
  ...{ from: { kind: 'host', host: 'client' }, to: at(to), port: 80, protocol: 'tcp' },
});

for (const [what, mtu, routeMtu, maxseg] of [
  ['its link', 1400, undefined, 1360],
  ['its route, where that says less', 1500, 1300, 1260],
] as const)
  test(`a SYN offers segments that fit ${what}, and so does the answer`, () => {
    const hosts = [host('client', '10.0.0.1/24', mtu, routeMtu), host('server', '10.0.0.2/24', mtu, routeMtu)];
    const { request, reply } = simulate(buildNetwork(hosts, []), ask('203.0.113.9'));
    expect([request.packet.maxseg, reply]).toEqual([maxseg, undefined]);
    const near = simulate(buildNetwork(hosts, []), ask('10.0.0.2'));
    expect([near.request.packet.maxseg, near.reply?.packet.maxseg]).toEqual([mtu - 40, mtu - 40]);
  });

test('to itself by lo they are as large as that', () => {
  const network = buildNetwork([host('client', '10.0.0.1/24', 1500)], []);
  expect(simulate(network, ask('10.0.0.1')).request.packet.maxseg).toBe(65_536 - 40);
});

test('a side whose own way is the tunnel makes no segments that do not fit it, whatever the other takes', () => {
  const network = buildNetwork([host('client', '10.0.0.1/24', 1400), host('server', '10.0.0.2/24', 1400)], []);
  const { request, reply } = simulate(network, ask('10.0.0.2'));
  const wide = (maxseg: number, tunnelMtu: number) =>
    wideSegments(network, ask('10.0.0.2'), {
      request: { ...request, packet: { ...request.packet, maxseg } },
      ...(reply && { reply: { ...reply, tunnelMtu } }),
    });
  expect(wide(1460, 1400)).toBeUndefined();
  expect(wide(1460, 1399)).toEqual({ by: 'target', size: 1360, mtu: 1399 });
  expect(wide(1300, 1340)).toBeUndefined();
});

test('masquerade to an own address over IPv6 takes that address, whichever asked', () => {
  const table: Table = {
    ...{ family: 'ip6', name: 'theirs', sets: [], maps: [], opaque: [] },
    chains: [
      {
        ...baseChain('out', { type: 'nat', hook: 'postrouting', priority: 100 }),
        rules: [rule(match(meta('oifname'), '==', text('lo')), masquerade())],
      },
    ],
  };
  const one = host('client', '2001:db8::1/64', 1500);
  const second = must(parseInterfaceAddress('2001:db8::2/64'), 'second');
  const state = withKernelDefaults({
    ...one.state,
    ...{ tables: [table], routes: [], rules: [] },
    addresses: [
      ...one.state.addresses.filter(({ link }) => link === 'eth0'),
      { link: 'eth0', address: second, scope: 'global' },
    ],
    links: one.state.links.filter(({ name }) => name !== 'lo'),
  });
  const network = buildNetwork([{ ...one, state }], []);
  const flow: Flow = { ...ask('2001:db8::2'), from: { kind: 'host', host: 'client', address: at('2001:db8::1') } };
  const { works, request } = simulate(network, flow);
  // Seen of the kernel: asked from ::1, the server of ::2 sees ::2.
  expect([works, request.packet.source]).toEqual([true, at('2001:db8::2')]);
});
