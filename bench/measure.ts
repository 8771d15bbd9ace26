/** How this bench measures: things that are compared take turns (A B A B ...), and of each the median counts. */

import type { Spread } from './rounds.ts';

/** One line of the table. */
export interface Line {
  readonly what: string;
  readonly value: number;
  readonly unit: 'ms' | 'MiB' | '%' | 'x' | '';
  /** How far the rounds went from `value`. */
  readonly spread?: Spread;
  /** What it stands beside, measured in turns with it, in the same unit. */
  readonly beside?: { readonly what: string; readonly value: number };
  readonly goal?: Goal;
}

/** A table of its own: cells as they are printed. */
export interface Grid {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What one part of the bench gives. */
export interface Part {
  readonly lines: readonly Line[];
  readonly grids: readonly Grid[];
  /** What must be known to make it again: seeds, rounds. */
  readonly notes: readonly string[];
}

export interface Goal {
  readonly text: string;
  readonly met: boolean;
}

/** The middle one; of an even number, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  if (low === undefined || high === undefined) throw new RangeError('the median of nothing');
  return (low + high) / 2;
}

/** How long `work` takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Runs all of `works` in turns, `rounds` times, and gives the milliseconds of each. The first round is not counted: files come from disk. */
export async function inTurns<Name extends string>(
  rounds: number,
  works: Readonly<Record<Name, () => Promise<unknown>>>,
): Promise<(name: Name) => readonly number[]> {
  const taken = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++)
    for (const [name, work] of Object.entries<() => Promise<unknown>>(works)) {
      const ms = await timed(work);
      if (round > 0) taken.set(name, [...(taken.get(name) ?? []), ms]);
    }
  return (name) => taken.get(name) ?? [];
}

/**
 * Arguments for node that make a program end with its own /proc/self/status on stderr. Its VmHWM is the peak of this process alone;
 * getrusage's would begin with that of the process it was forked from.
 */
export const TELL_PEAK: readonly string[] = [
  '--import',
  `data:text/javascript,import{readFileSync}from'node:fs';process.on('exit',()=>process.stderr.write(readFileSync('/proc/self/status')))`,
];

/** The peak that TELL_PEAK told, in MiB. Throws where it told none. */
export function readPeak(stderr: string): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(stderr)?.[1];
  if (kibibytes === undefined) throw new Error(`no peak of memory was told: ${stderr}`);
  return Number(kibibytes) / 1024;
}

/** A goal that is an upper limit. */
export const atMost = (limit: number, unit: 'ms' | 'MiB', value: number): Goal => ({
  text: `at most ${limit} ${unit}`,
  met: value <= limit,
});
