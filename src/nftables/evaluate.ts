/**
 * What the chains of a hook do to a packet: a pure function of tables and packet. A test whose answer is not known is taken both ways;
 * only where the fate differs is the result undecided.
 */
import type { Family } from '../net/index.ts';
import { withAffinity } from './evaluate-affinity.ts';
import type { TableSets } from './evaluate-expression.ts';
import { otherOrder } from './evaluate-order.ts';
import type { Evaluation, PacketChanges, PacketContext, Registers, RuleReference } from './evaluate-packet.ts';
import {
  type Asked,
  answersTo,
  asksOfAnswers,
  type PortTest,
  portTestsOf,
  registersOf,
  seesFamily,
} from './evaluate-ports.ts';
import { indexElements } from './evaluate-set.ts';
import { type Step, stepOf } from './evaluate-statement.ts';
import { printStatement } from './print-statement.ts';
import type { BaseChain, Chain, Hook, Rule, Table, TableFamily } from './ruleset.ts';

/** Tables made ready for many packets. */
export interface PreparedRuleset {
  /** By hook, in the order they run. */
  readonly chains: ReadonlyMap<Hook, readonly PreparedBase[]>;
  /** The tests that ask for ports; undefined where one asks for more besides. */
  readonly portTests: readonly PortTest[] | undefined;
  /** What stands at a hook, or may, and cannot be read. */
  readonly unreadable: readonly { readonly family: TableFamily; readonly hook?: string; readonly what: string }[];
}

interface PreparedChain {
  readonly rules: readonly { readonly steps: readonly Step[]; readonly reference: RuleReference }[];
}

interface PreparedBase extends PreparedChain {
  readonly base: BaseChain;
  readonly table: Table;
  readonly chains: ReadonlyMap<string, PreparedChain>;
  readonly policy: RuleReference;
}

/** Which chains of a hook to run: by type, and from a priority up to before another. */
export interface ChainSelection {
  readonly hook: Hook;
  /** `filter` means those of type `route` too. */
  readonly type: 'filter' | 'nat';
  readonly from?: number;
  readonly below?: number;
  /** For ingress and egress. */
  readonly device?: string;
  /** Devices below it, by which the packet may come or go as well. */
  readonly lower?: readonly string[];
  /** So many of these ran before (Evaluation's `ran`). */
  readonly skip?: number;
}

/** Indexes sets and maps and puts base chains in the kernel's order: by priority; of equals the one registered last comes first (nf_hook_entries_grow). */
export function prepareRuleset(tables: readonly Table[]): PreparedRuleset {
  const chains = new Map<Hook, PreparedBase[]>();
  const unreadable: { family: TableFamily; hook?: string; what: string }[] = [];
  let portTests: readonly PortTest[] | undefined = [];
  for (const table of tables) {
    unreadable.push(...unreadableParts(table));
    const sets = tableSets(table);
    const asked = portTestsOf(table, sets);
    portTests = asked === undefined || portTests === undefined ? undefined : [...portTests, ...asked];
    const prepared = new Map(table.chains.map((chain) => [chain.name, prepareChain(table, chain, sets)]));
    for (const base of table.chains) {
      if (base.kind !== 'base') continue;
      const policy: RuleReference = { table, chain: base.name, policy: base.policy };
      const list = chains.get(base.hook) ?? [];
      chains.set(base.hook, list);
      list.unshift({ base, table, chains: prepared, policy, rules: prepared.get(base.name)?.rules ?? [] });
    }
  }
  for (const list of chains.values()) list.sort((left, right) => left.base.priority - right.base.priority);
  return { chains, portTests, unreadable };
}

/** A base chain of an unknown kind, or a table that could not be listed. Sets, flowtables and objects matter only where a rule asks for them. */
function unreadableParts(table: Table): PreparedRuleset['unreadable'] {
  const { family, name } = table;
  return table.opaque.flatMap((json) => {
    if (typeof json !== 'object' || json === null) return [];
    if ('unlisted' in json) return [{ family, what: `table ${family} ${name}: ${String(json.unlisted)}` }];
    if (!('chain' in json) || typeof json.chain !== 'object' || json.chain === null) return [];
    const hook = 'hook' in json.chain && typeof json.chain.hook === 'string' ? { hook: json.chain.hook } : {};
    return [{ family, ...hook, what: `a chain of table ${family} ${name}: ${JSON.stringify(json.chain)}` }];
  });
}

