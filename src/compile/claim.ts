/** Claims that meet on one host: ports and links of several sets, addresses that two peers would have. */
import type { ForwardShare, HostShare, TunnelShare } from '../host/index.ts';
import { containsPort, printAddress, printPortRange } from '../net/index.ts';
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
    ...listenProblems(set, view.name, sets, setName),
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
      const what = `PortForward ${own.forward.name} of the set "${setName}" wants ${place} ${printPortRange(own.forward.ports)}, which is taken by PortForward ${other.forward.name} of the set "${other.set}"`;
      problems.push({ code: 'claimedTwice', at: resource.positionOf('spec.ports'), path: 'spec.ports', what });
    }
  }
  return problems;
}

/** A forward of one set would take the packets of another one's tunnel. Inside the set its resources were judged. */
function listenProblems(
  set: ResourceSet,
  host: string,
  sets: ReadonlyMap<string, HostShare>,
  setName: string,
): readonly Problem[] {
  const own = sets.get(setName);
  if (own === undefined || sets.size < 2) return [];
  const others = [...sets].filter(([name]) => name !== setName);
  return [
    ...others.flatMap(([other, { tunnels }]) =>
      own.forwards.flatMap((forward): readonly Problem[] => {
        const tunnel = tunnels.find((each) => takesPacketsOf(forward, each));
        const resource = tunnel && set.forwards.get(forward.name);
        if (resource === undefined) return [];
        const what = `PortForward ${forward.name} of the set "${setName}" wants udp ${printPortRange(forward.ports)}, where Tunnel ${tunnel?.name} of the set "${other}" listens at ${host}`;
        return [{ code: 'claimedTwice', at: resource.positionOf('spec.ports'), path: 'spec.ports', what }];
      }),
    ),
    ...others.flatMap(([other, { forwards }]) =>
      own.tunnels.flatMap((tunnel): readonly Problem[] => {
        const forward = forwards.find((each) => takesPacketsOf(each, tunnel));
        const resource = forward && set.tunnels.get(tunnel.name);
        if (resource === undefined) return [];
        const what = `Tunnel ${tunnel.name} of the set "${setName}" listens at ${host} on udp ${tunnel.listenPort ?? tunnel.vxlan?.port}, which is taken by PortForward ${forward?.name} of the set "${other}"`;
        return [{ code: 'claimedTwice', at: resource.positionOf('spec.ends'), path: 'spec.ends', what }];
      }),
    ),
  ];
}

function takesPacketsOf({ protocol, ports }: ForwardShare, { listenPort, vxlan }: TunnelShare): boolean {
  const port = listenPort ?? vxlan?.port;
  return protocol === 'udp' && port !== undefined && containsPort(ports, port);
}
