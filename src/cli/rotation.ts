/** New keys for tunnels: what the hosts go through, and what is waited for between. */
import {
  type AimFor,
  type CarryOutOptions,
  handshakesOf,
  type ManagedHost,
  type SetPlan,
  untilHandshakes,
  untilQuiet,
  type WatchedLink,
} from '../apply/index.ts';
import { compileRotation, type RotatingEnd, standingAim } from '../compile/index.ts';
import type { HostFacts, HostRecord } from '../host/index.ts';
import { describeChange, planHost } from '../plan/index.ts';
import type { Problem, ResourceSet } from '../resources/index.ts';
import { isPendingKey, type PublicKey } from '../wireguard/index.ts';
import { byHandLines } from './rotation-text.ts';
import { sallyportVersion } from './version.ts';

export interface RotationOptions {
  /** The keys are exchanged at once, without a second link. */
  readonly brief: boolean;
  /** For the second links, where they are dialled. */
  readonly port?: number;
}

/** What the hosts of these ends are to become, and through what. A host that is not as it was left is a problem: something else comes first. */
export const aimOfRotation =
  (
    set: ResourceSet,
    ends: readonly RotatingEnd[],
    known: ReadonlyMap<string, HostFacts>,
    options: RotationOptions,
  ): AimFor =>
  (facts) => {
    const now = new Map([...known, ...facts]);
    const problems = [...new Set(ends.map(({ host }) => host))].flatMap((host) => unsettled(set, host, now.get(host)));
    const rotated = compileRotation(ends, now, { version: sallyportVersion(), ...options });
    const hosts = new Map(
      [...rotated].map(([host, { through, last }]) => [host, { ...last, ...(through.length > 0 && { through }) }]),
    );
    return { problems, hosts };
  };

/** Why the keys of a host cannot be exchanged yet. */
function unsettled(set: ResourceSet, host: string, facts: HostFacts | undefined): readonly Problem[] {
  if (facts === undefined) return [];
  // A name may mean something else at each look: that is for apply.
  const { names: _, ...standing } = facts;
  const changes = planHost(standing, standingAim(host, standing));
  const resource = set.hosts.get(host);
  if (changes.length === 0 || resource === undefined) return [];
  const words = changes.slice(0, 3).map((change) => {
    const { action, object, name } = describeChange(change);
    return `${action} ${object} ${name}`;
  });
  const more = changes.length > 3 ? ` and ${changes.length - 3} more` : '';
  const what = `${host} is not as it was left (${words.join(', ')}${more}): apply first`;
  return [{ code: 'cannotBe', at: resource.positionOf(''), path: 'metadata.name', what }];
}

/** A call is repeated after 5 s (REKEY_TIMEOUT, WireGuard paper, 6.1): three of them, unless the hosts are to wait less. */
const HANDSHAKE_MS = 16_000;
/** Longer than a packet is on its way; and who sends by the old link after so long was not told of the new one. */
const QUIET_MS = 1_000;
const LOUD_MS = 10_000;
/** For somebody who types. */
const BY_HAND_MS = 300_000;

export interface Waiting {
  readonly managed: readonly ManagedHost[];
  readonly ends: readonly RotatingEnd[];
  readonly brief: boolean;
  readonly windowMs: number;
  readonly say: (line: string) => void;
  readonly progress: (line: string) => void;
}

