import { compareElements, type ElementTypes } from './elements.ts';
import { isObject, onlyField } from './json.ts';
import { keptElements, normalChain, normalMap, normalSet } from './normal.ts';
import { referencesOf } from './reference.ts';
import type {
  Chain,
  Flowtable,
  MapElement,
  NamedMap,
  NamedSet,
  Rule,
  RulesetChange,
  RulesetObject,
  SetElement,
  SetFlag,
  Table,
} from './ruleset.ts';
import { signatureOf } from './signature.ts';

/**
 * What leads from one table to another, by their normal forms: named sets and maps element by element, chains whole.
 * The order carries no meaning, printTransaction finds its own. Empty if they are equal. Undefined is no table.
 * Throws TypeError for tables of two names.
 */
export function diffTable(before: Table | undefined, after: Table | undefined): readonly RulesetChange[] {
  const named = after ?? before;
  if (named === undefined) return [];
  const { family, name } = named;
  if (before !== undefined && after !== undefined && (before.family !== family || before.name !== name)) {
    throw new TypeError(`table ${before.family} ${before.name} does not become ${family} ${name}`);
  }
  const table = { family, table: name };
  const from = before ?? { family, name, sets: [], maps: [], chains: [], opaque: [] };
  const to = after ?? { family, name, sets: [], maps: [], chains: [], opaque: [] };
  const flowtables = diffFlowtables(from.flowtables ?? [], to.flowtables ?? [], table);
  const stores = [
    ...diffStores(storesOf(from), storesOf(to), table),
    ...flowtables,
    ...diffObjects(from.opaque, to.opaque, table),
  ];
  // A chain that refers to a set which is removed and added has to let go of it meanwhile.
  const replaced = new Set([
    ...(from.sets.length + from.maps.length === 0 ? [] : replacedNames(storesOf(from), storesOf(to))),
    ...flowtables.flatMap((change) => (change.action === 'change' ? replacedFlowtable(change) : [])),
  ]);
  const chains = diffChains(from, to, replaced);
  const of = { kind: 'table', ...table } as const;
  if (before === undefined) return [{ action: 'add', after: of }, ...stores, ...chains];
  return after === undefined ? [...chains, ...stores, { action: 'remove', before: of }] : [...stores, ...chains];
}

/** The table a part stands in. */
type Place = Pick<RulesetObject, 'family' | 'table'>;

/** Named sets and maps: nft gives them one space of names. */
type Store =
  | { readonly kind: 'set'; readonly of: NamedSet; readonly head: string }
  | { readonly kind: 'map'; readonly of: NamedMap; readonly head: string };

function storesOf(table: Table): ReadonlyMap<string, Store> {
  const stores = new Map<string, Store>();
  for (const of of table.sets) {
    stores.set(of.name, { kind: 'set', of, head: signatureOf(normalSet({ ...of, elements: fixedElements(of) })) });
  }
  for (const of of table.maps) {
    stores.set(of.name, { kind: 'map', of, head: signatureOf(normalMap({ ...of, elements: fixedElements(of) })) });
  }
  return stores;
}

/**
 * The elements that stand and fall with their set: nft 1.0.6 crashes at any `add element` to an interval set that holds `*`,
 * so such a set is replaced whole.
 */
const fixedElements = <Element extends SetElement>(of: {
  readonly flags: readonly SetFlag[];
  readonly elements: readonly Element[];
}): readonly Element[] =>
  of.flags.includes('interval') && of.elements.some(({ key }) => key.kind === 'wildcard') ? of.elements : [];

const isSameStore = (left: Store, right: Store): boolean => left.kind === right.kind && left.head === right.head;

/** The sets and maps that have to be removed and added, as nft cannot change their type or flags. */
function replacedNames(from: ReadonlyMap<string, Store>, to: ReadonlyMap<string, Store>): readonly string[] {
  return [...to].flatMap(([name, store]) => {
    const old = from.get(name);
    return old === undefined || isSameStore(old, store) ? [] : [name];
  });
}

function diffStores(
  from: ReadonlyMap<string, Store>,
  to: ReadonlyMap<string, Store>,
  place: Place,
): readonly RulesetChange[] {
  const changes: RulesetChange[] = [];
  for (const [name, old] of from) {
    const store = to.get(name);
    if (store !== undefined && isSameStore(old, store)) continue;
    for (const before of elementObjects(old, place)) changes.push({ action: 'remove', before });
    changes.push({ action: 'remove', before: headObject(old, place) });
  }
  for (const [name, store] of to) {
    const old = from.get(name);
    if (old === undefined || !isSameStore(old, store)) {
      changes.push({ action: 'add', after: headObject(store, place) });
      for (const after of elementObjects(store, place)) changes.push({ action: 'add', after });
    } else if (!isDynamic(old) && !isDynamic(store)) {
      for (const change of diffElements(old, store, place)) changes.push(change);
    }
  }
  return changes;
}

function diffFlowtables(from: readonly Flowtable[], to: readonly Flowtable[], place: Place): readonly RulesetChange[] {
  const object = (flowtable: Flowtable): RulesetObject => ({ kind: 'flowtable', ...place, flowtable });
  const wanted = new Set(to.map(({ name }) => name));
  const old = new Map(from.map((each) => [each.name, each]));
  const identity = ({ priority, devices }: Flowtable): string => signatureOf([priority, [...new Set(devices)].sort()]);
  return [
    ...from
      .filter(({ name }) => !wanted.has(name))
      .map((each): RulesetChange => ({ action: 'remove', before: object(each) })),
    ...to.flatMap((each): readonly RulesetChange[] => {
      const before = old.get(each.name);
      if (before === undefined) return [{ action: 'add', after: object(each) }];
      // What nft does not list is taken for what is wanted.
      const stands = { ...before, properties: each.properties };
      return identity(before) === identity(each)
        ? []
        : [{ action: 'change', before: object(stands), after: object(each) }];
    }),
  ];
}

