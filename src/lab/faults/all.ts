import { allowedIpsOverlap } from './allowedIpsOverlap.ts';
import { clientAddressLost } from './clientAddressLost.ts';
import { conntrackFull } from './conntrackFull.ts';
import { endpointNameMoved } from './endpointNameMoved.ts';
import type { LabFault } from './fault.ts';
import { forwardingOff } from './forwardingOff.ts';
import { forwardPolicyDrop } from './forwardPolicyDrop.ts';
import { hairpinUnanswered } from './hairpinUnanswered.ts';
import { iptablesMixed } from './iptablesMixed.ts';
import { ipv6DefaultRouteLost } from './ipv6DefaultRouteLost.ts';
import { keepaliveMissing } from './keepaliveMissing.ts';
import { mssClampOneSided } from './mssClampOneSided.ts';
import { mtuBlackHole } from './mtuBlackHole.ts';
import { reloadFlushedRules } from './reloadFlushedRules.ts';
import { replyLeavesElsewhere } from './replyLeavesElsewhere.ts';
import { reversePathFilter } from './reversePathFilter.ts';
import { staleUdpFlow } from './staleUdpFlow.ts';
import { sysctlReadOnly } from './sysctlReadOnly.ts';
import { tunnelTakesReplies } from './tunnelTakesReplies.ts';

/** In the order of their numbers. */
export const LAB_FAULTS: readonly LabFault[] = [
  reversePathFilter,
  tunnelTakesReplies,
  mtuBlackHole,
  mssClampOneSided,
  forwardPolicyDrop,
  reloadFlushedRules,
  iptablesMixed,
  staleUdpFlow,
  conntrackFull,
  replyLeavesElsewhere,
  clientAddressLost,
  hairpinUnanswered,
  endpointNameMoved,
  keepaliveMissing,
  allowedIpsOverlap,
  sysctlReadOnly,
  forwardingOff,
  ipv6DefaultRouteLost,
];
