import { expect, test } from 'vitest';
import { EMPTY_STATE, type HostState } from '../host/index.ts';
import { type Address, parseAddress, parseEndpoint, parseInterfaceAddress, parsePrefix } from '../net/index.ts';
import { baseChain, ct, match, payload, rule, type Statement, symbol, type Table } from '../nftables/index.ts';
import { parsePublicKey } from '../wireguard/index.ts';
import { findTunnels, type HostInput, simulate, withKernelDefaults } from './index.ts';
import { buildNetwork } from './network.ts';

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new TypeError('not there');
  return value;
};
const at = (text: string): Address => must(parseAddress(text));
const key = (letter: string) => must(parsePublicKey(`${letter.repeat(42)}A=`));

interface Sketch {
  readonly number: 1 | 2;
  readonly endpoint?: string;
  readonly handshake?: number;
  readonly tables?: readonly Table[];
}

/** Host `aN` with 10.0.0.N on eth0, and 10.9.0.N in the tunnel wg0. */
function end({ number, endpoint, handshake, tables = [] }: Sketch): HostInput {
  const address = (link: string, text: string) => ({
    link,
    address: must(parseInterfaceAddress(text)),
    scope: 'global',
  });
  const state: HostState = {
    ...{ ...EMPTY_STATE, tables },
    links: [
      { name: 'eth0', kind: 'ether', mtu: 1500, up: true },
      { name: 'wg0', kind: 'wireguard', mtu: 1420, up: true },
    ],
    addresses: [address('eth0', `10.0.0.${number}/24`), address('wg0', `10.9.0.${number}/24`)],
    sysctls: new Map([
      ['net/ipv4/conf/all/rp_filter', '0'],
      ['net/ipv4/conf/default/rp_filter', '0'],
    ]),
    devices: [
      {
        ...{ link: 'wg0', publicKey: key(number === 1 ? 'a' : 'b'), listenPort: 51_820 },
        peers: [
          {
            publicKey: key(number === 1 ? 'b' : 'a'),
            allowedIps: [must(parsePrefix('10.9.0.0/24'))],
            ...(endpoint !== undefined && { endpoint: must(parseEndpoint(endpoint)) }),
            ...(handshake !== undefined && { latestHandshake: handshake }),
          },
        ],
      },
    ],
  };
  return { name: `a${number}`, state: withKernelDefaults(state), openAddresses: [] };
}

const guardOf = (...also: readonly Statement[]): Table => ({
  ...{ family: 'inet', name: 'guard', sets: [], maps: [], opaque: [] },
  chains: [
    baseChain(
      'i',
      { type: 'filter', hook: 'input', priority: 0 },
      rule(...also, match(payload('udp', 'dport'), '==', 51_820), { kind: 'verdict', verdict: { kind: 'drop' } }),
    ),
  ],
});
const guard = guardOf();
/** Lets in what was asked for. */
const asked = guardOf(match(ct('state'), '==', symbol('new')));

/** What becomes of a packet through the tunnel from a1 to a2. */
function trace(one: Omit<Sketch, 'number'>, two: Omit<Sketch, 'number'>) {
  const hosts = [end({ number: 1, ...one }), end({ number: 2, ...two })];
  const network = buildNetwork(hosts, findTunnels(hosts), { segments: new Map(), neighbours: new Map() });
  return simulate(network, {
    ...{ from: { kind: 'host', host: 'a1', address: at('10.9.0.1') }, to: at('10.9.0.2') },
    ...{ port: 80, protocol: 'tcp' },
  });
}

for (const [what, one, two, verdict] of [
  ['a call that arrives carries it', { endpoint: '10.0.0.2:51820' }, {}, 'delivered'],
  ['a call of the far end does too', {}, { endpoint: '10.0.0.1:51820' }, 'delivered'],
  [
    'one of two calls that arrives is enough',
    { endpoint: '10.0.0.2:51820' },
    { endpoint: '10.0.0.1:51820', tables: [asked] },
    'delivered',
  ],
  ['a call that is dropped does not', { endpoint: '10.0.0.2:51820' }, { tables: [guard] }, 'dropped'],
  ['nor one whose answer is', {}, { endpoint: '10.0.0.1:51820', tables: [guard] }, 'dropped'],
  [
    'a handshake that was seen shows more',
    { endpoint: '10.0.0.2:51820', handshake: 1 },
    { tables: [guard] },
    'delivered',
  ],
  ['an end that nobody knows where to call is taken to be up', {}, {}, 'delivered'],
] as const)
  test(what, () => {
    const { request, works } = trace(one, two);
    expect([request.verdict, works]).toEqual([verdict, verdict === 'delivered']);
    if (verdict === 'dropped')
      expect(request.reason).toMatch(/^the packets of wg0 itself do not arrive: a2 drops 10\.0\.0\.1/);
  });
