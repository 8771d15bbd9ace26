import { areLasting } from './elements-by-port.ts';
import { normalRule } from './normal-rule.ts';
import { mergeNeighbours, normalMapElement, normalSetElement, sortElements } from './normal-value.ts';
import type { Chain, Flowtable, NamedMap, NamedSet, SetElement, SetFlag, Table } from './ruleset.ts';

/**
 * The table without what does not matter, and the rest in one order and spelling: what was written and what the kernel lists
 * of it have equal normal forms. Handles, counter values and elements that packets made are gone.
 */
export const normalTable = (table: Table): Table => ({
  family: table.family,
  name: table.name,
  sets: [...table.sets].sort(byName).map(normalSet),
  maps: [...table.maps].sort(byName).map(normalMap),
  chains: [...table.chains].sort(byName).map((chain) => normalChain(chain, table)),
  ...((table.flowtables ?? []).length > 0 && {
    flowtables: [...(table.flowtables ?? [])].sort(byName).map(normalFlowtable),
  }),
  opaque: table.opaque,
});

const byName = (left: { readonly name: string }, right: { readonly name: string }): number =>
  left.name < right.name ? -1 : left.name > right.name ? 1 : 0;

/** The normal form of one chain of `table`. */
export function normalChain(chain: Chain, { family }: Pick<Table, 'family'>): Chain {
  const rules = chain.rules.map((rule) => normalRule(rule, family));
  if (chain.kind === 'regular') return { ...chain, rules };
  const { devices, ...rest } = chain;
  return { ...rest, ...(devices === undefined || devices.length === 0 ? {} : { devices: [...devices].sort() }), rules };
}

/** Its devices in one order, without what nft does not list. */
const normalFlowtable = (flowtable: Flowtable): Flowtable => ({
  ...flowtable,
  devices: [...new Set(flowtable.devices)].sort(),
  properties: [],
});

/** The normal form of a set, its elements sorted by key. */
export function normalSet(set: NamedSet): NamedSet {
  const elements = keptElements(set).map((element) => normalSetElement(element, set.type));
  const merged = set.extra?.['auto-merge'] === true ? mergeNeighbours(elements) : elements;
  return { ...normalHead(set), name: set.name, type: set.type, elements: sortElements(merged, set.type) };
}

/** The normal form of a map, its elements sorted by key. */
export function normalMap(map: NamedMap): NamedMap {
  const elements = keptElements(map).map((element) => normalMapElement(element, map.type, map.data));
  return {
    ...normalHead(map),
    name: map.name,
    type: map.type,
    data: map.data,
    elements: sortElements(elements, map.type),
  };
}

/** Elements that packets make come and go by themselves: those of a dynamic set, and any that expires. Mostly none does. */
export const keptElements = <Element extends SetElement>(set: {
  readonly flags: readonly SetFlag[];
  readonly elements: readonly Element[];
}): readonly Element[] => {
  if (set.flags.includes('dynamic')) return [];
  if (areLasting(set.elements)) return set.elements;
  for (const { extra } of set.elements)
    if (extra?.expires !== undefined) return set.elements.filter((each) => each.extra?.expires === undefined);
  return set.elements;
};

/** The size that nft gives a set by itself, once a rule adds to it. */
const ruleSetSize = 65_535;

/** nft 1.0.6 shows neither `dynamic` nor `auto-merge` in its JSON, so no comparison can rest on them. */
function normalHead({ flags, comment, extra }: NamedSet | NamedMap): Pick<NamedSet, 'flags' | 'comment' | 'extra'> {
  const kept = Object.entries(extra ?? {}).filter(
    ([name, value]) => name !== 'auto-merge' && !(name === 'size' && value === ruleSetSize),
  );
  return {
    flags: flags.filter((flag) => flag !== 'dynamic').sort(),
    ...(comment === undefined ? {} : { comment }),
    ...(kept.length === 0 ? {} : { extra: Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1))) }),
  };
}
