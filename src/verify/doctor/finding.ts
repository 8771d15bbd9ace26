/** What `doctor` says of a host: the faults it knows, and one that it found. */

import type { FixStep } from './fix.ts';

export type Severity = 'error' | 'warning' | 'info';

/** Stable: scripts and pages go by them. The numbers are those of docs/faults/README.md. */
export const FAULTS = {
  reversePathFilter: 1,
  tunnelTakesReplies: 2,
  mtuBlackHole: 3,
  mssClampOneSided: 4,
  forwardPolicyDrop: 5,
  reloadFlushedRules: 6,
  iptablesMixed: 7,
  staleUdpFlow: 8,
  conntrackFull: 9,
  replyLeavesElsewhere: 10,
  clientAddressLost: 11,
  hairpinUnanswered: 14,
  endpointNameMoved: 16,
  keepaliveMissing: 17,
  allowedIpsOverlap: 18,
  sysctlReadOnly: 19,
  forwardingOff: 20,
  ipv6DefaultRouteLost: 21,
  networkdRemovesRules: 29,
} as const;

export type FaultCode = keyof typeof FAULTS;

export interface Finding {
  readonly code: FaultCode;
  /** `error`: somebody is harmed now, or a flow that is meant cannot work. `warning`: it will be, or is where somebody asks. `info`: it only looks dangerous. */
  readonly severity: Severity;
  readonly host: string;
  readonly summary: string;
  /** The very lines: a rule, a route, a setting, a connection. */
  readonly evidence: readonly string[];
  readonly why: string;
  /** What is advised against it elsewhere, and what that would do on this host. */
  readonly tried?: readonly string[];
  /** Commands, in order, on that host. */
  readonly fix: readonly string[];
  /** The same, as they are carried out. */
  readonly steps: readonly FixStep[];
}

/** As its finder says it; `doctor` adds whose it is. */
export type Found = Omit<Finding, 'code' | 'host' | 'fix' | 'steps'> & { readonly fix: readonly FixStep[] };

/** What could not be looked for, and why. */
export interface NotLooked {
  readonly code: FaultCode;
  readonly host: string;
  readonly why: string;
}

/** What one look for one fault gives: what was found, or why nobody could look. */
export type Examined = readonly Found[] | { readonly unknown: string };

/** The worst first. */
export const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** The worst first, then by the number of the fault. */
export const bySeverity = (left: Finding, right: Finding): number =>
  RANK[left.severity] - RANK[right.severity] || FAULTS[left.code] - FAULTS[right.code];
