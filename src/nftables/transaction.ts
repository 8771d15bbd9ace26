import { printName, printNumber, printWords } from './name.ts';
import { normalRule } from './normal-rule.ts';
import {
  elementPrinter,
  printChainHeader,
  printElement,
  printFlowtable,
  printMapHeader,
  printSetHeader,
} from './print.ts';
import { cannotWrite, printValue } from './print-expression.ts';
import { printRule } from './print-statement.ts';
import type {
  BaseChain,
  Chain,
  Flowtable,
  Rule,
  RulesetChange,
  RulesetObject,
  SetElement,
  TableFamily,
} from './ruleset.ts';
import { signatureOf } from './signature.ts';

/** Elements in one command: many make nft fast, and no more than this keep its error messages readable. */
const elementsPerCommand = 500;

type ObjectOf<Kind extends RulesetObject['kind']> = Extract<RulesetObject, { readonly kind: Kind }>;
type ElementObject = ObjectOf<'setElement'> | ObjectOf<'mapElement'>;

/**
 * The changes as one input of `nft -f -`, which the kernel takes whole or not at all. Their order does not matter: what holds on to
 * something lets go of it first, and what is referred to stands before who refers to it. Empty for no changes.
 * Throws TypeError for what was only observed and would have to be written.
 */
export function printTransaction(changes: readonly RulesetChange[]): string {
  const gone = new Set(removedOf(changes, 'table').map(printPlace));
  const stays = ({ family, table }: RulesetObject): boolean => !gone.has(printPlace({ family, table }));
  const kept =
    gone.size === 0
      ? changes
      : changes.filter((change) => stays(change.action === 'add' ? change.after : change.before));
  // Elements may be fifty thousand, and all the rest together is little.
  const elements = kept.filter(isOfElement);
  const others = elements.length === 0 ? kept : kept.filter((change) => !isOfElement(change));
  const commands = [
    ...addedOf(others, 'table').map((table) => `add table ${printPlace(table)}`),
    ...removals(others, elements),
    ...additions(others, elements),
    ...[...gone].map((table) => `delete table ${table}`),
  ];
  return commands.map((command) => `${command}\n`).join('');
}

/**
 * One transaction that takes rules out of a chain that is another's, by their handles, and puts others in: before the rule `next`, else at
 * the end. Throws TypeError for what was not observed.
 */
export function printRuleExchange(
  { chain, ...place }: { readonly family: TableFamily; readonly table: string; readonly chain: string },
  before: readonly Rule[],
  after: readonly Rule[],
  next: Rule | undefined,
): string {
  const at = `${printPlace(place)} ${printName(chain)}`;
  const handle = ({ handle }: Rule): string => `handle ${printNumber(handle ?? -1)}`;
  const where = next === undefined ? `add rule ${at}` : `insert rule ${at} ${handle(next)}`;
  const commands = [
    ...before.map((each) => `delete rule ${at} ${handle(each)}`),
    ...after.map((each) => `${where} ${printRule(each)}`),
  ];
  return commands.map((command) => `${command}\n`).join('');
}

/** `inet sallyport`. */
const printPlace = ({ family, table }: Pick<RulesetObject, 'family' | 'table'>): string =>
  `${family} ${printName(table)}`;

const isOf = <Kind extends RulesetObject['kind']>(object: RulesetObject, kind: Kind): object is ObjectOf<Kind> =>
  object.kind === kind;

function isOfElement(change: RulesetChange): boolean {
  const { kind } = change.action === 'add' ? change.after : change.before;
  return kind === 'mapElement' || kind === 'setElement';
}

/** What a change takes away: a changed object is removed and added. */
const removedOf = <Kind extends RulesetObject['kind']>(
  changes: readonly RulesetChange[],
  kind: Kind,
): readonly ObjectOf<Kind>[] => {
  const objects: ObjectOf<Kind>[] = [];
  for (const change of changes) if (change.action !== 'add' && isOf(change.before, kind)) objects.push(change.before);
  return objects;
};

const addedOf = <Kind extends RulesetObject['kind']>(
  changes: readonly RulesetChange[],
  kind: Kind,
): readonly ObjectOf<Kind>[] => {
  const objects: ObjectOf<Kind>[] = [];
  for (const change of changes) if (change.action !== 'remove' && isOf(change.after, kind)) objects.push(change.after);
  return objects;
};

