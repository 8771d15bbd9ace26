/** Maps from what a forward listens at to a chain, of the same kinds as those that translate: exact or ranges, by address or by lease. */
import {
  concat,
  type MapElement,
  type NamedMap,
  type Rule,
  rule,
  setReference,
  symbol,
  type Verdict,
  verdictMap,
} from '../nftables/index.ts';
import { type Found, isFromInside, wayOf } from './table-found.ts';
import { isPorts, isRange, portValue } from './table-words.ts';

/** Forwards of one name that ask for the same; two sets may each have a PortForward of one name, and then `name` tells them apart. */
export interface ForwardGroup<F extends Found = Found> {
  readonly name: string;
  readonly forwards: readonly F[];
}

/** The forwards by name and by what `contentOf` says of them; those of which it says nothing are left out. */
export function groupForwards<F extends Found>(
  forwards: readonly F[],
  contentOf: (forward: F) => unknown,
): readonly ForwardGroup<F>[] {
  const byName = new Map<string, Map<string, F[]>>();
  for (const forward of forwards) {
    const content = contentOf(forward);
    if (content === undefined) continue;
    const key = JSON.stringify(content, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
    const ofName = byName.get(forward.name) ?? new Map<string, F[]>();
    byName.set(forward.name, ofName);
    const group = ofName.get(key);
    if (group === undefined) ofName.set(key, [forward]);
    else group.push(forward);
  }
  return [...byName].flatMap(([name, ofName]) =>
    [...ofName.values()].map((group, index) => ({
      name: index === 0 ? name : `${name}/${index + 1}`,
      forwards: group,
    })),
  );
}

export interface Verdicts {
  readonly maps: readonly NamedMap[];
  /** One for each map: looks it up. */
  readonly rules: readonly Rule[];
  /** The same for those of leased addresses, asked from inside. */
  readonly inside: readonly Rule[];
}

/** A verdict for each forward, by maps whose names begin with `prefix`. */
export function verdictMaps(
  prefix: string,
  entries: readonly { readonly forward: Found; readonly verdict: Verdict }[],
): Verdicts {
  const maps = new Map<
    string,
    { readonly map: NamedMap; readonly elements: MapElement[]; readonly rule: Rule; readonly inside: boolean }
  >();
  for (const { forward, verdict } of entries) {
    const { suffix, type, guard, where, key } = wayOf(forward);
    const { protocol, ports, to } = forward;
    const name = `${prefix}${suffix}${to.family}${isRange(ports) ? 'r' : ''}`;
    const elements = maps.get(name)?.elements ?? [];
    elements.push({ key: concat(...where, symbol(protocol), portValue(ports)), data: verdict });
    maps.set(name, {
      map: { name, type, data: ['verdict'], flags: isRange(ports) ? ['interval'] : [], elements },
      elements,
      rule: rule(...guard, isPorts, verdictMap(key, setReference(name))),
      inside: isFromInside(forward),
    });
  }
  const ordered = [...maps].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
  const rulesOf = (inside: boolean): readonly Rule[] =>
    ordered.filter((each) => each.inside === inside).map((each) => each.rule);
  return { maps: ordered.map(({ map }) => map), rules: rulesOf(false), inside: rulesOf(true) };
}
