/** What the commands' flags have in common. */
import { InvalidArgumentError, Option } from 'commander';
import { parsePort } from '../net/index.ts';
import type { DrawingFormat } from './drawing/index.ts';
import type { Format, Output } from './output.ts';

export interface CommonFlags {
  readonly output?: Format | DrawingFormat;
  readonly color?: boolean;
}

export type Action<Flags> = (output: Output, flags: Flags) => Promise<number>;

export type Running = <Flags>(action: Action<Flags>) => (flags: Flags & CommonFlags) => Promise<void>;

/** An option that may be given again. */
export const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

/** `30s`, `500ms`, `2m` or plain seconds, as milliseconds. */
export function duration(text: string): number {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('a time is written 30s, 500ms or 2m.');
  const unit = match[2] === 'ms' ? 1 : match[2] === 'm' ? 60_000 : 1_000;
  return Number(match[1]) * unit;
}

export function portNumber(text: string): number {
  const port = parsePort(text);
  if (port === undefined) throw new InvalidArgumentError('a port is a number from 1 to 65535.');
  return port;
}

/** An option that takes a time, and says in the help what it is unless given, as one would write it; `read` gives milliseconds, or another unit. */
export const time = (flags: string, description: string, unlessGiven: string, read = duration): Option =>
  new Option(flags, description).argParser(read).default(read(unlessGiven), unlessGiven);
