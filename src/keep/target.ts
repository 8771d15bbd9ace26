/** When a target counts as healthy: by its probes in order, and for how long it stays out once it has failed. */

/** How a target is judged. */
export interface HealthRules {
  /** Failed probes in a row that make it unhealthy; as many answered ones make it healthy again. */
  readonly failures: number;
  /** How long it stays out after its first fall, in milliseconds; twice as long after each further one, up to MOST_HOLDS times. */
  readonly holdDownMs: number;
}

export interface TargetState {
  readonly healthy: boolean;
  /** Whether the last probe was answered. */
  readonly answers: boolean;
  /** Probes in a row that said the same as the last one. */
  readonly inARow: number;
  /** How often it fell since it last held for as long as it would have been held down. */
  readonly falls: number;
  /** When it last became healthy or unhealthy, in milliseconds of any clock that only goes on. */
  readonly since: number;
}

/** A target that flaps is held down this many times as long as at first, at most. */
export const MOST_HOLDS = 16;

/** A target of which nothing was heard yet: as it stood before. */
export const startTarget = (healthy: boolean, now: number): TargetState => ({
  healthy,
  answers: healthy,
  inARow: 0,
  falls: healthy ? 0 : 1,
  since: now,
});

/** How long the target is held down after its last fall. */
export const holdDownOf = ({ falls }: Pick<TargetState, 'falls'>, { holdDownMs }: HealthRules): number =>
  holdDownMs * Math.min(MOST_HOLDS, 2 ** Math.max(0, falls - 1));

/** The state after one more probe. */
export function judge(state: TargetState, answered: boolean, now: number, rules: HealthRules): TargetState {
  const inARow = answered === state.answers ? state.inARow + 1 : 1;
  const next = { ...state, answers: answered, inARow };
  if (state.healthy) {
    if (!answered && inARow >= rules.failures) {
      // One that has held for longer than it would be held down has not been flapping.
      const steady = now - state.since > holdDownOf(state, rules);
      return { ...next, healthy: false, falls: steady ? 1 : state.falls + 1, since: now };
    }
    return next;
  }
  const isOut = now - state.since < holdDownOf(state, rules);
  return answered && inARow >= rules.failures && !isOut ? { ...next, healthy: true, since: now } : next;
}

/**
 * Which targets take traffic, by their places: the healthy ones; where none is, those of `before` that still answer, so that one which is held
 * down takes nothing from another that is held down too; else those that answered last; where none does, none, and whoever compiles
 * that keeps to the first.
 */
export function choose(states: readonly TargetState[], before: readonly boolean[]): readonly boolean[] {
  if (states.some(({ healthy }) => healthy)) return states.map(({ healthy }) => healthy);
  const answering = states.map(({ answers, inARow }) => answers && inARow > 0);
  const standing = answering.map((answers, index) => answers && before[index] === true);
  return standing.includes(true) ? standing : answering;
}
