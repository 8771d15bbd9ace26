/**
 * New keys for WireGuard links, in states that a host goes through one after the other. A link has one private key, and whoever exchanges
 * it ends its sessions: what is sent until the next handshake waits for it or is lost, and what is on its way comes from a peer that is
 * known no more. So a second link with keys of its own stands beside, both take what comes by either, and what is sent goes by that one
 * while the keys of the first are exchanged. Pure.
 */
import type { HostFacts, HostRecord, HostShare, SecondLink, TunnelPeer, TunnelShare } from '../host/index.ts';
import type { PendingKey, PublicKey } from '../wireguard/index.ts';
import { tunnelsOf } from './assemble.ts';
import { type CompiledHost, settleSets } from './compile.ts';
import { secondLinkName } from './names.ts';
import { nextPresharedKey } from './preshared.ts';
import { freePort } from './rotate-port.ts';
import { reversePathOf } from './sysctl.ts';

/** One end of a tunnel whose keys are exchanged. */
export interface RotatingEnd {
  readonly host: string;
  readonly set: string;
  readonly tunnel: string;
  readonly link: string;
  /** Without a link, its key is exchanged by hand, or not at all. */
  readonly far: { readonly host: string; readonly link?: string };
  /** How this end knows the far one now. */
  readonly peer: PublicKey;
}

/** `from`: in force; `to`: the one that takes its place. */
export interface RotatingLink {
  readonly host: string;
  readonly link: string;
  readonly second: string;
  /** Where the second one is dialled. */
  readonly port?: number;
}

/** The name that the key of a link has in the key folder until it is in force. */
export const nextKey = (link: string): string => `${link}.next`;

/** What a host goes through: `through`, then `last`, in which only the keys are other ones than now. */
export interface RotatedHost {
  readonly through: readonly CompiledHost[];
  readonly last: CompiledHost;
}

/** By host. `brief`: no second link stands beside, the keys are exchanged at once. */
export function compileRotation(
  ends: readonly RotatingEnd[],
  facts: ReadonlyMap<string, HostFacts>,
  { version, brief, port }: { readonly version: string; readonly brief: boolean; readonly port?: number },
): ReadonlyMap<string, RotatedHost> {
  const links = rotatingLinks(ends, facts, port);
  const rotated = new Map<string, RotatedHost>();
  for (const host of new Set(ends.map((end) => end.host))) {
    const known = facts.get(host);
    if (known?.record === undefined) continue;
    const { record } = known;
    const own = links.filter((each) => each.host === host);
    const keyLinks = own.flatMap(({ link, second }) => [nextKey(link), ...(brief ? [] : [second])]);
    const state = (stage: Stage): CompiledHost => {
      const sets = withKeys(record, host, { ends, links, facts }, stage);
      const keys = new Map(known.keys);
      if (stage.exchanged)
        for (const { link } of own) {
          const next = known.keys.get(nextKey(link));
          // Not made yet: its name stands for it.
          if (next === undefined) keys.delete(link);
          else keys.set(link, next);
        }
      const settled = settleSets(host, { ...known, keys }, sets, record.numbers, version);
      if (settled.record === undefined || stage.second === undefined) return { ...settled, keyLinks };
      const { sysctlsBefore } = settled.record;
      const before = new Map([...sysctlsBefore, ...reversePaths(own, known)]);
      return { ...settled, keyLinks, record: { ...settled.record, sysctlsBefore: before } };
    };
    rotated.set(host, {
      through: brief
        ? []
        : [
            state({ second: 'idle', exchanged: false }),
            state({ second: 'carries', exchanged: false }),
            state({ second: 'carries', exchanged: true }),
            state({ second: 'idle', exchanged: true }),
          ],
      last: state({ exchanged: true }),
    });
  }
  return rotated;
}

interface Stage {
  readonly second?: 'idle' | 'carries';
  readonly exchanged: boolean;
}

interface Rotating {
  readonly ends: readonly RotatingEnd[];
  readonly links: readonly RotatingLink[];
  readonly facts: ReadonlyMap<string, HostFacts>;
}

/** Each link once, with its second one. A port that is asked for is that of all that are dialled. */
export function rotatingLinks(
  ends: readonly RotatingEnd[],
  facts: ReadonlyMap<string, HostFacts>,
  asked?: number,
): readonly RotatingLink[] {
  const links = new Map<string, RotatingLink>();
  for (const { host, link } of ends) {
    if (links.has(`${host} ${link}`)) continue;
    const known = facts.get(host);
    const listens = tunnelsOf(known?.record?.sets ?? new Map()).find((tunnel) => tunnel.link === link)?.listenPort;
    const taken = [...links.values()].flatMap((each) => (each.host === host ? (each.port ?? []) : []));
    const port = known === undefined || listens === undefined ? undefined : (asked ?? freePort(known, listens, taken));
    links.set(`${host} ${link}`, { host, link, second: secondLinkName(link), ...(port !== undefined && { port }) });
  }
  return [...links.values()];
}

