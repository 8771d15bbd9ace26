/** Claims that meet on one host: ports and links of several sets, addresses that two peers would have. */
import type { ForwardShare, HostShare } from '../host/index.ts';
import { printAddress, printPortRange } from '../net/index.ts';
import type { Problem, ResourceSet } from '../resources/index.ts';
import { tunnelProblems } from './claim-tunnel.ts';
import { statelessProblems } from './stateless.ts';
import type { HostView } from './view.ts';

/** What this set asks of the host and another claim on the same host excludes. Claims inside the set were judged with its resources. */
export function claimProblems(
  set: ResourceSet,
  view: HostView,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  return [
    ...portProblems(set, sets, setName),
    ...tunnelProblems(set, view.name, sets, setName),
    ...statelessProblems(set, view.name, sets, setName),
  ];
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
