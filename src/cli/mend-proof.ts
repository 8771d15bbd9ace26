/** The proof of a fix: the hosts as they will be with it, examined and simulated before anything is changed. */
import type { HostChange, TrackedConnection } from '../host/index.ts';
import { sameAddress } from '../net/index.ts';
import { CONNTRACK_STATUS } from '../nftables/index.ts';
import { carriedOut } from '../plan/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { brought, type Finding, type Seen, SHOWN_AFTERWARDS, stillFound, verifyMend } from '../verify/index.ts';
import { aimOfSet } from './aims.ts';
import { diagnoseAll, type Examined, networkOf } from './examine.ts';
import type { PromiseReport } from './plan-report.ts';

/** That the fault is gone, that no other came, and that what worked works still. */
export function proveMend(
  examined: Examined,
  finding: Finding,
  changes: readonly HostChange[],
  seen: Seen,
): readonly PromiseReport[] {
  const { set, facts } = examined;
  const mended = withChanges(examined, finding.host, changes);
  const [before, after] = [examined, mended].map((each) => diagnoseAll(each).findings);
  if (before === undefined || after === undefined) return [];
  const still = stillFound(finding, before, after);
  const open = SHOWN_AFTERWARDS[finding.code];
  const other = brought(before, after);
  const resource = `Host/${finding.host}`;
  const known = {
    ...{ set, facts: mended.facts, seen: { ...seen, entries: answered(seen.entries) } },
    ...{ compiled: aimOfSet(set, 'default')(facts), hosts: aimOfSet(hostsOf(set), '')(facts) },
  };
  return [
    {
      ...{ resource, promise: `${finding.code} is mended` },
      holds: open !== undefined ? 'undecided' : still === undefined,
      ...(open !== undefined ? { reason: open } : still !== undefined && { reason: still.summary }),
      ...((open ?? still) !== undefined && { risk: 'it is as it was, and the change is taken back' }),
    },
    {
      ...{ resource, promise: 'no other fault comes of it', holds: other === undefined },
      ...(other !== undefined && { reason: `${other.code} on ${other.host}: ${other.summary}` }),
      ...(other !== undefined && { risk: 'somebody is harmed who was not before' }),
    },
    ...verifyMend({ ...known, before: networkOf(examined), after: networkOf(mended) }),
  ];
}

/** Connections that have come about: one that still waits for its first answer may be the very one that is mended. */
const answered = (entries: Seen['entries']): Seen['entries'] =>
  new Map(
    [...entries].map(([host, all]) => [
      host,
      typeof all === 'string'
        ? all
        : all.filter(
            ({ tcpState, status }) =>
              tcpState !== 'SYN_SENT' && tcpState !== 'SYN_RECV' && (status & CONNTRACK_STATUS.seenReply) !== 0,
          ),
    ]),
  );

/** The machines alone. */
const hostsOf = ({ hosts }: ResourceSet): ResourceSet => ({ hosts, tunnels: new Map(), forwards: new Map() });

/** What would be seen of the hosts with these changes on one of them. */
function withChanges(examined: Examined, host: string, changes: readonly HostChange[]): Examined {
  const facts = examined.facts.get(host);
  const closer = examined.closer.get(host);
  if (facts === undefined || closer === undefined) return examined;
  const { looks } = closer;
  const ended = changes.flatMap((change) =>
    change.action === 'remove' && change.before.kind === 'connection' ? [change.before.connection] : [],
  );
  const entries = looks.entries?.filter(
    ({ protocol, original }) => !ended.some((each) => isSame(each, { ...original, protocol })),
  );
  return {
    ...examined,
    facts: new Map([...examined.facts, [host, { ...facts, state: carriedOut(facts.state, changes) }]]),
    closer: new Map([...examined.closer, [host, { ...closer, looks: { ...looks, ...(entries && { entries }) } }]]),
  };
}

const isSame = (left: TrackedConnection, right: TrackedConnection): boolean =>
  left.protocol === right.protocol &&
  left.sourcePort === right.sourcePort &&
  left.destinationPort === right.destinationPort &&
  sameAddress(left.source, right.source) &&
  sameAddress(left.destination, right.destination);