/** The shares of the host with a second link or without, and with the keys that stand at this stage. */
function withKeys(
  { sets }: HostRecord,
  host: string,
  rotating: Rotating,
  stage: Stage,
): ReadonlyMap<string, HostShare> {
  return new Map(
    [...sets].map(([set, share]) => [
      set,
      {
        ...share,
        tunnels: share.tunnels.map((tunnel) => {
          const end = rotating.ends.find(
            (each) => each.host === host && each.set === set && each.tunnel === tunnel.name,
          );
          return end === undefined ? tunnel : withKey(tunnel, end, rotating, stage);
        }),
      },
    ]),
  );
}

function withKey(tunnel: TunnelShare, end: RotatingEnd, rotating: Rotating, stage: Stage): TunnelShare {
  const { second: _, ...rest } = tunnel;
  const far = rotating.facts.get(end.far.host);
  const pending: PendingKey = { pendingHost: end.far.host, pendingTunnel: end.tunnel };
  const { link: farLink } = end.far;
  const next = farLink === undefined ? end.peer : (far?.keys.get(nextKey(farLink)) ?? pending);
  const publicKey = stage.exchanged ? next : end.peer;
  const calls = callsBeside(tunnel, end, rotating);
  const preshared = presharedAt(tunnel, end, rotating);
  const peer = {
    ...rest.peer,
    publicKey,
    ...(stage.exchanged && preshared),
    // Somebody must call, or nobody knows whether the new keys fit.
    ...(stage.second !== undefined && stage.exchanged && calls !== undefined && { keepaliveSeconds: calls }),
  };
  if (stage.second === undefined) return { ...rest, peer };
  const [own, theirs] = [linkOf(rotating, end.host, end.link), linkOf(rotating, end.far.host, farLink ?? '')];
  const { endpoint } = tunnel.peer;
  const second: SecondLink = {
    link: own?.second ?? '',
    ...(own?.port !== undefined && { listenPort: own.port }),
    peer: {
      publicKey: (theirs && far?.keys.get(theirs.second)) ?? pending,
      ...preshared,
      ...(endpoint !== undefined && theirs?.port !== undefined && { endpoint: { ...endpoint, port: theirs.port } }),
      ...(calls !== undefined && { keepaliveSeconds: calls }),
    },
    carries: stage.second === 'carries',
  };
  return { ...rest, peer, second };
}

/** The new one, where the tunnel has one; whose far end is tended by hand keeps its own. */
function presharedAt(
  { name, peer: { presharedKey } }: TunnelShare,
  { host, far }: RotatingEnd,
  { facts }: Rotating,
): Pick<TunnelPeer, 'presharedKey'> {
  const [own, other] = [facts.get(host), facts.get(far.host)];
  if (presharedKey === undefined) return {};
  if (far.link === undefined || own === undefined || other === undefined) return { presharedKey };
  return { presharedKey: nextPresharedKey(name, presharedKey, own, other) };
}

const linkOf = ({ links }: Rotating, host: string, link: string): RotatingLink | undefined =>
  links.find((each) => each.host === host && each.link === link);

/** Seconds, where this end calls the other. Where neither does by itself, whoever knows where the other is; of two the first by name. */
const CALL_SECONDS = 5;
function callsBeside(tunnel: TunnelShare, end: RotatingEnd, { ends, facts }: Rotating): number | undefined {
  if (tunnel.peer.keepaliveSeconds !== undefined) return tunnel.peer.keepaliveSeconds;
  if (tunnel.peer.endpoint === undefined) return undefined;
  const other = ends.find((each) => each.host === end.far.host && each.tunnel === end.tunnel && each.set === end.set);
  const theirs =
    other &&
    facts
      .get(other.host)
      ?.record?.sets.get(other.set)
      ?.tunnels.find(({ name }) => name === other.tunnel);
  if (theirs?.peer.keepaliveSeconds !== undefined) return undefined;
  return theirs?.peer.endpoint === undefined || end.host < end.far.host ? CALL_SECONDS : undefined;
}

/** Settings of links of ours go with them; these links stay, and theirs are other ones for as long as there are two. */
const reversePaths = (own: readonly RotatingLink[], { state }: HostFacts): readonly (readonly [string, string])[] =>
  own.flatMap(({ link }) => {
    const path = reversePathOf(link);
    const value = state.sysctls.get(path);
    return value === undefined || value === '2' ? [] : [[path, value] as const];
  });