/** What rules add to while packets pass is not known beforehand. */
function tableSets(table: Table): TableSets {
  return {
    objects: table.opaque,
    sets: new Map(
      table.sets.map((set) => [
        set.name,
        set.flags.includes('dynamic') ? undefined : indexElements(set.elements, set.type),
      ]),
    ),
    maps: new Map(
      table.maps.map((map) => [
        map.name,
        { data: map.data, find: map.flags.includes('dynamic') ? undefined : indexElements(map.elements, map.type) },
      ]),
    ),
  };
}

const prepareChain = (table: Table, chain: Chain, sets: TableSets): PreparedChain => ({
  rules: chain.rules.map((rule) => ({
    steps: withAffinity(table, rule).map((statement) => stepOf(statement, sets)),
    reference: { table, chain: chain.name, rule },
  })),
});

/**
 * What the ruleset answers to whatever asks for ports. Packets that differ in their ports alone and have the same text meet the same
 * fate. Undefined where that cannot be told beforehand.
 */
export const portAnswers = ({ portTests }: PreparedRuleset, asked: Asked): string | undefined =>
  portTests === undefined ? undefined : answersTo(portTests, asked);

/** Whether portAnswers may say different things of the answers to different ports. */
export const tellsAnswersApart = ({ portTests }: PreparedRuleset): boolean =>
  portTests === undefined || asksOfAnswers(portTests);

/** Whether a test asks for ports and a client's address at once, or may: then what ports it tells apart depends on who asks. */
export const asksWhoAndWhere = ({ portTests }: PreparedRuleset): boolean =>
  portTests === undefined || portTests.some(({ asksClient }) => asksClient);

/** Whether any chain would be run for packets of the family, or may be. */
export const standsAt = ({ chains, unreadable }: PreparedRuleset, selection: ChainSelection, family: Family): boolean =>
  unreadable.length > 0 ||
  chains
    .get(selection.hook)
    ?.some((chain) => isSelected(chain, selection, family) || mayBeSelected(chain, selection, family)) === true;

/** Runs a packet through the chains. Chains of type nat end with the first that translates; the caller asks them for new connections alone. */
export function evaluate(ruleset: PreparedRuleset, selection: ChainSelection, packet: PacketContext): Evaluation {
  const unread = ruleset.unreadable.find(
    ({ family, hook }) => seesFamily(family, packet.family) && (hook === undefined || hook === selection.hook),
  );
  if (unread !== undefined) return { verdict: 'undecided', why: `cannot be read: ${unread.what}` };
  const standing = ruleset.chains.get(selection.hook) ?? [];
  const selected = standing.filter((chain) => isSelected(chain, selection, packet.family));
  const doubt = standing.find(
    (chain) =>
      mayBeSelected(chain, selection, packet.family) && decidesBeside(chain, standing, selected, selection, packet),
  );
  if (doubt !== undefined) {
    const { family, name } = doubt.table;
    const why = `${selection.hook}: whether chain ${doubt.base.name} of table ${family} ${name} stands at ${selection.device} is not known, and its rules decide`;
    return { verdict: 'undecided', why, decidedBy: doubt.policy };
  }
  const chains = selection.skip === undefined ? selected : selected.slice(selection.skip);
  if (chains.length === 0) return { verdict: 'accept', changes: {}, changedBy: [] };
  const turned = otherOrder(chains);
  if (turned === undefined) return evaluateChains(chains, packet, 'to the first new way');
  const result = evaluateChains(chains, packet, 'all');
  if (fateOf(evaluateChains(turned, packet, 'all')) === fateOf(result)) return result;
  const why = `${selection.hook}: tables of iptables' older kind stand beside others at one priority, and which run first decides`;
  return { verdict: 'undecided', why };
}

/** How far to go: a route chain that changed what routes ask for has them asked before the next chain runs (nf_route_table_hook4). */
type Extent = 'all' | 'to the first new way';

function evaluateChains(chains: readonly PreparedBase[], packet: PacketContext, extent: Extent): Evaluation {
  const runWith = (guesses: readonly boolean[]): Run => runAll(chains, packet, guesses, extent);
  const first = runWith([]);
  return first.guessed.length === 0 ? resultOf(first) : evaluateBothWays(first, runWith);
}

const isSelected = (chain: PreparedBase, selection: ChainSelection, family: Family): boolean =>
  isThere(chain, selection, family) &&
  (selection.device === undefined || isAt(chain.base.devices ?? [], selection.device));

