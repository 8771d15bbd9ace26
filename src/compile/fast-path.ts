/**
 * `fastPath`: which of an edge's devices have their established connections carried by the kernel's flowtable.
 *
 * On an edge alone. The kernel asks for the way back once, with the mark of the packet that came and bound to the link it came by
 * (nft_flow_offload.c, nft_flow_route); on a node each reply takes its own mark from its connection, and that decides.
 */
import { type ForwardShare, type HostFacts, type HostShare, isOwnLink, targetsOf } from '../host/index.ts';
import { sameAddress } from '../net/index.ts';
import type { TunnelInTable } from './table-words.ts';

const takesIt = ({ fastPath, stateless }: ForwardShare): boolean => fastPath !== false && stateless !== true;

/**
 * The links that clients come in by, and those that lead to targets. Links of others have to be there; one of PPP is not named, for it
 * goes at every reconnect, and the kernel forgets it then: what comes in by it takes the long way, what goes out by it the short one.
 */
export function fastDevices(
  forwards: readonly ForwardShare[],
  tunnels: readonly TunnelInTable[],
  facts: HostFacts,
): readonly string[] | undefined {
  if (facts.flowtables !== 'kernel' || !forwards.some(takesIt)) return undefined;
  const lasting = new Set(facts.state.links.flatMap(({ name, kind }) => (kind === 'ppp' ? [] : [name])));
  const devices = new Set<string>();
  for (const forward of forwards.filter(takesIt)) {
    for (const link of forward.publicLinks) devices.add(link);
    for (const { to, link } of targetsOf(forward)) {
      if (link !== undefined) devices.add(link);
      for (const { link: through, routes, peer } of tunnels)
        if ([...peer.addresses, ...routes.map(({ address }) => address)].some((each) => sameAddress(each, to)))
          devices.add(through);
    }
  }
  return [...devices].filter((name) => isOwnLink(name) || (lasting.has(name) && name !== 'lo')).sort();
}

/** Why connections that could take the fast path do not; nothing where nobody looked. */
export function fastPathNotes({ forwards }: HostShare, { flowtables = 'kernel' }: HostFacts): readonly string[] {
  if (!forwards.some(takesIt)) return [];
  switch (flowtables) {
    case 'absent':
      return ['fastPath: this kernel has no flowtables: all packets take the ordinary path'];
    case 'forgetful':
      return [
        'fastPath: before Linux 5.14 a connection that was idle in the flowtable is forgotten after two minutes: all packets take the ordinary path',
      ];
    case 'unknown':
      return ['fastPath: flowtables could not be tried here (unshare --net): all packets take the ordinary path'];
    case 'kernel': // or nobody looked
      return [];
  }
}
