/**
 * The table's part for what asks from inside. With `hairpin: false` it is not translated, and meets the edge itself. A leased address is
 * found by the link that a packet comes in by, and who asks from inside comes by another or by none: there every address of the host counts
 * but those that are known to be no lease.
 */
import type { ForwardShare } from '../host/index.ts';
import { type Address, type Family, hostPrefix, isPublicAddress, parsePrefix, printAddress } from '../net/index.ts';
import {
  fib,
  jump,
  match,
  meta,
  type NamedSet,
  payload,
  prefix,
  type Rule,
  rule,
  type Statement,
  setReference,
  symbol,
} from '../nftables/index.ts';
import { leasedLinks, withInside } from './table-found.ts';
import { ADDRESS_TYPE, acceptSets, FAMILIES, goBack, IP, isPorts, names, target } from './table-words.ts';

interface Inside {
  readonly sets: readonly NamedSet[];
  /** Before the forwards, for connections of others: those that come in by no link that the public addresses are behind. */
  readonly others: readonly Rule[];
  /** The same for connections of the edge itself. */
  readonly own: readonly Rule[];
  /** After the forwards: connections of others and of the edge itself that ask for a leased address. */
  readonly othersLeased: readonly Rule[];
  readonly ownLeased: readonly Rule[];
}

/** No lease of a public link: what the Internet does not know (RFC 1918, 3927, 6598, 4193, 4291). */
const NEVER_PUBLIC = {
  4: ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'],
  6: ['::1/128', 'fc00::/7', 'fe80::/10'],
} as const;

/** `lasting` are the host's addresses on other links than the leased ones. */
export function insideRules(
  forwards: readonly ForwardShare[],
  lasting: readonly Address[],
  isUnmarked: Statement,
): Inside {
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
  const leased = leasedRules(forwards, lasting, isUnmarked);
  return {
    sets: [...sets.map(({ set }) => set), ...leased.sets],
    othersLeased: leased.others,
    ownLeased: leased.own,
    others: links.length === 0 ? [] : rulesOf(match(meta('iifname'), '!=', names(links))),
    own: rulesOf(),
  };
}

function leasedRules(
  forwards: readonly ForwardShare[],
  lasting: readonly Address[],
  isUnmarked: Statement,
): { readonly sets: readonly NamedSet[]; readonly others: readonly Rule[]; readonly own: readonly Rule[] } {
  const links = leasedLinks(forwards);
  const twins = withInside(forwards).slice(forwards.length);
  const parts = FAMILIES.filter((family) => twins.some(({ to }) => to.family === family)).map((family) => {
    const set = notLeased(family, lasting);
    const isLeased = [
      match(payload(IP[family], 'daddr'), '!=', setReference(set.name)),
      match(fib('type', 'daddr'), '==', symbol('local')),
    ];
    return {
      set,
      // Who asks for the address of the very link that they are behind asks for this host.
      others: rule(
        match(meta('iifname'), '!=', names(links[family])),
        isUnmarked,
        ...isLeased,
        match(fib('type', 'daddr', 'iif'), '!=', symbol('local')),
        jump('sp_inside'),
      ),
      own: rule(...isLeased, jump('sp_inside')),
    };
  });
  return {
    sets: parts.map(({ set }) => set),
    others: parts.map(({ others }) => others),
    own: parts.map(({ own }) => own),
  };
}

const notLeased = (family: Family, lasting: readonly Address[]): NamedSet => ({
  name: `sp_lasting${family}`,
  type: [ADDRESS_TYPE[family]],
  flags: ['interval'],
  elements: [
    ...NEVER_PUBLIC[family].flatMap((each) => parsePrefix(each) ?? []).map((each) => ({ key: prefix(each) })),
    ...[...new Map(lasting.map((each) => [printAddress(each), each])).values()]
      .filter((each) => each.family === family && isPublicAddress(each))
      .map((each) => ({ key: prefix(hostPrefix(each)) })),
  ],
});