/** See CarryOutOptions.afterStage: the stages are those of `compileRotation`. */
export function waitBetween({
  managed,
  ends,
  brief,
  windowMs,
  say,
  progress,
}: Waiting): NonNullable<CarryOutOptions['afterStage']> {
  return async (stage, plan, signal) => {
    const hosts = managed.filter(({ name }) => ends.some(({ host }) => host === name));
    const own = watched(hosts, plan, ends, false);
    const second = watched(hosts, plan, ends, true);
    const shaken = async (links: readonly WatchedLink[], what: string): Promise<void> => {
      progress(`waiting for a handshake by ${what}`);
      const silent = await untilHandshakes(links, { timeoutMs: Math.min(HANDSHAKE_MS, windowMs), signal });
      if (silent.length > 0) throw new Error(`no handshake by ${what}: ${silent.map(printLink(plan)).join(', ')}`);
    };
    const quiet = async (links: readonly WatchedLink[], what: string): Promise<void> => {
      progress(`waiting until nothing comes by ${what}`);
      const isQuiet = await untilQuiet(links, { quietMs: QUIET_MS, timeoutMs: LOUD_MS, signal });
      if (!isQuiet)
        say(`something still comes by ${what}: a route that is not ours may lead there, and what it sends may be lost`);
    };
    if (brief) return await exchanged({ ends, plan, own, signal, say, shaken });
    if (stage === 0) await shaken(second, 'the second links');
    if (stage === 1) await quiet(own, 'the links whose keys are exchanged');
    if (stage === 2) await shaken(own, 'the links with new keys');
    if (stage === 3) await quiet(second, 'the second links');
  };
}

interface Exchanged {
  readonly ends: readonly RotatingEnd[];
  readonly plan: SetPlan;
  readonly own: readonly WatchedLink[];
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly shaken: (links: readonly WatchedLink[], what: string) => Promise<void>;
}

/** Of an end that somebody else looks after, a handshake that was there before tells nothing. */
async function exchanged({ ends, plan, own, signal, say, shaken }: Exchanged): Promise<void> {
  const byHand = ends.filter(({ far }) => far.link === undefined);
  const theirs = new Set(byHand.map(({ peer }) => peer));
  const split = (isTheirs: boolean): readonly WatchedLink[] =>
    own.map((each) => ({ ...each, peers: each.peers.filter((key) => theirs.has(key) === isTheirs) }));
  await shaken(split(false), 'the links with new keys');
  if (byHand.length === 0) return;
  const since = await handshakesOf(split(true), signal);
  for (const line of byHandLines(byHand, plan)) say(line);
  const silent = await untilHandshakes(split(true), { timeoutMs: BY_HAND_MS, signal, since });
  const left = silent.flatMap(({ peers }) => peers);
  if (left.length > 0)
    throw new Error(
      `no handshake with ${byHand
        .filter(({ peer }) => left.includes(peer))
        .map(({ far }) => far.host)
        .join(', ')} within ${BY_HAND_MS / 60_000} minutes`,
    );
}

/** The links of the ends that rotate, with the keys of the peers that are to be heard there. */
function watched(
  hosts: readonly ManagedHost[],
  plan: SetPlan,
  ends: readonly RotatingEnd[],
  second: boolean,
): readonly WatchedLink[] {
  return hosts.flatMap((managed) => {
    const aim = plan.hosts.find(({ host }) => host === managed.name)?.aim;
    const record = second ? aim?.through?.[0]?.record : aim?.record;
    const links = new Map<string, PublicKey[]>();
    for (const { host, set, tunnel } of ends) {
      const found = host === managed.name ? tunnelOf(record, set, tunnel) : undefined;
      const link = second ? found?.second?.link : found?.link;
      const key = second ? found?.second?.peer.publicKey : found?.peer.publicKey;
      if (link === undefined || key === undefined || isPendingKey(key)) continue;
      links.set(link, [...(links.get(link) ?? []), key]);
    }
    return [...links].map(([link, peers]): WatchedLink => ({ managed, link, peers }));
  });
}

const tunnelOf = (record: HostRecord | undefined, set: string, tunnel: string) =>
  record?.sets.get(set)?.tunnels.find(({ name }) => name === tunnel);

/** `edge sp-wg51820_ (UDP 51821)`: with the port that must be let in. */
const printLink =
  (plan: SetPlan) =>
  ({ managed, link }: WatchedLink): string => {
    const aim = plan.hosts.find(({ host }) => host === managed.name)?.aim;
    const devices = [...(aim?.through ?? []), ...(aim === undefined ? [] : [aim])].flatMap(
      ({ state }) => state.devices,
    );
    const port = devices.find((device) => device.link === link)?.listenPort;
    return `${managed.name} ${link}${port === undefined ? '' : ` (UDP ${port} must be let in there, by the firewall of its provider too)`}`;
  };