/** The name of a flowtable that has to be removed and added: devices alone come and go. */
const replacedFlowtable = ({ before, after }: Extract<RulesetChange, { action: 'change' }>): readonly string[] =>
  before.kind === 'flowtable' && after.kind === 'flowtable' && before.flowtable.priority !== after.flowtable.priority
    ? [after.flowtable.name]
    : [];

const isDynamic = ({ of }: Store): boolean => of.flags.includes('dynamic');

const headObject = (store: Store, place: Place): RulesetObject =>
  store.kind === 'set'
    ? { kind: 'set', ...place, set: { ...store.of, elements: [] } }
    : { kind: 'map', ...place, map: { ...store.of, elements: [] } };

/** The elements of a set or map, and what the plan calls one of them. */
interface Elements<Element> {
  readonly elements: readonly Element[];
  readonly types: ElementTypes;
  readonly objectOf: (element: Element) => RulesetObject;
}

const mapElements = (
  { name: map, type: key, data, ...of }: NamedMap,
  { family, table }: Place,
): Elements<MapElement> => ({
  elements: keptElements<MapElement>(of),
  types: { key, data },
  objectOf: (element) => ({ kind: 'mapElement', family, table, map, element }),
});

function setElements(named: NamedSet, place: Place): Elements<SetElement> {
  // Neighbours that the kernel merges are merged on both sides: they are compared, and written, as it lists them.
  const set = named.extra?.['auto-merge'] === true ? normalSet(named) : named;
  return {
    elements: keptElements<SetElement>(set),
    types: { key: set.type },
    objectOf: (element) => ({ kind: 'setElement', ...place, set: set.name, element }),
  };
}

function elementObjects(store: Store, place: Place): readonly RulesetObject[] {
  const objects = <Element extends SetElement>({
    elements,
    types,
    objectOf,
  }: Elements<Element>): readonly RulesetObject[] =>
    compareElements([], elements, types).set.map(({ after }) => objectOf(after));
  return store.kind === 'map' ? objects(mapElements(store.of, place)) : objects(setElements(store.of, place));
}

/** Both are of one kind: isSameStore. */
function diffElements(old: Store, store: Store, place: Place): readonly RulesetChange[] {
  if (old.kind === 'map' && store.kind === 'map')
    return changesBetween(mapElements(old.of, place), mapElements(store.of, place));
  if (old.kind === 'set' && store.kind === 'set')
    return changesBetween(setElements(old.of, place), setElements(store.of, place));
  return [];
}

function changesBetween<Element extends SetElement>(
  from: Elements<Element>,
  to: Elements<Element>,
): readonly RulesetChange[] {
  const { removed, set } = compareElements(from.elements, to.elements, to.types);
  return [
    ...removed.map((element): RulesetChange => ({ action: 'remove', before: from.objectOf(element) })),
    ...set.map(
      ({ before, after }): RulesetChange =>
        before === undefined
          ? { action: 'add', after: to.objectOf(after) }
          : { action: 'change', before: from.objectOf(before), after: to.objectOf(after) },
    ),
  ];
}

function diffChains(from: Table, to: Table, replaced: ReadonlySet<string>): readonly RulesetChange[] {
  const place = { family: to.family, table: to.name };
  const object = (chain: Chain): RulesetObject => ({ kind: 'chain', ...place, chain: withoutHandles(chain) });
  const old = new Map(from.chains.map((chain) => [chain.name, chain] as const));
  const wanted = new Set(to.chains.map(({ name }) => name));
  const changes: RulesetChange[] = [];
  for (const chain of from.chains) {
    if (!wanted.has(chain.name)) changes.push({ action: 'remove', before: object(chain) });
  }
  for (const chain of to.chains) {
    const before = old.get(chain.name);
    if (before === undefined) changes.push({ action: 'add', after: object(chain) });
    else if (
      signatureOf(normalChain(before, from)) !== signatureOf(normalChain(chain, to)) ||
      [...referencesOf(chain)].some((name) => replaced.has(name))
    ) {
      changes.push({ action: 'change', before: object(before), after: object(chain) });
    }
  }
  return changes;
}

const withoutHandles = (chain: Chain): Chain => ({
  ...chain,
  rules: chain.rules.map(
    ({ statements, comment }): Rule => ({ statements, ...(comment === undefined ? {} : { comment }) }),
  ),
});

/** What nft deletes by family, table and name. A rule goes with its chain. */
const deletable: ReadonlySet<string> = new Set([
  'table',
  'chain',
  'set',
  'map',
  'flowtable',
  'counter',
  'quota',
  'limit',
  'ct helper',
  'ct timeout',
  'ct expectation',
  'secmark',
  'synproxy',
]);

function diffObjects(from: readonly unknown[], to: readonly unknown[], place: Place): readonly RulesetChange[] {
  const kept = new Set(to.map(signatureOf));
  const known = new Set(from.map(signatureOf));
  return [
    ...from
      .filter((json) => !kept.has(signatureOf(json)))
      .flatMap((json) => objectOf(json, place))
      .map((before): RulesetChange => ({ action: 'remove', before })),
    ...to
      .filter((json) => !known.has(signatureOf(json)))
      .flatMap((json) => objectOf(json, place))
      .map((after): RulesetChange => ({ action: 'add', after })),
  ];
}

function objectOf(json: unknown, place: Place): readonly RulesetObject[] {
  const [type, content] = onlyField(json) ?? [];
  if (type === undefined || !deletable.has(type) || !isObject(content) || typeof content.name !== 'string') return [];
  return [{ kind: 'object', ...place, type, name: content.name, json }];
}
