/** `doctor`: all faults that it knows, looked for on one host. Pure; what it knows was read before. */
import { printRule } from '../../nftables/index.ts';
import { lookupRoute } from '../../routing/index.ts';
import { simulate, type Way } from '../../simulate/index.ts';
import { type Asked, askForwards, askOwnForwards, askSockets, askSources, translatingRules } from './asked.ts';
import { hairpinUnanswered, staleUdpFlow } from './entries.ts';
import { bySeverity, type Examined, FAULTS, type FaultCode, type Finding, type NotLooked } from './finding.ts';
import { forwardingOff } from './forwarding.ts';
import {
  clientAddressLost,
  forwardPolicyDrop,
  iptablesMixed,
  replyLeavesElsewhere,
  reversePathFilter,
  tunnelTakesReplies,
} from './paths.ts';
import type { Entry, Patient } from './patient.ts';
import {
  conntrackFull,
  ipv6DefaultRouteLost,
  mssClampOneSided,
  networkdRemovesRules,
  reloadFlushedRules,
} from './states.ts';
import { allowedIpsOverlap, endpointNameMoved, keepaliveMissing, mtuBlackHole, sysctlReadOnly } from './wireguard.ts';

export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly notLooked: readonly NotLooked[];
}

type Examination = (patient: Patient, asked: readonly Asked[]) => Examined;

const EXAMINATIONS: Readonly<Record<FaultCode, Examination>> = {
  reversePathFilter,
  tunnelTakesReplies,
  mtuBlackHole,
  mssClampOneSided,
  forwardPolicyDrop,
  reloadFlushedRules,
  iptablesMixed,
  staleUdpFlow: (patient) => staleUdpFlow(patient, (entry) => wayNow(patient, entry)),
  conntrackFull,
  replyLeavesElsewhere,
  clientAddressLost,
  hairpinUnanswered: (patient) => hairpinUnanswered(patient, (entry) => wayNow(patient, entry)),
  endpointNameMoved,
  keepaliveMissing,
  allowedIpsOverlap,
  sysctlReadOnly,
  forwardingOff: (patient, asked) => forwardingOff(patient, [...asked, ...askOwnForwards(patient)]),
  ipv6DefaultRouteLost,
  networkdRemovesRules,
};

/** Faults that are found by asking what listens. */
const BY_SOCKETS: ReadonlySet<FaultCode> = new Set(['reversePathFilter', 'tunnelTakesReplies', 'replyLeavesElsewhere']);

/** Looks for every fault on one host. */
export function diagnose(patient: Patient): Diagnosis {
  const { host, facts, sockets } = patient;
  const rules = translatingRules(facts.state.tables, printRule);
  const asked = [...askSockets(patient), ...askForwards(patient, rules), ...askSources(patient, rules)];
  const findings: Finding[] = [];
  const notLooked: NotLooked[] = [];
  for (const code of Object.keys(FAULTS).filter(isCode)) {
    if (sockets === undefined && BY_SOCKETS.has(code))
      notLooked.push({ code, host, why: 'who listens cannot be read' });
    const examined = EXAMINATIONS[code](patient, asked);
    if ('unknown' in examined) notLooked.push({ code, host, why: examined.unknown });
    else
      findings.push(
        ...examined.map(({ fix, ...found }) => ({
          code,
          host,
          ...found,
          fix: fix.map(({ text }) => text),
          steps: fix,
        })),
      );
  }
  return { findings: findings.sort(bySeverity), notLooked };
}

export const isCode = (text: string): text is FaultCode => Object.hasOwn(FAULTS, text);

/** Where a packet of the flow would go if it were the first. */
function wayNow({ network, host, simulated }: Patient, { original, protocol }: Entry): Way | undefined {
  const back = lookupRoute(simulated.routes, { destination: original.source });
  const { destination: to, destinationPort: port, sourcePort } = original;
  if (back.kind === 'local')
    return simulate(
      network,
      { from: { kind: 'host', host, address: original.source }, to, port, protocol, sourcePort },
      { hops: true },
    ).request;
  if (back.kind !== 'route') return undefined;
  const from = { kind: 'beyond' as const, host, link: back.link, address: original.source };
  return simulate(network, { from, to, port, protocol, sourcePort }, { hops: true }).request;
}
