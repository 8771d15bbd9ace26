/** What a promise is, and what its packets say of it. */
import type { HostFacts } from '../host/index.ts';
import type { Address } from '../net/index.ts';
import {
  type Connections,
  type Crossed,
  type Flow,
  type Network,
  reportTrace,
  simulate,
  startDraws,
  type Trace,
  type TraceReport,
} from '../simulate/index.ts';
import type { Spectra } from './clients.ts';
import type { Outsiders } from './outsider.ts';
import type { PortKinds } from './ports.ts';
import type { Tells } from './tells.ts';

export type Holds = boolean | 'undecided';

export interface Promised {
  /** `PortForward/web`. */
  readonly resource: string;
  /** What is promised, as a sentence. */
  readonly promise: string;
  readonly holds: Holds;
  /** Why it does not hold, or cannot be told: of the first packet of which that is so. */
  readonly reason?: string;
  /** What may happen where it does not hold, as a clause; absent where it holds. */
  readonly risk?: string;
  /** Clients whom others' rules or routes refuse, each with what does: to them nothing is promised. Absent: none. */
  readonly except?: readonly string[];
  readonly trace?: TraceReport;
}

/** What every promise is judged on. */
export interface Ground {
  readonly network: Network;
  readonly facts: ReadonlyMap<string, HostFacts>;
  readonly outsiders: Outsiders;
  /** What was judged already, by everything that could make a difference. */
  readonly judged: Map<string, Judged>;
  /** Of one resource at one edge: what its ports have in common with others, where that is the same for all clients (alikeClass). */
  readonly classes: Map<string, string | undefined>;
  /** By which address a host asks another, by both. */
  readonly sources: Map<string, Address | undefined>;
  /** How what hosts ask comes in at an edge, known already. */
  readonly entries: Map<string, Crossed | undefined>;
  /** What tells clients apart, by host and by door. */
  readonly tells: Map<string, Tells>;
  readonly spectra: Spectra;
  readonly portKinds: Map<string, PortKinds>;
  /** What is said of targets by the port that clients ask from. */
  readonly answered: Map<string, readonly Judged[]>;
  /** Whether what does not hold, or cannot be told, comes with its trace. */
  readonly traces: boolean;
}

/** What one packet says of each promise of a forward. */
export interface Judged {
  readonly reaches: Finding;
  readonly client: Finding;
  readonly answers: Finding;
  readonly fits: Finding;
  /** Its largest packets arrive, or their senders are told what fits. */
  readonly sized: Finding;
  /** The edge keeps no connection of it. */
  readonly untracked: Finding;
  /** The hosts that its packets came through. */
  readonly through: readonly string[];
}

/** What one packet says of a promise. */
export interface Finding {
  readonly holds: Holds;
  readonly reason?: string;
  readonly flow?: Flow;
  /** What was there before the flow. */
  readonly after?: readonly Flow[];
  /** How that was left, where it was traced on another network than the flow. */
  readonly opened?: () => Connections;
  /** Where it was traced, if not on the ground's own network. */
  readonly network?: Network;
  /** What chance decided on its way (ChanceTrace). */
  readonly ways?: readonly number[];
  /** What of others it died of, where that was somebody's wish. */
  readonly refusedBy?: string;
  /** Where it holds: whom it is not for, and why. */
  readonly except?: Exception;
}

/** Clients, the port that they ask from, or both, and what of others refuses them. */
export interface Exception {
  readonly who?: string;
  readonly from?: string;
  readonly by: string;
}

export const fulfilled: Finding = { holds: true };

/** The worst of the findings, the first of equals; undefined where all hold. */
export const worstOf = (findings: readonly Finding[]): Finding | undefined =>
  findings.find(({ holds }) => holds === false) ?? findings.find(({ holds }) => holds === 'undecided');

/** What is promised, and what may happen to whom where it is not kept. */
export interface Vow {
  readonly promise: string;
  readonly risk: string;
}

/** The worst of the findings with the hops of its flow told. */
export function concluded(
  ground: Ground,
  resource: string,
  { promise, risk }: Vow,
  findings: readonly Finding[],
): Promised {
  const worst = worstOf(findings);
  const except = exceptions(findings);
  if (worst === undefined) return { resource, promise, holds: true, ...except };
  const isTold = ground.traces || worst.holds === false;
  const trace = worst.flow === undefined || !isTold ? undefined : tell(ground, worst.flow, worst);
  const doubt = worst.holds === false ? incomplete(ground, trace) : undefined;
  return {
    ...{ resource, promise, holds: doubt === undefined ? worst.holds : 'undecided' },
    risk,
    ...(worst.reason !== undefined && { reason: doubt === undefined ? worst.reason : `${worst.reason}; ${doubt}` }),
    ...except,
    ...(trace !== undefined && ground.traces && { trace: reportTrace(trace) }),
  };
}

function exceptions(findings: readonly Finding[]): Pick<Promised, 'except'> {
  if (findings.every(({ except }) => except === undefined)) return {};
  const all = new Map(
    findings.flatMap(({ except }) => (except === undefined ? [] : [[printException(except), except]])),
  );
  // Who is refused from everywhere is from each port, and what is refused from a port is so of everybody.
  const isTold = ({ who, from, by }: Exception): boolean =>
    who !== undefined &&
    from !== undefined &&
    [
      { who, by },
      { from, by },
    ].some((wider) => all.has(printException(wider)));
  return { except: [...all].flatMap(([text, each]) => (isTold(each) ? [] : [text])) };
}

/** `203.0.113.7 from port 25: edge: inet theirs input: …`. */
const printException = ({ who, from, by }: Exception): string =>
  `${[who, from].filter((each) => each !== undefined).join(' ')}: ${by}`;

function tell(ground: Ground, flow: Flow, { after = [], opened, ways, network = ground.network }: Finding): Trace {
  const connections: Connections = opened?.() ?? new Map();
  const draws = () => ways && { draws: startDraws(ways) };
  for (const each of after) simulate(network, each, { connections, ...draws() });
  return simulate(network, flow, { connections, hops: true, ...draws() });
}

/** What was only declared is not all that stands on a host: a broken promise there may be a thing nobody wrote down. */
function incomplete({ facts }: Ground, trace: Trace | undefined): string | undefined {
  if (trace === undefined) return undefined;
  const hosts = [trace.request, trace.reply, trace.next].flatMap((way) => way?.hops.map(({ host }) => host) ?? []);
  const unseen = [...new Set(hosts)].filter((host) => facts.get(host)?.source !== 'observed');
  return unseen.length === 0 ? undefined : `nobody has looked at ${unseen.join(' and ')}`;
}
