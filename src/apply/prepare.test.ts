import { describe, expect, test } from 'vitest';
import type { ForwardShare, HostFacts, HostShare, TunnelShare } from '../host/index.ts';
import { EMPTY_STATE } from '../host/index.ts';
import { parseAddress } from '../net/index.ts';
import { leftHosts, orderHosts } from './prepare.ts';

const NOTHING: HostShare = { tunnels: [], forwards: [], accepts: [] };
const address = parseAddress('192.0.2.1') ?? { family: 4 as const, value: 0n };
const forward: ForwardShare = {
  name: 'web',
  match: { address },
  protocol: 'tcp',
  ports: { first: 80, last: 80 },
  to: address,
  targetPorts: { first: 80, last: 80 },
  masquerade: false,
  publicLinks: [],
};
const tunnelTo = (host: string): TunnelShare => ({
  name: `to-${host}`,
  type: 'Direct',
  link: 'eth0',
  addresses: [],
  mtu: 1500,
  peer: { host, allowedIps: [], addresses: [] },
  routes: [],
  returns: [],
});

describe('traffic never enters a path whose other end is not ready', () => {
  const shares = new Map([
    ['edge', [{ ...NOTHING, forwards: [forward] }]],
    ['node', [NOTHING]],
    ['edge2', [NOTHING, { ...NOTHING, forwards: [forward] }]],
    ['pod', []],
  ]);
  for (const [direction, order] of [
    ['add', ['node', 'pod', 'edge', 'edge2']],
    ['remove', ['edge', 'edge2', 'node', 'pod']],
  ] as const) {
    test(direction, () => expect(orderHosts(direction, shares)).toEqual(order));
  }
});

describe('hosts that left the documents', () => {
  const facts = (...peers: readonly string[]): HostFacts => ({
    source: 'observed',
    state: EMPTY_STATE,
    keys: new Map(),
    wireguard: 'kernel',
    vxlan: 'kernel',
    record: {
      format: 1,
      version: '1',
      sets: new Map([
        ['default', { ...NOTHING, tunnels: peers.map(tunnelTo) }],
        ['other', { ...NOTHING, tunnels: [tunnelTo('stranger')] }],
      ]),
      numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
      sysctlsBefore: new Map(),
    },
  });
  const known = new Map([
    ['edge', facts('node', 'old')],
    ['edge2', facts('old')],
  ]);
  for (const [what, declared, forgotten, left] of [
    [
      'are those with a tunnel in a record of this set',
      ['edge', 'edge2', 'node'],
      [],
      [{ host: 'old', rememberedBy: ['edge', 'edge2'] }],
    ],
    ['are not those that were forgotten', ['edge', 'edge2', 'node'], ['old'], []],
    ['are none where all are declared', ['edge', 'edge2', 'node', 'old'], [], []],
  ] as const) {
    test(what, () => expect(leftHosts('default', known, new Set(declared), new Set(forgotten))).toEqual(left));
  }
});
