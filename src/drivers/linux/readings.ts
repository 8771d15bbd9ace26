import { decodeRecord, type HostFacts } from '../../host/index.ts';
import { readRuleset, type Table } from '../../nftables/index.ts';

/**
 * The two readings that grow with the number of forwards. A text that is the same as at the last look is not read again, and gives
 * the very same object: whoever compares two looks is done at once.
 */
export interface Readings {
  /** Throws a RulesetReadError, as readRuleset does. */
  readonly ruleset: (text: string) => readonly Table[];
  /** Of no text: that there is no record. */
  readonly record: (text: string) => Pick<HostFacts, 'record' | 'recordProblem'>;
}

/** Readings that nothing was read by yet. */
export const startReadings = (): Readings => ({ ruleset: lastOnly(readRuleset), record: lastOnly(readRecord) });

function readRecord(text: string): Pick<HostFacts, 'record' | 'recordProblem'> {
  if (text === '') return {};
  const decoded = decodeRecord(text);
  return 'record' in decoded ? { record: decoded.record } : { recordProblem: decoded.problem };
}

/** Keeps the last answer alone. */
function lastOnly<Answer>(read: (text: string) => Answer): (text: string) => Answer {
  let last: { readonly text: string; readonly answer: Answer } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, answer: read(text) };
    return last.answer;
  };
}
