/** Asks the targets of forwards, from the hosts that forward, and judges by the answers which of them take traffic. */
import type { TargetHealth, TargetProbe } from '../../compile/index.ts';
import { backoff, choose, judge, startTarget, type TargetState } from '../../keep/index.ts';
import { printAddress } from '../../net/index.ts';
import type { Transport } from '../../transport/index.ts';
import type { Log } from './log.ts';
import { NO_PROBER, probeCommand, readOutcome } from './probe-script.ts';
import { pause } from './wake.ts';

export interface HealthOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly transportOf: (host: string) => Transport | undefined;
  /** Whether it was left out when somebody last asked: it begins as it stands. */
  readonly wasSilent: (probe: TargetProbe) => boolean;
  /** Other targets take traffic from the host than before. */
  readonly onMove: (host: string) => void;
}

export interface WatchedTarget {
  readonly probe: TargetProbe;
  readonly state: TargetState;
  /** Whether it takes traffic, as far as its answers decide that. */
  readonly chosen: boolean;
}

export interface HealthWatch {
  /** From now on these are asked, and no others. */
  ask(probes: readonly TargetProbe[]): void;
  /** Of all that are asked. */
  health(): TargetHealth;
  targets(): readonly WatchedTarget[];
}

/** A target that never answered has this long until its silence counts, in milliseconds: its tunnel may be a moment old. */
const GRACE_MS = 3_000;

/** It is held down for ten times as long as it takes to be found out. */
const HOLD = 10;

/** A host without anything to ask with is asked about that again after so many milliseconds. */
const NO_PROBER_MS = 300_000;

interface Target {
  probe: TargetProbe;
  state: TargetState;
  chosen: boolean;
  readonly since: number;
  hasAnswered: boolean;
}

interface Asked {
  readonly key: string;
  readonly stop: AbortController;
}

/** Starts with none. */
export function startHealth(options: HealthOptions): HealthWatch {
  const { log, signal, transportOf, wasSilent, onMove } = options;
  /** By host, then by forward, in the order of its targets. */
  const watched = new Map<string, Map<string, Target[]>>();
  const asking = new Map<string, Asked>();

  const onOutcome = (target: Target, answered: boolean): void => {
    const { probe } = target;
    const now = performance.now();
    if (answered) target.hasAnswered = true;
    else if (!target.hasAnswered && now - target.since < GRACE_MS) return;
    const before = target.state;
    const holdDownMs = HOLD * probe.failures * probe.intervalMs;
    target.state = judge(before, answered, now, { failures: probe.failures, holdDownMs });
    if (target.state.healthy !== before.healthy) tellTarget(target);
    settle(probe);
  };

  const tellTarget = ({ probe, state }: Target): void => {
    const where = { host: probe.host, resource: `PortForward/${probe.forward}` };
    if (state.healthy) log('info', 'targets', `PortForward ${probe.forward}: ${probe.id} answers again`, where);
    else log('warn', 'targets', `PortForward ${probe.forward}: ${probe.id} does not answer`, where);
  };

  /** Chooses anew among the targets of a forward at a host. */
  const settle = ({ host, forward }: TargetProbe): void => {
    const targets = watched.get(host)?.get(forward) ?? [];
    const chosen = choose(
      targets.map(({ state }) => state),
      targets.map((target) => target.chosen),
    );
    if (targets.every((target, index) => target.chosen === chosen[index])) return;
    for (const [index, target] of targets.entries()) target.chosen = chosen[index] === true;
    if (!chosen.includes(true))
      log('warn', 'targets', `PortForward ${forward}: no target answers; it is sent on as if all did`, {
        ...{ host, resource: `PortForward/${forward}` },
      });
    onMove(host);
  };

  const follow = async (host: string, probes: readonly TargetProbe[], stop: AbortSignal): Promise<void> => {
    const targetsOf = (probe: TargetProbe | undefined): readonly Target[] =>
      probe === undefined
        ? []
        : [...(watched.get(host)?.values() ?? [])].flatMap((targets) =>
            targets.filter((target) => howAsked(target.probe) === howAsked(probe)),
          );
    for (let failures = 1; !stop.aborted; failures++) {
      const transport = transportOf(host);
      let isLacking = false;
      const onLine = (line: string): void => {
        isLacking ||= line === NO_PROBER;
        const outcome = readOutcome(line);
        if (outcome === undefined) return;
        failures = 0;
        for (const target of targetsOf(probes[outcome.index])) onOutcome(target, outcome.answered);
      };
      try {
        await transport?.follow(probeCommand(probes, false), onLine, stop);
      } catch {
        // A host that does not answer is told by whoever looks at it; what is known of its targets stands meanwhile.
      }
      if (isLacking) log('error', 'failed', 'targets cannot be asked: install perl there', { host });
      await pause(isLacking ? NO_PROBER_MS : backoff(failures, Math.random()), stop);
    }
  };

  const watchOne = (probe: TargetProbe): Target => {
    const before = watched
      .get(probe.host)
      ?.get(probe.forward)
      ?.find((each) => each.probe.id === probe.id);
    if (before !== undefined) return Object.assign(before, { probe });
    const now = performance.now();
    const healthy = !wasSilent(probe);
    return { probe, state: startTarget(healthy, now), chosen: healthy, since: now, hasAnswered: false };
  };

  const askHost = (host: string, probes: readonly TargetProbe[]): void => {
    const forwards = new Map<string, Target[]>();
    for (const probe of probes) {
      const target = watchOne(probe);
      const targets = forwards.get(probe.forward);
      if (targets === undefined) forwards.set(probe.forward, [target]);
      else targets.push(target);
    }
    watched.set(host, forwards);
    // Forwards that ask the same ask it once: ten thousand may lead to one node.
    const asked = [...new Map(probes.map((probe) => [howAsked(probe), probe])).values()];
    const key = asked.map(howAsked).join('\n');
    if (asking.get(host)?.key === key) return;
    asking.get(host)?.stop.abort(new Error('others are asked'));
    const stop = new AbortController();
    asking.set(host, { key, stop });
    void follow(host, asked, stop.signal);
  };

  signal.addEventListener('abort', () => {
    for (const { stop } of asking.values()) stop.abort(signal.reason);
  });

  return {
    ask(probes) {
      if (signal.aborted) return;
      const hosts = new Map<string, TargetProbe[]>();
      for (const probe of probes) {
        const own = hosts.get(probe.host);
        if (own === undefined) hosts.set(probe.host, [probe]);
        else own.push(probe);
      }
      for (const [host, { stop }] of asking) {
        if (hosts.has(host)) continue;
        stop.abort(new Error('nobody is asked'));
        asking.delete(host);
        watched.delete(host);
      }
      for (const [host, own] of hosts) askHost(host, own);
    },
    health: () =>
      new Map(
        [...watched].map(([host, forwards]) => [
          host,
          new Map([...forwards].map(([forward, targets]) => [forward, chosenByPlace(targets)])),
        ]),
      ),
    targets: () => [...watched.values()].flatMap((forwards) => [...forwards.values()].flat()),
  };
}

const howAsked = ({ address, port, path, any, intervalMs }: TargetProbe): string =>
  `${printAddress(address)} ${port} ${path ?? any ?? ''} ${intervalMs}`;

function chosenByPlace(targets: readonly Target[]): readonly (boolean | undefined)[] {
  const chosen: (boolean | undefined)[] = [];
  for (const target of targets) chosen[target.probe.index] = target.chosen;
  return chosen;
}
