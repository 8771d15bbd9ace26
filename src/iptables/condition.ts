/** What a match asks of a packet, in nft's statements. */
import type { Family } from '../net/index.ts';
import type { NamedSet, Statement } from '../nftables/index.ts';
import type { Option } from './rule-line.ts';

/**
 * Ways in which a match holds; the statements of one way hold together. iptables can say "this or that" in one rule where nft
 * needs two. No two ways hold for one packet, so that a rule made of them is run once. None at all: it never holds.
 */
export type Condition = readonly (readonly Statement[])[];

/** What a rule says of itself beside its matches and target. */
export interface RuleContext {
  readonly family: Family;
  /** What `-p` names, without a `!`. */
  readonly protocol?: string;
  /** The built-in chain the rule stands in; undefined in a chain of the user's. */
  readonly hook?: string;
  /** Whether the chain it goes to writes the packet's address into a list of `recent`: then who is in that list came by there. */
  readonly remembers?: (list: string) => boolean;
  /** The sets of ipset that are known. */
  readonly sets: ReadonlyMap<string, NamedSet>;
}

/** Reads one option, or all options of a match; undefined where it has no equal in nft's type. */
export type ReadOption = (option: Option, context: RuleContext) => Condition | undefined;
export type ReadOptions = (options: readonly Option[], context: RuleContext) => Condition | undefined;

/** How a match is read: the values each option takes, and what they mean. An option that is not listed makes the match opaque. */
export interface Match {
  readonly values: Readonly<Record<string, number>>;
  readonly read: ReadOptions;
}

/** It holds for every packet. */
export const always: Condition = [[]];
/** It holds for none. */
export const never: Condition = [];
/** One way. */
export const all = (...statements: readonly Statement[]): Condition => [statements];

/** Both hold: each way of the one with each of the other. */
export const both = (left: Condition, right: Condition): Condition =>
  left.flatMap((one) => right.map((other) => [...one, ...other]));

/** Each option is a condition of its own, and all must hold. */
export const eachOption =
  (readers: Readonly<Record<string, ReadOption>>): ReadOptions =>
  (options, context) =>
    options.reduce<Condition | undefined>((held, option) => {
      const condition = readers[option.name]?.(option, context);
      return held === undefined || condition === undefined ? undefined : both(held, condition);
    }, always);

/** The other of `==` and `!=` where the option has a `!`. */
export const equality = ({ negated }: Option): '==' | '!=' => (negated ? '!=' : '==');