/** nft before 1.0.9 does not list the devices of a chain in its JSON; and what goes by a bridge or VLAN goes by the device below as well. */
const mayBeSelected = (chain: PreparedBase, selection: ChainSelection, family: Family): boolean =>
  selection.device !== undefined &&
  isThere(chain, selection, family) &&
  !isSelected(chain, selection, family) &&
  (chain.base.devices === undefined ||
    (selection.lower ?? []).some((device) => isAt(chain.base.devices ?? [], device)));

/** One may stand for all whose names begin so: `eth*`. */
const isAt = (devices: readonly string[], device: string): boolean =>
  devices.some((each) => (each.endsWith('*') ? device.startsWith(each.slice(0, -1)) : each === device));

/** Whether the packet fares otherwise where it runs, too. */
function decidesBeside(
  chain: PreparedBase,
  standing: readonly PreparedBase[],
  selected: readonly PreparedBase[],
  { skip }: ChainSelection,
  packet: PacketContext,
): boolean {
  if (skip !== undefined) return false;
  const both = standing.filter((each) => each === chain || selected.includes(each));
  return fateOf(evaluateChains(both, packet, 'all')) !== fateOf(evaluateChains(selected, packet, 'all'));
}

function isThere({ base, table }: PreparedBase, selection: ChainSelection, family: Family): boolean {
  const { from, below } = selection;
  return (
    seesFamily(table.family, family) &&
    (base.type === 'nat') === (selection.type === 'nat') &&
    (from === undefined || base.priority >= from) &&
    (below === undefined || base.priority < below)
  );
}

interface Run extends Registers {
  verdict: 'accept' | 'drop' | 'reject';
  /** How many it came by so far. */
  rules: number;
  /** How many chains ran, where not all did. */
  ran?: number;
}

/** More ways than this are not tried: six tests not known, all on one path. */
const MOST_RUNS = 64;

function evaluateBothWays(first: Run, runWith: (guesses: readonly boolean[]) => Run): Evaluation {
  const result = resultOf(first);
  const doubt = first.guessed[0];
  const undecided: Evaluation = {
    verdict: 'undecided',
    why: `not modelled, and the fate depends on it: ${doubt === undefined ? '' : printReference(doubt)}`,
    ...(doubt !== undefined && { decidedBy: doubt }),
  };
  const wanted = fateOf(result);
  const deciders = new Set([first.decidedBy]);
  const pending = alternatives(first, 0);
  for (let runs = 1; pending.length > 0; runs++) {
    const guesses = pending.pop();
    if (guesses === undefined || runs > MOST_RUNS) return undecided;
    const run = runWith(guesses);
    if (fateOf(resultOf(run)) !== wanted) return undecided;
    deciders.add(run.decidedBy);
    pending.push(...alternatives(run, guesses.length));
  }
  const orBy = [...deciders].flatMap((each) => (each === undefined || each === first.decidedBy ? [] : [each]));
  return result.verdict === 'undecided' || result.verdict === 'accept' || orBy.length === 0
    ? result
    : { ...result, orBy };
}

/** For each test after the first `given` that was taken for false: the same way up to it, then true. */
const alternatives = ({ guessed, guesses }: Run, given: number): boolean[][] =>
  guessed
    .slice(given)
    .map((_, index) => [...guesses.slice(0, given), ...Array.from({ length: index }, () => false), true]);

