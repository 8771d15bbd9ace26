/** Which hosts change together, and what a look must have seen to count as new. */
import { expect, test } from 'vitest';
import type { HostPlan } from '../../apply/index.ts';
import { EMPTY_STATE, type HostFacts, type HostRecord, type TunnelShare } from '../../host/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';
import { groupsOf, sameFacts } from './wanted.ts';

const FACTS: HostFacts = {
  source: 'observed',
  state: EMPTY_STATE,
  keys: new Map(),
  wireguard: 'kernel',
  vxlan: 'kernel',
};

const tunnelTo = (host: string): TunnelShare => ({
  ...{ name: `to-${host}`, type: 'Direct', link: 'eth0', addresses: [], mtu: 1500, routes: [], returns: [] },
  peer: { host, allowedIps: [], addresses: [] },
});

const recordWith = (peers: readonly string[]): HostRecord => ({
  ...{ format: 2, version: '1', sysctlsBefore: new Map() },
  sets: new Map([['default', { tunnels: peers.map(tunnelTo), forwards: [], accepts: [] }]]),
  numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
});

/** A host with work, unless `idle`. */
const plan = (host: string, peers: readonly string[], idle = false): HostPlan => ({
  host,
  facts: FACTS,
  aim: { state: EMPTY_STATE, keyLinks: [], notes: [], record: recordWith(peers) },
  changes: idle ? [] : [{ action: 'add', after: { kind: 'sysctl', path: 'net/ipv4/ip_forward', value: '1' } }],
});

test('hosts that a tunnel joins change together where both have work, others by themselves', () => {
  const plans = [
    plan('node', ['edge1', 'edge2']),
    plan('idle', ['edge3'], true),
    plan('edge1', ['node']),
    plan('edge2', ['node']),
    plan('edge3', ['idle', 'gone']),
  ];
  expect(groupsOf(plans).map((group) => group.map(({ host }) => host))).toEqual([
    ['node', 'edge1', 'edge2'],
    ['edge3'],
  ]);
});

const withPeer = (latestHandshake: number, receivedBytes: number, names = true): HostFacts => {
  const publicKey = parsePublicKey('HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=') ?? expect.fail('no key');
  const peer = { publicKey, allowedIps: [], latestHandshake, receivedBytes };
  return {
    ...FACTS,
    state: { ...EMPTY_STATE, devices: [{ link: 'sp-x', publicKey, peers: [peer] }] },
    ...(names && { names: { seconds: 1_000, meanings: new Map() } }),
  };
};

test('counters, handshakes and free memory are nothing new; a tunnel that went down is, where a name is to be looked up', () => {
  expect(sameFacts(FACTS, { ...FACTS, memoryAvailableBytes: 7 })).toBe(true);
  expect(sameFacts(withPeer(990, 1), withPeer(995, 2))).toBe(true);
  expect(sameFacts(withPeer(990, 1), withPeer(100, 1))).toBe(false);
  expect(sameFacts(withPeer(990, 1, false), withPeer(100, 1, false))).toBe(true);
  expect(sameFacts(FACTS, { ...FACTS, recordProblem: 'damaged' })).toBe(false);
});
