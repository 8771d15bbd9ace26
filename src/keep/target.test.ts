/** What the watch over targets promises, whatever their probes say. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { choose, type HealthRules, holdDownOf, judge, MOST_HOLDS, startTarget, type TargetState } from './index.ts';

const anyRules = fc.record({
  failures: fc.integer({ min: 1, max: 6 }),
  holdDownMs: fc.integer({ min: 0, max: 5_000 }),
});
const anyProbes = fc.array(fc.record({ answered: fc.boolean(), afterMs: fc.integer({ min: 1, max: 2_000 }) }), {
  minLength: 1,
  maxLength: 200,
});

/** Every state that the probes lead to, the first being that before them, with its time. */
function course(
  rules: HealthRules,
  probes: readonly { readonly answered: boolean; readonly afterMs: number }[],
): readonly { readonly state: TargetState; readonly now: number }[] {
  let state = startTarget(true, 0);
  let now = 0;
  return [
    { state, now },
    ...probes.map(({ answered, afterMs }) => {
      now += afterMs;
      state = judge(state, answered, now, rules);
      return { state, now };
    }),
  ];
}

describe('a target', () => {
  test('never falls on fewer failures in a row than asked, and never later than that', () => {
    fc.assert(
      fc.property(anyRules, anyProbes, (rules, probes) => {
        let failed = 0;
        for (const [index, { state }] of course(rules, probes).slice(1).entries()) {
          const before = course(rules, probes)[index]?.state;
          failed = probes[index]?.answered === true ? 0 : failed + 1;
          if (before?.healthy === true) expect(state.healthy).toBe(failed < rules.failures);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('comes back after its hold-down and as many answers in a row, never before', () => {
    fc.assert(
      fc.property(anyRules, anyProbes, (rules, probes) => {
        const all = course(rules, probes);
        let fell = 0;
        let answered = 0;
        for (const [index, { state, now }] of all.slice(1).entries()) {
          const before = all[index]?.state ?? state;
          answered = probes[index]?.answered === true ? answered + 1 : 0;
          if (before.healthy && !state.healthy) fell = now;
          if (!before.healthy)
            expect(state.healthy).toBe(answered >= rules.failures && now - fell >= holdDownOf(before, rules));
        }
      }),
    );
  });

  test('is held down longer each time it falls soon after it came back, and not for ever', () => {
    const rules = { failures: 1, holdDownMs: 1_000 };
    let state = startTarget(true, 0);
    const held: number[] = [];
    let now = 1;
    for (let fall = 0; fall < 7; fall++) {
      state = judge(state, false, now, rules);
      const fell = now;
      while (!state.healthy) {
        now += 10;
        state = judge(state, true, now, rules);
      }
      held.push(now - fell);
      now += 10;
    }
    expect(held).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    expect(MOST_HOLDS).toBe(16);
    // It then holds for longer than that: the next fall is a first one.
    state = judge(state, true, now + 17_000, rules);
    state = judge(state, false, now + 17_010, rules);
    expect(holdDownOf(state, rules)).toBe(1_000);
  });
});

describe('of several targets', () => {
  const up = startTarget(true, 0);
  const down = startTarget(false, 0);
  const answering = { ...down, answers: true, inARow: 1 };
  for (const [what, states, chosen, before = []] of [
    ['the healthy ones are taken', [down, up, up], [false, true, true]],
    ['one that is held down is not taken beside a healthy one', [answering, up], [false, true]],
    ['one that is held down is better than one that is silent', [down, answering], [false, true]],
    ['none is taken where none answers', [down, down], [false, false]],
    ['one that is held down takes nothing from another', [answering, answering], [false, true], [false, true]],
    ['one that was taken and is silent now is not kept', [answering, down], [true, false], [false, true]],
  ] as const)
    test(what, () => expect(choose(states, before)).toEqual(chosen));

  test('a healthy one always is, and nothing else beside it', () => {
    const anyState = fc.record({
      healthy: fc.boolean(),
      answers: fc.boolean(),
      inARow: fc.nat(9),
      falls: fc.nat(9),
      since: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(anyState, { minLength: 1, maxLength: 5 }), fc.array(fc.boolean()), (states, before) => {
        const chosen = choose(states, before);
        if (states.some(({ healthy }) => healthy)) expect(chosen).toEqual(states.map(({ healthy }) => healthy));
        else for (const [index, taken] of chosen.entries()) if (taken) expect(states[index]?.answers).toBe(true);
      }),
    );
  });
});
