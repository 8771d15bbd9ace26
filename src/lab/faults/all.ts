import { clientAddressLost } from './clientAddressLost.ts';
import type { LabFault } from './fault.ts';
import { forwardingOff } from './forwardingOff.ts';
import { forwardPolicyDrop } from './forwardPolicyDrop.ts';
import { hairpinUnanswered } from './hairpinUnanswered.ts';
import { iptablesMixed } from './iptablesMixed.ts';
import { ipv6DefaultRouteLost } from './ipv6DefaultRouteLost.ts';
import { replyLeavesElsewhere } from './replyLeavesElsewhere.ts';
import { reversePathFilter } from './reversePathFilter.ts';
import { staleUdpFlow } from './staleUdpFlow.ts';
import { tunnelTakesReplies } from './tunnelTakesReplies.ts';

/** In the order of their numbers. */
export const LAB_FAULTS: readonly LabFault[] = [
  reversePathFilter,
  tunnelTakesReplies,
  forwardPolicyDrop,
  iptablesMixed,
  staleUdpFlow,
  replyLeavesElsewhere,
  clientAddressLost,
  hairpinUnanswered,
  forwardingOff,
  ipv6DefaultRouteLost,
];
