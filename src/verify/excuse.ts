/** Who is refused on purpose by those who own the hosts: a ban, a list of countries, a route that leads nowhere. */
import { isOwnTable } from '../host/index.ts';
import { type Address, sameAddress } from '../net/index.ts';
import { printReference } from '../nftables/index.ts';
import {
  lookupRoute,
  printRoute,
  printRule,
  type RouteResult,
  SALLYPORT_PROTOCOL,
  type Transport,
} from '../routing/index.ts';
import type { Network, Packet, Way } from '../simulate/index.ts';
import type { Client } from './clients.ts';
import type { Finding, Judged } from './promise.ts';

/** Whether a route, or a rule of routing, that somebody else made takes what is sent there. */
export const isTurnedAway = (way: RouteResult): boolean => refusalIn(way) !== undefined;

function refusalIn(way: RouteResult): string | undefined {
  if (way.kind !== 'blackhole' && way.kind !== 'unreachable' && way.kind !== 'prohibit') return undefined;
  const { route, rule } = way;
  // Without a default route of its own a host has one that leads nowhere.
  if (route !== undefined)
    return route.destination.length === 0 || isOwn(route) ? undefined : `route ${printRoute(route)}`;
  return rule === undefined || isOwn(rule) ? undefined : `rule ${printRule(rule)}`;
}

const isOwn = ({ protocol }: { readonly protocol: number }): boolean => protocol === SALLYPORT_PROTOCOL;

/** The rule or route of somebody else by which a packet of a client, or an answer to it, ended; undefined where it was none. */
export function refusedBy({ hosts }: Network, client: Address, { cause, packet }: Way): string | undefined {
  const host = cause === undefined ? undefined : hosts.get(cause.host);
  if (cause === undefined || host === undefined) return undefined;
  const refusal =
    cause.kind === 'rule'
      ? isOwnTable(cause.at.table)
        ? undefined
        : printReference(cause.at)
      : cause.kind === 'routeRefuses' || cause.kind === 'reversePath'
        ? refusalIn(lookupRoute(host.routes, { destination: client, transport: answering(packet, client) }))
        : undefined;
  return refusal === undefined ? undefined : `${host.name}: ${refusal}`;
}

/** Ports of what is sent to a client, or would be in answer to this. */
function answering({ destination, protocol, sourcePort, destinationPort }: Packet, client: Address): Transport {
  return sameAddress(destination, client)
    ? { protocol, sourcePort, destinationPort }
    : { protocol, sourcePort: destinationPort, destinationPort: sourcePort };
}

/** What is said of a few clients whom somebody else refuses is no word against the promise, and told beside it. */
export function excused(judged: Judged, { few, fewPorts }: Client): Judged {
  const excuse = (finding: Finding): Finding =>
    finding.holds === false && finding.refusedBy !== undefined
      ? {
          holds: true,
          except: {
            by: finding.refusedBy,
            ...(few !== undefined && { who: few }),
            ...(fewPorts !== undefined && { from: fewPorts }),
          },
        }
      : finding;
  const { reaches, client, answers, fits, sized, untracked, through } = judged;
  const isOver = [reaches, answers].some(({ holds, refusedBy: by }) => holds === false && by !== undefined);
  // Of a connection that does not come about nothing else is promised.
  const rest = (finding: Finding): Finding => (isOver ? { holds: true } : finding);
  return {
    ...{
      reaches: excuse(reaches),
      client: rest(client),
      answers: reaches.holds === true ? excuse(answers) : rest(answers),
    },
    ...{ fits: rest(fits), sized: rest(sized), untracked: rest(untracked), through },
  };
}
