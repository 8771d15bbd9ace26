/**
 * A wg-quick file in a network namespace that serves others: its tunnel, and the rules by which the answers of every service there leave by
 * the link that the question came in by. New connections go by the tunnel where its allowed IPs say so, as wg-quick has it.
 */
import { type Family, hostPrefix, type Prefix, prefixesOverlap, printPrefix } from '../net/index.ts';
import type { Table } from '../nftables/index.ts';
import {
  type LinkAddress,
  MAIN_TABLE,
  type Route,
  type RoutingRule,
  type RoutingTables,
  SALLYPORT_PROTOCOL,
} from '../routing/index.ts';
import type { QuickFile } from '../wireguard/index.ts';
import { type AnswerLink, podTable } from './pod-table.ts';

/** Marks routes and rules of a pod's tunnel: those of `apply` have the number after it (84 is OVN's), and neither takes the other's. */
export const POD_PROTOCOL = SALLYPORT_PROTOCOL - 1;

/** wg-quick's, for mark and table, and its default port. */
const FIRST_MARK = 51_820;

/** Four rules of a link in a row, the last before main's (32766); another link's stand before them. */
const LAST_PRIORITY = 32_765;
const BLOCK = 8;

/** What stands in the namespace, this link's own included. */
export interface PodFacts extends Pick<RoutingTables, 'routes' | 'rules' | 'addresses'> {
  /** Of the link, where it is there: that of its last start. */
  readonly mark?: number;
  /** Marks that other WireGuard links have. */
  readonly otherMarks: ReadonlySet<number>;
  /** Families that the namespace has; no IPv6 with disable_ipv6. */
  readonly families: ReadonlySet<Family>;
}

export interface PodTunnel {
  /** False: the link is another's, wg-quick's, and keeps what it has. */
  readonly ownsLink: boolean;
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly RoutingRule[];
  /** Absent where nothing is rewritten or marked. */
  readonly table?: Table;
  /** Of the encrypted packets, and of answers by the default line; 0: none. */
  readonly mark: number;
  /** Plain sentences: what of the file does not apply here. */
  readonly notes: readonly string[];
}

export interface PodOptions {
  readonly link: string;
  /** What peers send on by other links gets this namespace's address there. */
  readonly masquerade: boolean;
  /** The kernel checks sources strictly, and cannot be told to look at marks: answers are told apart by the address they come from, too. */
  readonly byAddress: boolean;
}

export function compilePodTunnel(file: QuickFile, facts: PodFacts, options: PodOptions): PodTunnel {
  const { link } = options;
  const notes: string[] = [];
  const has = (family: Family): boolean => facts.families.has(family);
  const left = [
    ...file.interface.addresses.map(({ address }) => address),
    ...allowedOf(file).map(({ address }) => address),
  ];
  if (!has(6) && left.some(({ family }) => family === 6))
    notes.push('IPv6 is off here: what the file says of it is left out');
  const addresses = file.interface.addresses
    .filter(({ address }) => has(address.family))
    .map((address): LinkAddress => ({ link, address, scope: 'global' }));
  const allowed = distinct(allowedOf(file).filter(({ address }) => has(address.family)));
  const { table } = file.interface;
  const base = { ownsLink: true, addresses, notes };
  if (table !== 'auto') {
    const routes = table === 'off' ? [] : allowed.map((to) => routeBy(link, to, table));
    const rewritten = options.masquerade
      ? podTable({ ...options, addresses, allowed, answers: [], mark: 0 })
      : undefined;
    return {
      ...base,
      routes,
      rules: [],
      mark: file.interface.firewallMark ?? 0,
      ...(rewritten && { table: rewritten }),
    };
  }
  // Nothing is routed into the tunnel but its own network: no answer can be led astray.
  if (allowed.length === 0) {
    const rewritten = options.masquerade
      ? podTable({ ...options, addresses, allowed, answers: [], mark: 0 })
      : undefined;
    return {
      ...base,
      routes: [],
      rules: [],
      mark: file.interface.firewallMark ?? 0,
      ...(rewritten && { table: rewritten }),
    };
  }
  const mark = file.interface.firewallMark || facts.mark || freeMark(facts);
  const answers = answerLinks(facts, link, mark);
  return {
    ...base,
    mark,
    routes: [
      ...allowed.map((to) => routeBy(link, to, tableOf(to, facts, link, mark))),
      ...answers.flatMap(({ routes }) => routes),
    ],
    rules: rulesFor(allowed, answers, facts, options, mark),
    table: podTable({ ...options, addresses, allowed, answers, mark }),
  };
}

