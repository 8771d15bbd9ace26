import { allowedIpsOverlap } from './allowed-ips-overlap.ts';
import { clientAddressLost } from './client-address-lost.ts';
import { conntrackFull } from './conntrack-full.ts';
import { endpointNameMoved } from './endpoint-name-moved.ts';
import type { LabFault } from './fault.ts';
import { forwardPolicyDrop } from './forward-policy-drop.ts';
import { forwardingOff } from './forwarding-off.ts';
import { hairpinUnanswered } from './hairpin-unanswered.ts';
import { iptablesMixed } from './iptables-mixed.ts';
import { ipv6DefaultRouteLost } from './ipv6-default-route-lost.ts';
import { keepaliveMissing } from './keepalive-missing.ts';
import { mssClampOneSided } from './mss-clamp-one-sided.ts';
import { mtuBlackHole } from './mtu-black-hole.ts';
import { networkdRemovesRules } from './networkd-removes-rules.ts';
import { reloadFlushedRules } from './reload-flushed-rules.ts';
import { replyLeavesElsewhere } from './reply-leaves-elsewhere.ts';
import { reversePathFilter } from './reverse-path-filter.ts';
import { staleUdpFlow } from './stale-udp-flow.ts';
import { sysctlReadOnly } from './sysctl-read-only.ts';
import { tunnelTakesReplies } from './tunnel-takes-replies.ts';

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
  networkdRemovesRules,
];
