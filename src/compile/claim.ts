/** Claims that meet on one host: ports and links of several sets, addresses that two peers would have. */
import { type ForwardShare, type HostShare, isOwnLink } from '../host/index.ts';
import { printAddress, printPortRange, printPrefix } from '../net/index.ts';
import type { Problem, ResourceSet } from '../resources/index.ts';
import { tunnelsOf } from './assemble.ts';
import type { HostView } from './view.ts';

/** What this set asks of the host and another claim on the same host excludes. Claims inside the set were judged with its resources. */
export function claimProblems(
  set: ResourceSet,
  view: HostView,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  return [...portProblems(set, sets, setName), ...linkProblems(set, view, sets, setName)];
}

interface Claim {
  readonly set: string;
  readonly forward: ForwardShare;
}

function portProblems(set: ResourceSet, sets: ReadonlyMap<string, HostShare>, setName: string): readonly Problem[] {
  if (sets.size < 2) return [];
  const groups = new Map<string, Claim[]>();
  for (const [name, share] of sets)
    for (const forward of share.forwards) {
      const { match, protocol } = forward;
      const place = `${'address' in match ? printAddress(match.address) : `${match.interface} IPv${match.family}`} ${protocol}`;
      const claims = groups.get(place) ?? [];
      groups.set(place, claims);
      claims.push({ set: name, forward });
    }
  const problems: Problem[] = [];
  for (const [place, claims] of groups) {
    claims.sort((a, b) => a.forward.ports.first - b.forward.ports.first);
    for (const [index, claim] of claims.entries()) {
      const next = claims[index + 1];
      if (next === undefined || next.forward.ports.first > claim.forward.ports.last || next.set === claim.set) continue;
      const [own, other] = claim.set === setName ? [claim, next] : [next, claim];
      const resource = set.forwards.get(own.forward.name);
      if (own.set !== setName || resource === undefined) continue;
      const what = `${place} ${printPortRange(own.forward.ports)} is taken by PortForward ${other.forward.name} of the set "${other.set}"`;
      problems.push({ code: 'claimedTwice', at: resource.positionOf('spec.ports'), path: 'spec.ports', what });
    }
  }
  return problems;
}

/** A link has one kind, and one peer for each address behind it (WireGuard's cryptokey routing: the last to claim a prefix silently has it). */
function linkProblems(
  set: ResourceSet,
  view: HostView,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<string, { readonly key: string; readonly type: string; readonly shared: boolean }>();
  const allowed = new Map<string, string>();
  const own = [...tunnelsOf(sets)].sort(
    (a, b) => Number(a.key.startsWith(`${setName}/`)) - Number(b.key.startsWith(`${setName}/`)),
  );
  for (const tunnel of own) {
    if (!isOwnLink(tunnel.link)) continue;
    const resource = tunnel.key.startsWith(`${setName}/`) ? set.tunnels.get(tunnel.name) : undefined;
    const report = (what: string): void => {
      if (resource !== undefined)
        problems.push({
          code: 'cannotBe',
          at: resource.positionOf('spec.ends'),
          path: 'spec.ends',
          what: `${view.name}: ${what}`,
        });
    };
    const shared = tunnel.type === 'WireGuard' && tunnel.link.startsWith('sp-wg') && tunnel.listenPort !== undefined;
    const owner = owners.get(tunnel.link);
    if (owner === undefined) owners.set(tunnel.link, { key: tunnel.key, type: tunnel.type, shared });
    else if (!shared || !owner.shared)
      report(`the link ${tunnel.link} is that of tunnel ${owner.key} already; rename one of them`);
    for (const prefix of tunnel.peer.allowedIps) {
      const key = `${tunnel.link} ${printPrefix(prefix)}`;
      const other = allowed.get(key);
      if (other === undefined) allowed.set(key, tunnel.key);
      else
        report(
          `${printPrefix(prefix)} lies behind tunnel ${other} already, on the same link ${tunnel.link}; one of the two needs a listen port of its own here`,
        );
    }
  }
  return problems;
}