/** How a chain that stands before and after gets from one to the other. */
function chainStep(before: Chain, after: Chain, family: RulesetObject['family']): 'replace' | 'policy' | 'rules' {
  if (hookOf(before) !== hookOf(after)) return 'replace';
  const rules = [before, after].map((chain) => signatureOf(chain.rules.map((rule) => normalRule(rule, family))));
  const policies = [before, after].map((chain) => (chain.kind === 'base' ? chain.policy : ''));
  return rules[0] === rules[1] && policies[0] !== policies[1] ? 'policy' : 'rules';
}

/** What the kernel cannot change in a chain that stands. */
const hookOf = (chain: Chain): string =>
  chain.kind === 'regular'
    ? ''
    : signatureOf([chain.type, chain.hook, chain.priority, [...(chain.devices ?? [])].sort()]);

/** One chain's way through a transaction; `before` and `after` may be missing. */
interface ChainMove {
  readonly at: string;
  readonly before?: Chain;
  readonly after?: Chain;
  readonly step: 'add' | 'remove' | 'replace' | 'policy' | 'rules';
}

function chainMoves(changes: readonly RulesetChange[]): readonly ChainMove[] {
  return changes.flatMap((change): readonly ChainMove[] => {
    const object = change.action === 'remove' ? change.before : change.after;
    if (object.kind !== 'chain') return [];
    const at = `${printPlace(object)} ${printName(object.chain.name)}`;
    if (change.action === 'add') return [{ at, after: object.chain, step: 'add' }];
    if (change.action === 'remove') return [{ at, before: object.chain, step: 'remove' }];
    if (change.before.kind !== 'chain') return [];
    const before = change.before.chain;
    return [{ at, before, after: object.chain, step: chainStep(before, object.chain, object.family) }];
  });
}

/** Rules let go of sets and chains, elements of chains, sets of each other; then each can be deleted. */
function removals(changes: readonly RulesetChange[], ofElements: readonly RulesetChange[]): readonly string[] {
  const moves = chainMoves(changes);
  const sets = removedOf(changes, 'set').map(printStoreName);
  const maps = removedOf(changes, 'map').map(printStoreName);
  const objects = removedOf(changes, 'object');
  const elements = [...removedOf(ofElements, 'setElement'), ...removedOf(ofElements, 'mapElement')];
  const deleted = new Set([...sets, ...maps]);
  const flushed = [
    ...moves.filter(({ step }) => step === 'remove' || step === 'replace' || step === 'rules').map(({ at }) => at),
    ...objects
      .filter(({ type }) => type === 'chain')
      .map((object) => `${printPlace(object)} ${printName(object.name)}`),
  ];
  return [
    ...flushed.map((at) => `flush chain ${at}`),
    ...elementCommands(
      'delete',
      deleted.size === 0 ? elements : elements.filter((element) => !deleted.has(printElementStore(element))),
    ),
    ...sets.map((set) => `delete set ${set}`),
    ...maps.map((map) => `delete map ${map}`),
    ...moves.filter(({ step }) => step === 'remove' || step === 'replace').map(({ at }) => `delete chain ${at}`),
    ...flowtableMoves(changes).flatMap(({ at, gone }) => (gone === undefined ? [] : [`delete flowtable ${at}${gone}`])),
    ...objects.map(printObjectRemoval),
  ];
}

function additions(changes: readonly RulesetChange[], ofElements: readonly RulesetChange[]): readonly string[] {
  const moves = chainMoves(changes);
  const [unmodelled] = addedOf(changes, 'object');
  if (unmodelled !== undefined) throw cannotWrite(unmodelled.json);
  const elements = [...addedOf(ofElements, 'setElement'), ...addedOf(ofElements, 'mapElement')];
  // nft 1.0.6 crashes at `add element` to an interval set that holds `*`: all of such a set comes with it.
  const born = new Set([...addedOf(changes, 'set'), ...addedOf(changes, 'map')].map(printStoreName));
  const open = elements.filter(({ element }) => element.key.kind === 'wildcard').map(printElementStore);
  const whole = new Set(open.filter((store) => born.has(store)));
  const body = (object: ObjectOf<'set'> | ObjectOf<'map'>, header: readonly string[]): string => {
    const store = printStoreName(object);
    if (!whole.has(store)) return storeBlock(header);
    const own = elements
      .filter((element) => printElementStore(element) === store)
      .map(({ element }) => printElement(element));
    return storeBlock([...header, `elements = { ${own.join(', ')} }`]);
  };
  return [
    ...moves.flatMap(({ at, step, before, after }) =>
      after === undefined || (step === 'rules' && policyOf(before) === policyOf(after))
        ? []
        : [`add chain ${at}${block([printChainHeader(after)].filter(Boolean))}`],
    ),
    ...addedOf(changes, 'set').map(
      (object) => `add set ${printStoreName(object)}${body(object, printSetHeader(object.set))}`,
    ),
    ...addedOf(changes, 'map').map(
      (object) => `add map ${printStoreName(object)}${body(object, printMapHeader(object.map))}`,
    ),
    ...flowtableMoves(changes).flatMap(({ at, born }) => (born === undefined ? [] : [`add flowtable ${at}${born}`])),
    ...elementCommands(
      'add',
      whole.size === 0 ? elements : elements.filter((element) => !whole.has(printElementStore(element))),
    ),
    ...moves.flatMap(({ at, step, after }) =>
      after === undefined || step === 'policy' ? [] : after.rules.map((rule) => `add rule ${at} ${printRule(rule)}`),
    ),
  ];
}

