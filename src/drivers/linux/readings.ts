import { createHash } from 'node:crypto';
import { decodeRecord, type HostFacts } from '../../host/index.ts';
import { readRuleset, type Table } from '../../nftables/index.ts';
import type { Listing } from './generation.ts';

/** The tables of a generation of the ruleset, while the links were these. */
export interface Standing {
  readonly generation: string;
  readonly links: string;
  readonly tables: readonly Table[];
}

/**
 * The two readings that grow with the number of forwards. A text that is the same as at the last look is not read again, and gives
 * the very same object: whoever compares two looks is done at once.
 */
export interface Readings {
  /** Throws a RulesetReadError, as readRuleset does. */
  readonly ruleset: (listing: Listing, links: string) => readonly Table[];
  /** What was read last, where it need not be listed again while its generation stands. */
  readonly standing: () => Standing | undefined;
  /** Of no text: that there is no record. */
  readonly record: (text: string) => Pick<HostFacts, 'record' | 'recordProblem'>;
}

/** Readings that nothing was read by yet. */
export function startReadings(): Readings {
  // Of the ruleset its sum is enough to know it by: with ten thousand forwards its text is megabytes.
  const tablesOf = lastOnly(readRuleset, (text) => createHash('sha256').update(text).digest('base64'));
  let standing: Standing | undefined;
  return {
    ruleset({ text, generation }, links) {
      standing = undefined;
      const tables = tablesOf(text);
      if (generation !== undefined) standing = { generation, links, tables };
      return tables;
    },
    standing: () => standing,
    record: lastOnly(readRecord),
  };
}

function readRecord(text: string): Pick<HostFacts, 'record' | 'recordProblem'> {
  if (text === '') return {};
  const decoded = decodeRecord(text);
  return 'record' in decoded ? { record: decoded.record } : { recordProblem: decoded.problem };
}

/** Keeps the last answer alone, and what its text is known by. */
function lastOnly<Answer>(read: (text: string) => Answer, known = (text: string) => text): (text: string) => Answer {
  let last: { readonly by: string; readonly answer: Answer } | undefined;
  return (text) => {
    const by = known(text);
    if (last?.by !== by) last = { by, answer: read(text) };
    return last.answer;
  };
}
