/** Where packets for a target of a forward go. */
import type { AcceptShare, ForwardShare } from '../host/index.ts';
import { type Address, type Family, printAddress } from '../net/index.ts';
import type { PortForwardResource, ResourceSet, Target, TunnelResource } from '../resources/index.ts';
import { type Aim, aimKey, endOf } from './aim.ts';
import { linkName } from './tunnel.ts';
import { type HostView, linkTowards, wayTo } from './view.ts';

/** A PortForward at one of its hosts. */
export interface Place {
  readonly set: ResourceSet;
  readonly views: ReadonlyMap<string, HostView>;
  readonly aims: ReadonlyMap<string, Aim>;
  readonly forward: PortForwardResource;
  readonly edge: HostView;
  /** Which targets count as answering, by their places. */
  readonly answers: readonly boolean[];
}

export interface Aimed {
  readonly forward: Pick<ForwardShare, 'to' | 'masquerade' | 'link'>;
  readonly accept?: Omit<AcceptShare, 'name' | 'protocol' | 'ports'> & { readonly host: string };
  /** What was chosen, for the plan. */
  readonly note?: string;
}

/** What a target is called: `node`, `node/10.42.0.10`, `192.168.1.240`. */
export const targetId = (target: Target): string => {
  if (target.kind === 'address') return printAddress(target.address);
  return target.address === undefined ? target.host : `${target.host}/${printAddress(target.address)}`;
};

/** Where packets of a family go for a target, or why they cannot. */
export function aim(
  { set, views, aims, forward, edge }: Omit<Place, 'answers'>,
  target: Target,
  family: Family,
): Aimed | string {
  const masquerade = forward.clientAddress === 'Masquerade';
  if (target.kind === 'address') {
    const found = aimByRoute(edge, target.address, family, masquerade);
    const isUnknown = typeof found !== 'string' && found.forward.link === undefined;
    return forward.tracking === 'Stateless' && isUnknown
      ? `by which link ${printAddress(target.address)} answers is not known, and Stateless needs it: declare its network in the Host`
      : found;
  }
  const tunnel = set.tunnels.get(target.via.get(edge.name) ?? '');
  const node = views.get(target.host);
  if (tunnel === undefined || node === undefined) return `no tunnel joins ${edge.name} and ${target.host}`;
  if (!tunnel.families.includes(family)) return `tunnel ${tunnel.name} carries no IPv${family}`;
  const inTunnel = addressIn(tunnel, node.name, family);
  const link = linkInto(tunnel, edge, inTunnel, forward);
  const over = { masquerade, ...(link !== undefined && { link }) };
  const through = { host: node.name, tunnel: tunnel.name };
  if (target.address !== undefined) {
    const behind = aimBehind(node, target.address, family);
    if (typeof behind === 'string') return behind;
    const atNode = behind.link !== undefined;
    return {
      // Behind the node the edge's own address in the tunnel would be as foreign as the client's: the node masquerades instead.
      forward: { to: target.address, ...over, masquerade: masquerade && !atNode },
      accept: {
        ...through,
        address: target.address,
        masquerade: masquerade && atNode,
        ...(behind.link !== undefined && { behind: behind.link }),
      },
    };
  }
  const name = `forwards to ${node.name} by ${tunnel.name} aim at`;
  if (masquerade && inTunnel !== undefined)
    // The edge asks from its own address in the tunnel: a UDP server on the wildcard address answers it from the node's.
    return {
      forward: { to: inTunnel, ...over },
      accept: { ...through, address: inTunnel, masquerade: false },
      note: `${name} ${printAddress(inTunnel)}, its tunnel address: the client is hidden`,
    };
  const found = aims.get(aimKey({ edge, node, tunnel }, family));
  if (found === undefined) return `${node.name} has no IPv${family} address in tunnel ${tunnel.name}`;
  const which = found.why === undefined ? 'its main address' : `its tunnel address: ${found.why}`;
  return {
    forward: { to: found.address, ...over },
    accept: {
      ...through,
      address: found.address,
      masquerade: false,
      ...(found.moveTo !== undefined && { moveTo: found.moveTo }),
    },
    note: `${name} ${printAddress(found.address)}, ${which}`,
  };
}

/** Direct: the existing link. Of other tunnels the table knows it by the target's route, but where nothing is remembered answers are told by it. */
function linkInto(
  tunnel: TunnelResource,
  edge: HostView,
  inTunnel: Address | undefined,
  { tracking }: PortForwardResource,
): string | undefined {
  if (tunnel.type === 'Direct') return inTunnel && linkTowards(edge, inTunnel);
  const end = tracking === 'Stateless' ? endOf(tunnel, edge.name) : undefined;
  return end && linkName(tunnel, end, edge.facts);
}

/** A target that the edge reaches by its own routes. */
function aimByRoute(edge: HostView, to: Address, family: Family, masquerade: boolean): Aimed | string {
  if (to.family !== family) return `the target ${printAddress(to)} is IPv${to.family}`;
  const link = linkTowards(edge, to);
  if (link === undefined && edge.facts.source === 'observed') return `${edge.name} has no route to ${printAddress(to)}`;
  return { forward: { to, masquerade, ...(link !== undefined && { link }) } };
}

/** A target behind a node: the link towards it, none where the address is the node's own. */
function aimBehind(node: HostView, to: Address, family: Family): { readonly link?: string } | string {
  if (to.family !== family) return `the target ${printAddress(to)} is IPv${to.family}`;
  if (wayTo(node, to).kind === 'local') return {};
  const link = linkTowards(node, to);
  if (link === undefined && node.facts.source === 'observed') return `${node.name} has no route to ${printAddress(to)}`;
  return link === undefined ? {} : { link };
}

/** The host's address of a family inside the tunnel. */
const addressIn = (tunnel: TunnelResource, host: string, family: Family): Address | undefined =>
  endOf(tunnel, host)?.addresses.find(({ address }) => address.family === family)?.address;
