/** Which ends of which tunnels get new keys together: a link has one key, whatever tunnels share it. Pure. */
import type { HostFacts, TunnelShare } from '../host/index.ts';
import { isPendingKey } from '../wireguard/index.ts';
import { type CompiledHost, compileRemoval } from './compile.ts';
import type { RotatingEnd } from './rotate.ts';

export interface RotatingEnds {
  readonly ends: readonly RotatingEnd[];
  /** Tunnels that were not asked for and get new keys all the same, by `SET/TUNNEL`: the link that they share. */
  readonly also: ReadonlyMap<string, string>;
  /** Why it cannot be, a sentence each; then the ends are not to be used. */
  readonly refused: readonly string[];
}

/**
 * Follows the tunnels of the set by the records of their hosts, and the tunnels that share a link with them. `byHand`: hosts on which nobody
 * of us exchanges a key; who looks after them is told what to do.
 */
export function rotatingEnds(
  facts: ReadonlyMap<string, HostFacts>,
  set: string,
  tunnels: readonly string[],
  byHand: ReadonlySet<string>,
): RotatingEnds {
  const ends = new Map<string, RotatingEnd>();
  const also = new Map<string, string>();
  const refused = new Set<string>();
  const open = tunnels.map((tunnel) => ({ set, tunnel, link: '' }));
  const done = new Set<string>();
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const key = `${next.set}/${next.tunnel}`;
    if (done.has(key)) continue;
    done.add(key);
    if (next.link !== '') also.set(key, next.link);
    const found = [...facts].flatMap(([host, known]) => {
      const share = shareOf(known, next.set, next.tunnel);
      return share === undefined || byHand.has(host) ? [] : [{ host, share }];
    });
    if (found.length === 0) refused.add(`Tunnel ${next.tunnel} stands on no host that answers: apply first`);
    for (const { host, share } of found) {
      const far = found.find((each) => each.host === share.peer.host);
      const end = endOf(host, next.set, share, far?.share.link);
      if (typeof end === 'string') refused.add(end);
      else if (far === undefined && !byHand.has(share.peer.host)) refused.add(alone(end));
      else ends.set(`${host} ${key}`, end);
      for (const [other, { tunnels: all }] of facts.get(host)?.record?.sets ?? [])
        for (const each of all)
          if (each.type === 'WireGuard' && each.link === share.link && share.type === 'WireGuard')
            open.push({ set: other, tunnel: each.name, link: share.link });
    }
  }
  return { ends: [...ends.values()], also, refused: [...refused] };
}

const shareOf = (facts: HostFacts, set: string, tunnel: string): TunnelShare | undefined =>
  facts.record?.sets.get(set)?.tunnels.find(({ name }) => name === tunnel);

function endOf(host: string, set: string, share: TunnelShare, link: string | undefined): RotatingEnd | string {
  const { name: tunnel, type, peer } = share;
  if (type !== 'WireGuard') return `Tunnel ${tunnel} is ${type}: it has no keys`;
  if (peer.publicKey === undefined || isPendingKey(peer.publicKey))
    return `Tunnel ${tunnel} has no keys at ${host} yet: apply first`;
  const far = { host: peer.host, ...(link !== undefined && { link }) };
  return { host, set, tunnel, link: share.link, far, peer: peer.publicKey };
}

const alone = ({ host, tunnel, link, far }: RotatingEnd): string =>
  `Tunnel ${tunnel}: its end ${far.host} does not answer or is not among the documents, and without it the new key of ${host} (${link}) would cut it off; ` +
  `"--by-hand ${far.host}" exchanges the keys of the other ends alone and says what must be told there`;

/** What the host's own record asks of it: where that is not what stands, something else comes first. */
export const standingAim = (host: string, facts: HostFacts): CompiledHost =>
  compileRemoval(host, facts, '', facts.record?.version ?? '');