/** Two fates that are the same give the same text. */
function fateOf(evaluation: Evaluation): string {
  if (evaluation.verdict === 'undecided') return `undecided ${evaluation.why}`;
  const { changes, verdict, ran } = evaluation;
  return JSON.stringify([verdict, changes, ran], (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );
}

function runAll(
  chains: readonly PreparedBase[],
  packet: PacketContext,
  guesses: readonly boolean[],
  extent: Extent,
): Run {
  const run: Run = { ...registersOf(packet), guesses, verdict: 'accept', rules: 0 };
  for (const [at, chain] of chains.entries()) {
    const before = run.mark;
    const { rewritten } = run;
    const verdict = runChain(chain, chain, run, 0);
    if (run.why !== undefined) return run;
    if (chain.base.type === 'route' && (run.mark !== before || run.rewritten !== rewritten)) run.reroute = true;
    run.verdict = verdict === 'return' ? chain.base.policy : verdict;
    if (verdict === 'return' && run.verdict === 'drop') run.decidedBy = chain.policy;
    if (run.verdict !== 'accept' || run.translation !== undefined) return run;
    if (run.reroute && extent !== 'all') {
      if (at + 1 < chains.length) run.ran = at + 1;
      return run;
    }
  }
  return run;
}

/** Chains that lead to each other again and again can make more of a few rules than a kernel would ever walk. */
const MOST_RULES = 1_000_000;

/** The kernel's NFT_JUMP_STACK_SIZE; it refuses to load a deeper nest, or a ring. */
const DEEPEST = 16;

/** `return`: nothing in the chain decided. */
function runChain(
  chain: PreparedChain,
  base: PreparedBase,
  run: Run,
  depth: number,
): 'accept' | 'drop' | 'reject' | 'return' {
  for (const { steps, reference } of chain.rules) {
    run.at = reference;
    run.rules += 1;
    if (run.rules > MOST_RULES) {
      run.why = `more than ${MOST_RULES} rules stand on the way`;
      return 'accept';
    }
    for (const step of steps) {
      const outcome = step(run);
      if (outcome === 'next') continue;
      if (outcome === 'break') break;
      if (outcome === 'reject' || outcome.kind === 'accept' || outcome.kind === 'drop') {
        run.decidedBy = reference;
        return outcome === 'reject' ? 'reject' : outcome.kind;
      }
      if (outcome.kind === 'continue') continue;
      if (outcome.kind === 'return') return 'return';
      const target = base.chains.get(outcome.chain);
      if (target === undefined || depth === DEEPEST) {
        run.why = target === undefined ? `there is no chain ${outcome.chain}` : 'chains nest too deep';
        return 'accept';
      }
      const inner = runChain(target, base, run, depth + 1);
      if (inner !== 'return' || run.why !== undefined || outcome.kind === 'goto') return inner;
      run.at = reference;
    }
    if (run.why !== undefined) return 'accept';
  }
  return 'return';
}

function resultOf(run: Run): Evaluation {
  const { packet, why, at } = run;
  if (why !== undefined) {
    const where = at === undefined ? '' : `: ${printReference(at)}`;
    return { verdict: 'undecided', why: `${why}${where}`, ...(at !== undefined && { decidedBy: at }) };
  }
  const changes: PacketChanges = {
    ...(run.mark !== packet.mark && { mark: run.mark }),
    ...(run.connectionMark !== packet.connection?.mark &&
      run.connectionMark !== undefined && { connectionMark: run.connectionMark }),
    ...(run.labels !== packet.connection?.labels && run.labels !== undefined && { labels: run.labels }),
    ...(run.zone !== packet.zone && run.zone !== undefined && { zone: run.zone }),
    ...(run.notrack && { notrack: true }),
    ...(run.rewritten !== undefined && { rewritten: run.rewritten }),
    ...(run.maxseg !== undefined && { maxseg: run.maxseg }),
    ...(run.reroute && { reroute: true }),
    ...(run.translation !== undefined && { translation: run.translation }),
    ...(run.proxy !== undefined && { proxy: run.proxy }),
  };
  const { verdict, decidedBy, changedBy, ran } = run;
  return {
    verdict,
    ...(decidedBy !== undefined && { decidedBy }),
    changes,
    changedBy,
    ...(ran !== undefined && { ran }),
  };
}

/** `inet sallyport sp_into: counter drop` or `ip filter FORWARD: policy drop`: where a packet's fate was decided. */
export function printReference({ table, chain, rule, policy }: RuleReference): string {
  const what = rule === undefined ? `policy ${policy ?? 'accept'}` : printAnyRule(rule);
  return `${table.family} ${table.name} ${chain}: ${what}`;
}

/** For reading, never for nft: iptables' rules in their own words, what is not modelled as its JSON. */
function printAnyRule(rule: Rule): string {
  if (rule.text !== undefined) return rule.text;
  const parts = rule.statements.map((statement) => {
    if (statement.kind === 'opaque') return JSON.stringify(statement.json);
    try {
      return printStatement(statement);
    } catch (error) {
      // Names that nft's scanner would not take back.
      if (error instanceof TypeError) return JSON.stringify(statement);
      throw error;
    }
  });
  return rule.comment === undefined ? parts.join(' ') : `${parts.join(' ')} comment "${rule.comment}"`;
}