/**
 * Beside a tunnel that wg-quick made, which keeps all it has: what is missing for answers to leave by the link that the question came in by.
 * `mark` is that of its encrypted packets, which its rules let pass by the tunnel.
 */
export function compileMend(facts: PodFacts, options: Omit<PodOptions, 'masquerade'>, mark: number): PodTunnel {
  const answers = answerLinks(facts, options.link, mark);
  return {
    ...{ ownsLink: false, addresses: [], notes: [], mark },
    routes: answers.flatMap(({ routes }) => routes),
    rules: ([4, 6] as const).flatMap((family) =>
      facts.families.has(family) ? inRow(family, answerRules(family, answers, facts, options), facts, mark) : [],
    ),
    table: podTable({
      link: options.link,
      masquerade: false,
      addresses: facts.addresses.filter((each) => each.link === options.link),
      allowed: [],
      answers,
      mark,
    }),
  };
}

const allowedOf = ({ peers }: QuickFile): readonly Prefix[] => peers.flatMap(({ allowedIps }) => allowedIps);

function distinct(prefixes: readonly Prefix[]): readonly Prefix[] {
  return [...new Map(prefixes.map((each) => [printPrefix(each), each])).values()];
}

const routeBy = (link: string, destination: Prefix, table: number): Route => ({
  ...{ table, destination, type: 'unicast', link, protocol: POD_PROTOCOL },
  metric: destination.address.family === 4 ? 0 : 1024,
});

/** Marks and tables of one tunnel: its own, that of narrow networks, and those of other lines. */
export const POD_NUMBERS = 16;

/** The first mark from wg-quick's on that is nobody's, nor those that may be needed with it, and whose tables are empty. */
function freeMark({ routes, otherMarks }: PodFacts): number {
  const taken = new Set(routes.map(({ table }) => table));
  const numbers = (mark: number): readonly number[] => Array.from({ length: POD_NUMBERS }, (_, more) => mark + more);
  for (let mark = FIRST_MARK; ; mark += POD_NUMBERS)
    if (numbers(mark).every((each) => !taken.has(each) && !otherMarks.has(each))) return mark;
}

/** What is narrower than a network of this namespace's own goes before that, as the longest prefix in one table would. */
const narrowTable = (mark: number): number => mark + 1;

function tableOf(to: Prefix, { routes }: PodFacts, link: string, mark: number): number {
  const isNarrow = routes.some(
    ({ table, destination, link: by }) =>
      table === MAIN_TABLE &&
      by !== link &&
      destination.length > 0 &&
      destination.length < to.length &&
      prefixesOverlap(destination, to),
  );
  return isNarrow ? narrowTable(mark) : mark;
}

/**
 * The links that questions come in by and that answers must go back by: those of a default route. Main leads to the best of each family; of
 * any other link the routes are copied into a table of its own.
 */