/** What is deleted of a flowtable, and what added: itself, or devices alone, which leaves it and what passes by it standing. */
interface FlowtableMove {
  readonly at: string;
  readonly gone?: string;
  readonly born?: string;
}

const flowtableMoves = (changes: readonly RulesetChange[]): readonly FlowtableMove[] =>
  changes.flatMap((change): readonly FlowtableMove[] => {
    const object = change.action === 'remove' ? change.before : change.after;
    if (object.kind !== 'flowtable') return [];
    const at = `${printPlace(object)} ${printName(object.flowtable.name)}`;
    const body = (flowtable: Flowtable): string => ` ${printFlowtable(flowtable)}`;
    if (change.action === 'add') return [{ at, born: body(object.flowtable) }];
    if (change.action === 'remove') return [{ at, gone: '' }];
    if (change.before.kind !== 'flowtable') return [];
    const [before, after] = [change.before.flowtable, object.flowtable];
    const without = (of: Flowtable, others: Flowtable): readonly string[] =>
      of.devices.filter((device) => !others.devices.includes(device));
    const [gone, born] = [without(before, after), without(after, before)];
    // One that changes to itself is emptied: what passes by it takes the long way again.
    if (before.priority !== after.priority || gone.length + born.length === 0)
      return [{ at, gone: '', born: body(after) }];
    return [
      {
        at,
        ...(gone.length > 0 && { gone: body({ ...before, devices: gone, properties: [] }) }),
        ...(born.length > 0 && { born: body({ ...after, devices: born }) }),
      },
    ];
  });

const policyOf = (chain: Chain | undefined): BaseChain['policy'] | undefined =>
  chain?.kind === 'base' ? chain.policy : undefined;

const block = (lines: readonly string[]): string => (lines.length === 0 ? '' : ` { ${lines.join(' ')} }`);
const storeBlock = (lines: readonly string[]): string => ` { ${lines.map((line) => `${line};`).join(' ')} }`;

const printStoreName = (object: ObjectOf<'set'> | ObjectOf<'map'>): string =>
  `${printPlace(object)} ${printName(object.kind === 'set' ? object.set.name : object.map.name)}`;
const printElementStore = (object: ElementObject): string => `${printPlace(object)} ${printName(storeOf(object))}`;

/** A table's flags go by adding it again: that wakes a dormant one. */
function printObjectRemoval(object: ObjectOf<'object'>): string {
  if (object.type === 'table') return `add table ${printPlace(object)}`;
  return `delete ${printWords(object.type)} ${printPlace(object)} ${printName(object.name)}`;
}

/** Elements of one set in as few commands as is sensible: nft is slow with a command for each. */
function elementCommands(verb: 'add' | 'delete', elements: readonly ElementObject[]): readonly string[] {
  const byStore = new Map<string, string[]>();
  let last: ElementObject | undefined;
  let members: string[] = [];
  const print = verb === 'add' ? elementPrinter() : ({ key }: SetElement) => printValue(key);
  for (const element of elements) {
    if (last === undefined || !isOfOneStore(last, element)) {
      const store = printElementStore(element);
      members = byStore.get(store) ?? [];
      byStore.set(store, members);
    }
    last = element;
    members.push(print(element.element));
  }
  return [...byStore].flatMap(([store, members]) =>
    chunksOf(members, elementsPerCommand).map((chunk) => `${verb} element ${store} { ${chunk.join(',\n  ')} }`),
  );
}

const storeOf = (object: ElementObject): string => (object.kind === 'setElement' ? object.set : object.map);

const isOfOneStore = (left: ElementObject, right: ElementObject): boolean =>
  left.family === right.family && left.table === right.table && storeOf(left) === storeOf(right);

const chunksOf = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
