/**
 * What worked before a change must work again after it, beside what the change is about. Two ways to know: by what was seen of a host before
 * and after, and by witnesses, who ask.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostFacts } from '../host/index.ts';
import type { HostChange, HostObject } from '../plan/index.ts';
import { MAIN_TABLE, SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { printKey, sameKey, type WireGuardDevice, type WireGuardPeer } from '../wireguard/index.ts';

/**
 * Asks for as long as nobody ends it, and tells of each thing that answers, by the same name each time: `edge: its gateway 192.0.2.1`. What it
 * cannot ask does not answer.
 */
export type Witness = (answers: (what: string) => void, signal: AbortSignal) => Promise<unknown>;

export interface Hearing {
  /** Ends it, and gives what has answered so far. */
  end(): ReadonlySet<string>;
}

/** Hears all witnesses while other work goes on: what has not answered by its end is not known to work. */
export function hear(witnesses: readonly Witness[], onAnswer: (what: string) => void = () => {}): Hearing {
  const answered = new Set<string>();
  const stop = new AbortController();
  const answers = (what: string): void => {
    answered.add(what);
    onAnswer(what);
  };
  // One that fails has nothing to tell.
  for (const witness of witnesses) witness(answers, stop.signal).catch(() => {});
  return {
    end() {
      stop.abort();
      return answered;
    },
  };
}

/** Hears them again until all of `held` has answered, or the time is up, or it is aborted. Gives what has not. */
export async function hearAgain(
  witnesses: readonly Witness[],
  held: ReadonlySet<string>,
  { withinMs, signal }: { readonly withinMs: number; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  if (held.size === 0) return [];
  const missing = new Set(held);
  const all = new AbortController();
  const hearing = hear(witnesses, (what) => {
    missing.delete(what);
    if (missing.size === 0) all.abort();
  });
  // Aborted is as well as over.
  await sleep(withinMs, undefined, { signal: AbortSignal.any([all.signal, signal]) }).catch(() => {});
  hearing.end();
  return [...missing];
}

/** What stood before on a host that no change of the plan is about, and is not there any more: sentences. */
export const lostBetween = (before: HostFacts, after: HostFacts, changes: readonly HostChange[]): readonly string[] => [
  ...([4, 6] as const)
    .filter((family) => hasDefaultRoute(before, family) && !hasDefaultRoute(after, family))
    .map((family) => `its IPv${family} default route is gone`),
  ...devicesOf(before).flatMap((device) =>
    device.peers
      .filter((peer) => peer.latestHandshake !== undefined && !isAbout(changes, device, peer))
      .filter((peer) => !hasSession(after, device, peer))
      .map((peer) => `the tunnel to ${nameOf(before, device, peer)} on ${device.link} has lost its session`),
  ),
];

/** Somebody's in the main table: ours, by `lo`, is for replies of a tunnel alone. */
const hasDefaultRoute = ({ state }: HostFacts, family: 4 | 6): boolean =>
  state.routes.some(
    ({ destination, table, type, protocol }) =>
      destination.length === 0 &&
      destination.address.family === family &&
      table === MAIN_TABLE &&
      type === 'unicast' &&
      protocol !== SALLYPORT_PROTOCOL,
  );

/** Those of its links: wireguard-go's sockets may be seen in other namespaces too. */
const devicesOf = ({ state }: HostFacts): readonly WireGuardDevice[] =>
  state.devices.filter(({ link }) => state.links.some(({ name }) => name === link));

/** A peer with a handshake has a session; one that was taken away and added again counts none. */
const hasSession = ({ state }: HostFacts, { link }: WireGuardDevice, { publicKey }: WireGuardPeer): boolean =>
  state.devices.some(
    (device) =>
      device.link === link &&
      device.peers.some((peer) => sameKey(peer.publicKey, publicKey) && peer.latestHandshake !== undefined),
  );

function isAbout(changes: readonly HostChange[], { link }: WireGuardDevice, { publicKey }: WireGuardPeer): boolean {
  const touches = (object: HostObject): boolean =>
    (object.kind === 'link' && object.link.name === link) ||
    (object.kind === 'device' && object.device.link === link) ||
    (object.kind === 'peer' && object.link === link && sameKey(object.peer.publicKey, publicKey));
  return changes.some(
    (change) =>
      (change.action !== 'add' && touches(change.before)) || (change.action !== 'remove' && touches(change.after)),
  );
}

/** The other host's name, where a tunnel of ours; else its key. */
function nameOf({ record }: HostFacts, { link }: WireGuardDevice, { publicKey }: WireGuardPeer): string {
  const tunnels = [...(record?.sets.values() ?? [])].flatMap(({ tunnels }) => tunnels);
  const tunnel = tunnels.find(
    ({ link: own, peer }) => own === link && peer.publicKey !== undefined && sameKey(peer.publicKey, publicKey),
  );
  return tunnel?.peer.host ?? printKey(publicKey);
}