function answerLinks({ routes, addresses }: PodFacts, own: string, mark: number): readonly AnswerLink[] {
  const defaults = routes.filter(
    (each) =>
      each.table === MAIN_TABLE && each.type === 'unicast' && each.destination.length === 0 && each.link !== own,
  );
  const names = [...new Set(defaults.flatMap(({ link }) => (link === undefined ? [] : [link])))];
  const best = ([4, 6] as const).map(
    (family) =>
      defaults
        .filter(({ destination }) => destination.address.family === family)
        .toSorted((left, right) => left.metric - right.metric)[0]?.link,
  );
  // One that is the best of both families, or of the only one it has, needs nothing but main.
  const others = names.filter((name) =>
    defaults.some(({ link, destination }) => link === name && best[destination.address.family === 4 ? 0 : 1] !== name),
  );
  return others.map((name, index) => {
    const number = mark + 2 + index;
    return {
      link: name,
      mark: number,
      addresses: addresses.filter(({ link }) => link === name),
      routes: routes
        .filter((each) => each.table === MAIN_TABLE && each.link === name && each.type === 'unicast')
        .map((each) => ({ ...each, table: number, protocol: POD_PROTOCOL })),
    };
  });
}

type BareRule = Omit<RoutingRule, 'family' | 'priority' | 'protocol'>;

/** One after the other, the last where those of a killed run ended, or before all others'. */
function inRow(family: Family, rules: readonly BareRule[], facts: PodFacts, mark: number): readonly RoutingRule[] {
  const last = lastPriority(facts, mark);
  return rules.map((each, index) => ({
    ...each,
    ...{ family, priority: last - rules.length + 1 + index, protocol: POD_PROTOCOL },
  }));
}

const lookIn = (table: number, suppressPrefixLength?: number): RoutingRule['action'] => ({
  ...{ kind: 'lookup', table },
  ...(suppressPrefixLength !== undefined && { suppressPrefixLength }),
});

/** What answers by another line than main's ask first. */
const answerRules = (
  family: Family,
  answers: readonly AnswerLink[],
  facts: PodFacts,
  { link, byAddress }: Pick<PodOptions, 'link' | 'byAddress'>,
): readonly BareRule[] => [
  ...answers.map(({ mark: value }) => ({ mark: { value, mask: 0xffff_ffff }, action: lookIn(value) })),
  ...(byAddress ? facts.addresses : []).flatMap((each): readonly BareRule[] => {
    const { address } = each.address;
    if (each.link === link || each.link === 'lo' || address.family !== family) return [];
    return [{ from: hostPrefix(address), action: lookIn(MAIN_TABLE) }];
  }),
];

function rulesFor(
  allowed: readonly Prefix[],
  answers: readonly AnswerLink[],
  facts: PodFacts,
  options: PodOptions,
  mark: number,
): readonly RoutingRule[] {
  const families = ([4, 6] as const).filter((family) => allowed.some(({ address }) => address.family === family));
  const own = { not: true, mark: { value: mark, mask: 0xffff_ffff } };
  return families.flatMap((family) => {
    const narrow = allowed.some(
      (to) => to.address.family === family && tableOf(to, facts, options.link, mark) !== mark,
    );
    const rules = [
      ...(narrow ? [{ ...own, action: lookIn(narrowTable(mark)) }] : []),
      ...answerRules(family, answers, facts, options),
      { action: lookIn(MAIN_TABLE, 0) },
      { ...own, action: lookIn(mark) },
    ];
    return inRow(family, rules, facts, mark);
  });
}

/** Of a link that stood: the same again; else before the rules of all others that are there. */
function lastPriority({ rules }: PodFacts, mark: number): number {
  const others = rules.filter(({ protocol }) => protocol === POD_PROTOCOL);
  const mine = others.find(({ action }) => action.kind === 'lookup' && action.table === mark);
  if (mine !== undefined) return mine.priority;
  const taken = Math.min(LAST_PRIORITY + 1, ...others.map(({ priority }) => priority));
  const foreign = new Set(rules.map(({ priority }) => priority));
  let last = taken - 1;
  while (Array.from({ length: BLOCK }, (_, down) => last - down).some((each) => foreign.has(each))) last -= 1;
  return last;
}
