/** Connections that rules made by hand began, and forwards and tunnels of ours go on with: by the mark that ours would have given them. */
import { type HandedOver, type HandMade, type HostRecord, isOwnLink } from '../host/index.ts';
import { type Address, containsAddress, containsPort, sameAddress, type Transport } from '../net/index.ts';
import { tunnelsOf } from './assemble.ts';
import { targetFor } from './spread.ts';
import { connectionMarks, tunnelMark } from './table-words.ts';

/** A tracked connection; `hidden`: its answers go to another address than the client's. */
export interface HandedConnection {
  readonly protocol: Transport;
  readonly client: Address;
  readonly asked: Address;
  readonly askedPort: number;
  readonly target: Address;
  readonly targetPort: number;
  readonly mark: number;
  readonly hidden?: true;
}

/** Undefined where what is taken over made no connections of the record's. */
export function handedOver({ sets, numbers }: HostRecord, taken: readonly HandMade[]): HandedOver | undefined {
  const from = taken.flatMap((made) => (made.kind === 'rule' && made.rule.from !== undefined ? [made.rule.from] : []));
  const accepts = tunnelsOf(sets).flatMap(({ key, link, accepts: all }) => {
    const chosen = numbers.tunnels.get(key);
    if (chosen === undefined || isOwnLink(link)) return [];
    return all.flatMap(({ protocol, address, ports }) =>
      from.some((each) => containsAddress(each, address))
        ? [{ protocol, address, ports, mark: tunnelMark(chosen.index, numbers) }]
        : [],
    );
  });
  const forwards = taken.some(({ kind }) => kind === 'iptables')
    ? [...sets.values()].flatMap((share) => share.forwards.filter(({ stateless }) => stateless !== true))
    : [];
  return accepts.length + forwards.length === 0 ? undefined : { ...connectionMarks(numbers), forwards, accepts };
}

/** The mark that makes the connection one of ours, within the mask; undefined where it is none, or has one. */
export function markFor(handed: HandedOver, connection: HandedConnection): number | undefined {
  const { protocol, client, asked, askedPort, target, targetPort, mark, hidden } = connection;
  if ((mark & handed.mask) !== 0) return undefined;
  if (sameAddress(asked, target) && askedPort === targetPort)
    return handed.accepts.find(
      (each) => each.protocol === protocol && sameAddress(each.address, asked) && containsPort(each.ports, askedPort),
    )?.mark;
  const forward = handed.forwards.find((each) => {
    if (each.protocol !== protocol || !containsPort(each.ports, askedPort)) return false;
    if (asked.family !== each.to.family || ('address' in each.match && !sameAddress(each.match.address, asked)))
      return false;
    const port = each.targetPorts.first + askedPort - each.ports.first;
    return sameAddress(targetFor(each, client).to, target) && port === targetPort;
  });
  if (forward === undefined) return undefined;
  return hidden === true ? handed.masqueraded : handed.forwarded;
}
