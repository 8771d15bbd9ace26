/** What is waited for while keys are exchanged: that both ends of a link have heard each other, and that nothing comes by it any more. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PublicKey } from '../wireguard/index.ts';
import { parsePublicKey } from '../wireguard/index.ts';
import type { ManagedHost } from './observe.ts';

/** One link of a host, with the peers that count. */
export interface WatchedLink {
  readonly managed: ManagedHost;
  readonly link: string;
  readonly peers: readonly PublicKey[];
}

const EVERY_MS = 100;

/**
 * Until each peer has a handshake: who was called counts one from the first data, so both ends can send then. Gives those that have none when the
 * time is over. `since`: what was there before does not count, by `HOST LINK KEY`.
 */
export async function untilHandshakes(
  links: readonly WatchedLink[],
  { timeoutMs, signal, since }: HandshakeOptions,
): Promise<readonly WatchedLink[]> {
  for (const end = performance.now() + timeoutMs; ; await sleep(EVERY_MS, undefined, { signal })) {
    const seen = await Promise.all(links.map((each) => readCounters(each, 'latest-handshakes', signal)));
    const silent = links.flatMap((each, index): readonly WatchedLink[] => {
      const peers = each.peers.filter((key) => {
        const [handshake = 0] = seen[index]?.get(key) ?? [];
        return handshake <= (since?.get(counterKey(each, key)) ?? 0);
      });
      return peers.length === 0 ? [] : [{ ...each, peers }];
    });
    if (silent.length === 0 || performance.now() > end) return silent;
  }
}

export interface HandshakeOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly since?: ReadonlyMap<string, number>;
}

/** The handshakes that there are, for `since`. */
export async function handshakesOf(
  links: readonly WatchedLink[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const all = new Map<string, number>();
  for (const each of links)
    for (const [key, [seconds = 0]] of await readCounters(each, 'latest-handshakes', signal))
      all.set(counterKey(each, key), seconds);
  return all;
}

/** Until no link has received anything for `quietMs`; whoever still sends by one after `timeoutMs` is waited for no longer. Gives whether it was quiet. */
export async function untilQuiet(
  links: readonly WatchedLink[],
  { quietMs, timeoutMs, signal }: QuietOptions,
): Promise<boolean> {
  const received = async (): Promise<string> => {
    const seen = await Promise.all(links.map((each) => readCounters(each, 'transfer', signal)));
    return seen.map((peers) => [...peers].map(([key, [bytes]]) => `${key} ${bytes}`).join()).join(';');
  };
  let [last, since] = [await received(), performance.now()];
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    await sleep(EVERY_MS, undefined, { signal });
    const now = await received();
    if (now !== last) [last, since] = [now, performance.now()];
    else if (performance.now() - since >= quietMs) return true;
  }
  return false;
}

export interface QuietOptions {
  readonly quietMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const counterKey = ({ managed, link }: WatchedLink, key: string): string => `${managed.name} ${link} ${key}`;

/** `wg show LINK latest-handshakes` or `transfer`: a line a peer, its public key and numbers (wg(8)). Throws where the host does not answer. */
async function readCounters(
  { managed, link }: WatchedLink,
  what: 'latest-handshakes' | 'transfer',
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const { status, stdout, stderr } = await managed.transport.run({ argv: ['wg', 'show', link, what] }, signal);
  if (status !== 0) throw new Error(`${managed.name}: wg show ${link} ${what}: ${stderr.trim() || `status ${status}`}`);
  return new Map(
    stdout.split('\n').flatMap((line) => {
      const [key = '', ...numbers] = line.split('\t');
      const publicKey = parsePublicKey(key);
      return publicKey === undefined ? [] : [[publicKey, numbers.map(Number)] as const];
    }),
  );
}
