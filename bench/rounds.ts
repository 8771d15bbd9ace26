/** Rounds in which all that is compared takes turns, each time in another order, and figures that are ratios within one round. */
import { median } from './measure.ts';

/** Of each plane each figure, one number a round. */
export type Samples = Map<string, number[]>;

/** A middle and how far the rounds went from it. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function note(samples: Samples, of: string, figure: string, value: number): void {
  const key = `${of}: ${figure}`;
  samples.set(key, [...(samples.get(key) ?? []), value]);
}

const valuesOf = (samples: Samples, of: string, figure: string): readonly number[] =>
  samples.get(`${of}: ${figure}`) ?? [];

export const spreadOf = (samples: Samples, of: string, figure: string): Spread | undefined =>
  spread(valuesOf(samples, of, figure));

/** `of` divided by `by`, round by round; undefined where one of them was not measured. */
export function ratioOf(
  samples: Samples,
  of: string,
  by: string,
  figure: string,
  figureBy = figure,
): Spread | undefined {
  const under = valuesOf(samples, by, figureBy);
  const ratios = valuesOf(samples, of, figure).flatMap((value, round) => {
    const divisor = under[round];
    return divisor === undefined ? [] : [value / divisor];
  });
  return spread(ratios);
}

export const spread = (values: readonly number[]): Spread | undefined =>
  values.length === 0 ? undefined : { median: median(values), min: Math.min(...values), max: Math.max(...values) };

export const printSpread = ({ median, min, max }: Spread, digits = 2): string =>
  `${median.toFixed(digits)} [${min.toFixed(digits)}..${max.toFixed(digits)}]`;

/** The same in another order, each order as likely (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  const rest = [...items];
  const taken: T[] = [];
  while (rest.length > 0) taken.push(...rest.splice(Math.floor(random() * rest.length), 1));
  return taken;
}
