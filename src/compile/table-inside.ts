/** The table's part for `hairpin: false`: what asks from inside is not translated, and meets the edge itself. */
import type { ForwardShare } from '../host/index.ts';
import { match, meta, type NamedSet, type Rule, rule, type Statement, setReference } from '../nftables/index.ts';
import { acceptSets, goBack, isPorts, names, target } from './table-words.ts';

interface Inside {
  readonly sets: readonly NamedSet[];
  /** Before the forwards, for connections of others: those that come in by no link that the public addresses are behind. */
  readonly others: readonly Rule[];
  /** The same for connections of the edge itself. */
  readonly own: readonly Rule[];
}

/** A forward that is found by the interface needs none: by another one it is not found. */
export function insideRules(forwards: readonly ForwardShare[]): Inside {
  const outsideOnly = forwards.filter(({ hairpin }) => hairpin === false);
  const sets = acceptSets(
    outsideOnly.flatMap(({ match: at, protocol, ports }) =>
      'address' in at ? [{ address: at.address, protocol, ports }] : [],
    ),
    'sp_outside',
    'only',
  );
  const links = [...new Set(outsideOnly.flatMap(({ publicLinks }) => publicLinks))].sort();
  const rulesOf = (...by: readonly Statement[]): readonly Rule[] =>
    sets.map(({ set, family }) => rule(...by, isPorts, match(target(family), '==', setReference(set.name)), goBack));
  return {
    sets: sets.map(({ set }) => set),
    others: links.length === 0 ? [] : rulesOf(match(meta('iifname'), '!=', names(links))),
    own: rulesOf(),
  };
}
