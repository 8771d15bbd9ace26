import { describe, expect, test } from 'vitest';
import { EMPTY_STATE, type HostFacts } from '../host/index.ts';
import { parseAddress, parsePrefix } from '../net/index.ts';
import type { HostChange } from '../plan/index.ts';
import type { Link, Route } from '../routing/index.ts';
import { parsePublicKey, type WireGuardPeer } from '../wireguard/index.ts';
import { hear, hearAgain, lostBetween, type Witness } from './check-held.ts';

const must = <T>(value: T | undefined): T => value ?? expect.fail('not read');
const key = must(parsePublicKey(`${'A'.repeat(43)}=`));
const peer: WireGuardPeer = { publicKey: key, allowedIps: [], latestHandshake: 1_000 };
const link: Link = { name: 'wg0', kind: 'wireguard', mtu: 1420, up: true };
const route: Route = {
  ...{ table: 254, destination: must(parsePrefix('0.0.0.0/0')), type: 'unicast', metric: 0, protocol: 3 },
  gateway: must(parseAddress('192.0.2.1')),
};
const facts = (peers: readonly WireGuardPeer[], routes: readonly Route[]): HostFacts => ({
  ...{ source: 'observed', keys: new Map(), wireguard: 'kernel', vxlan: 'kernel' },
  state: { ...EMPTY_STATE, links: [link], devices: [{ link: 'wg0', peers }], routes },
});
const before = facts([peer], [route]);
const { latestHandshake: _, ...anew } = peer;

describe('what is lost between two looks', () => {
  const about: HostChange = {
    action: 'change',
    before: { kind: 'peer', link: 'wg0', peer },
    after: { kind: 'peer', link: 'wg0', peer },
  };
  for (const [what, after, changes, lost] of [
    ['nothing', before, [], []],
    [
      'a session: its peer was taken away and added again',
      facts([anew], [route]),
      [],
      [/^the tunnel to A+= on wg0 has lost its session$/],
    ],
    ['a peer', facts([], [route]), [], [/^the tunnel to A+= on wg0/]],
    ['a peer that the plan is about', facts([anew], [route]), [about], []],
    ['the default route', facts([peer], []), [], [/^its IPv4 default route is gone$/]],
    ['the default route, another in its place', facts([peer], [{ ...route, metric: 7 }]), [], []],
    ['the default route, and one of ours is left', facts([peer], [{ ...route, protocol: 83 }]), [], [/^its IPv4/]],
  ] as const)
    test(what, () =>
      expect(lostBetween(before, after, changes)).toEqual(lost.map((each) => expect.stringMatching(each))),
    );
});

describe('witnesses', () => {
  const saying =
    (...words: readonly string[]): Witness =>
    async (answers) => {
      for (const word of words) answers(word);
    };
  const failing: Witness = () => Promise.reject(new Error('the connection was lost'));
  const { signal } = new AbortController();

  test('what answered again is not waited for any longer', async () => {
    const held = hear([saying('a', 'b'), failing]).end();
    expect([...held]).toEqual(['a', 'b']);
    expect(await hearAgain([saying('b', 'c'), saying('a')], held, { withinMs: 60_000, signal })).toEqual([]);
  });

  test('what does not answer in time is told', async () => {
    expect(await hearAgain([saying('a'), failing], new Set(['a', 'b']), { withinMs: 20, signal })).toEqual(['b']);
  });

  test('where it is aborted nobody is waited for', async () => {
    expect(await hearAgain([], new Set(['a']), { withinMs: 60_000, signal: AbortSignal.abort() })).toEqual(['a']);
  });
});
