/** Statements as steps over a packet's registers, made once for each rule. */
import { typeOf } from './datatype.ts';
import { chancesIn, drawMatch, drawWay, isChance } from './evaluate-chance.ts';
import { keyReaderOf, mapFinder, type Read, readerOf, type TableSets } from './evaluate-expression.ts';
import { opaqueStep } from './evaluate-opaque.ts';
import type { Registers, Translation } from './evaluate-packet.ts';
import { choose, rangeOf } from './evaluate-range.ts';
import { type Writer, writerOf } from './evaluate-rewrite.ts';
import { indexElements } from './evaluate-set.ts';
import { addressOf, fits, patternOf, type Scalar, UNKNOWN, type Unknown } from './evaluate-value.ts';
import { isVerdict } from './print-expression.ts';
import type { Expression, Statement, Verdict } from './ruleset.ts';

/** `next`: on to the next statement. `break`: the rule does not match. Else what a verdict says. */
export type Outcome = 'next' | 'break' | 'reject' | Verdict;
export type Step = (registers: Registers) => Outcome;

const ACCEPT: Verdict = { kind: 'accept' };
const next: Step = () => 'next';

/** What a statement does. */
export function stepOf(statement: Statement, tables: TableSets): Step {
  switch (statement.kind) {
    case 'match':
      return matchStep(statement, tables);
    case 'verdict':
      return () => statement.verdict;
    case 'verdictMap':
      return verdictMapStep(statement, tables);
    case 'set':
      return assignStep(statement.target, readerOf(statement.value, tables, typeOf(statement.target)));
    case 'counter':
    // What is in the fast path went this way before, and goes where it went: it is judged as it would be here.
    case 'flow':
      return next;
    case 'dnat':
    case 'snat':
      return translationStep(statement, tables);
    case 'masquerade':
    case 'redirect':
      return localTranslationStep(statement, tables);
    case 'reject':
      return rejectStep(statement.type);
    case 'notrack':
      return (registers) => {
        if (registers.zone === undefined) registers.notrack = true;
        return 'next';
      };
    case 'limit':
      return limitStep(statement.over);
    case 'connectionLimit':
      // The connection itself counts (nf_conncount_add comes before the comparison).
      return limitStep(statement.over !== (statement.count === 0));
    case 'update':
      return updateStep(statement, tables);
    case 'opaque':
      return opaqueStep(statement.json, tables);
  }
}

/** A packet by itself, before which nothing came: no rate and no count is reached. */
export const limitStep = (over: boolean): Step => (over ? () => 'break' : next);

const TCP = 6;

/**
 * nft asks for the header that the answer needs, and leaves that test out when it lists the rule (netlink_delinearize.c,
 * stmt_reject_postprocess): with `icmp` it ends the rule for IPv6, with `tcp reset` for all but TCP.
 */
function rejectStep(type: string | undefined): Step {
  return ({ packet: { family, protocol } }) => {
    if (type === 'icmp' && family !== 4) return 'break';
    if (type === 'icmpv6' && family !== 6) return 'break';
    return type === 'tcp reset' && protocol !== TCP ? 'break' : 'reject';
  };
}

type Update = Extract<Statement, { readonly kind: 'update' }>;

/** The element is written, and its statements judge the packet as if they stood in the rule; a full set ends the rule, and is taken for none. */
function updateStep({ key, statements }: Update, tables: TableSets): Step {
  const read = readerOf(key, tables, typeOf(key));
  const steps = statements.map((each) => stepOf(each, tables));
  return (registers) => {
    if (read(registers) === null) return 'break';
    return steps.some((step) => step(registers) === 'break') ? 'break' : 'next';
  };
}

/** Takes what is not known for true or false, as this run is told to. */
export function guess(registers: Registers): boolean {
  const answer = registers.guesses[registers.guessed.length] ?? false;
  if (registers.at !== undefined) registers.guessed.push(registers.at);
  return answer;
}

/** Ends the evaluation: whatever was said now would be a guess. */
export function giveUp(registers: Registers, why: string): Outcome {
  registers.why = why;
  return 'break';
}

const note = (registers: Registers): void => {
  if (registers.at !== undefined && registers.changedBy.at(-1) !== registers.at) registers.changedBy.push(registers.at);
};

type Match = Extract<Statement, { readonly kind: 'match' }>;

function matchStep({ left, op, right }: Match, tables: TableSets): Step {
  if (isChance(left)) {
    const draw = drawMatch(left, op, right);
    return (registers) => ((draw(registers) ?? guess(registers)) ? 'next' : 'break');
  }
  const isLookup = right.kind === 'setReference' || right.kind === 'anonymousSet';
  const read = isLookup ? keyReaderOf(left, tables) : readerOf(left, tables, typeOf(left));
  const test = testOf(left, op, right, tables);
  const mayHang = asksExpected(left, op, right);
  return (registers) => {
    const parts = mayHang && registers.packet.connection?.mayBeExpected === true ? UNKNOWN : read(registers);
    if (parts === null) return 'break';
    const held = parts === UNKNOWN ? UNKNOWN : test(parts, registers);
    if (held === UNKNOWN) return guess(registers) ? 'next' : 'break';
    return held ? 'next' : 'break';
  };
}

/** Whether the answer hangs on IPS_EXPECTED, which no listing of connections shows. */
function asksExpected(left: Expression, op: Match['op'], right: Expression): boolean {
  const isStatus = (each: Expression): boolean => each.kind === 'ct' && each.key === 'status';
  if (left.kind === 'binary') return isStatus(left.left) && namesExpected(left.right);
  return isStatus(left) && (op !== 'in' || namesExpected(right));
}

const namesExpected = (flags: Expression): boolean =>
  flags.kind === 'symbol'
    ? flags.name === 'expected'
    : flags.kind === 'number'
      ? (flags.value & 1) !== 0
      : flags.kind === 'binary' && (namesExpected(flags.left) || namesExpected(flags.right));

export type Test = (parts: readonly (Scalar | Unknown)[], registers: Registers) => boolean | Unknown;

/** What the right side of a match asks of the left. */
export function testOf(left: Expression, op: Match['op'], right: Expression, tables: TableSets): Test {
  const isNot = op === '!=';
  const turned = (held: boolean | Unknown): boolean | Unknown => (held === UNKNOWN ? UNKNOWN : held !== isNot);
  const type = typeOf(left);
  switch (right.kind) {
    case 'setReference':
    case 'anonymousSet': {
      const find = right.kind === 'setReference' ? tables.sets.get(right.name) : indexElements(right.elements, type);
      return (parts) => {
        const element = find === undefined ? UNKNOWN : find(parts);
        return element === UNKNOWN ? UNKNOWN : turned(element !== undefined);
      };
    }
    case 'prefix':
    case 'range':
    case 'wildcard':
    case 'string': {
      const pattern = patternOf(right, type?.[0]);
      return ([value]) => (value === undefined || value === UNKNOWN ? UNKNOWN : turned(fits(pattern, value)));
    }
    default: {
      const read = readerOf(right, tables, type);
      return (parts, registers) => {
        const wanted = read(registers);
        if (wanted === null || wanted === UNKNOWN || wanted.length !== parts.length || !isKnown(parts)) return UNKNOWN;
        return compare(op, parts, wanted);
      };
    }
  }
}

const isKnown = (parts: readonly (Scalar | Unknown)[]): parts is readonly Scalar[] => !parts.includes(UNKNOWN);

function compare(op: Match['op'], parts: readonly Scalar[], wanted: readonly Scalar[]): boolean | Unknown {
  const [value] = parts;
  const [other] = wanted;
  if (value === undefined || other === undefined) return UNKNOWN;
  switch (op) {
    case '==':
      return parts.every((part, index) => part === wanted[index]);
    case '!=':
      return parts.some((part, index) => part !== wanted[index]);
    case '<':
      return value < other;
    case '>':
      return value > other;
    case '<=':
      return value <= other;
    case '>=':
      return value >= other;
    case 'in':
      // Of a field of flags: any of them.
      if (typeof value === 'bigint' && typeof other === 'bigint') return (value & other) !== 0n;
      return typeof value === 'number' && typeof other === 'number' ? (value & other) !== 0 : UNKNOWN;
  }
}

type VerdictMap = Extract<Statement, { readonly kind: 'verdictMap' }>;

function verdictMapStep({ key, map }: VerdictMap, tables: TableSets): Step {
  const chances = chancesIn(key, map);
  if (chances !== undefined) {
    return (registers) => {
      const way = drawWay(registers, chances.length);
      const data = way === undefined ? undefined : chances[way]?.data;
      return data !== undefined && isVerdict(data) ? data : giveUp(registers, 'what the verdict map says is not known');
    };
  }
  const read = keyReaderOf(key, tables);
  const find = mapFinder(map, key, tables);
  return (registers) => {
    const parts = read(registers);
    if (parts === null) return 'break';
    const element = parts === UNKNOWN || find === undefined ? UNKNOWN : find(parts);
    if (element === UNKNOWN) return giveUp(registers, 'what the verdict map says is not known');
    if (element === undefined) return 'break';
    return isVerdict(element.data) ? element.data : giveUp(registers, 'the verdict is not known');
  };
}

/** Keys of `meta` and `ct` that decide nothing here where they are set. */
const harmlessKeys = new Set(['priority', 'nftrace', 'pkttype', 'broute', 'secmark', 'event', 'helper']);

function assignStep(target: Expression, read: Read): Step {
  if (target.kind === 'meta' && target.key === 'mark') {
    return assignNumber(read, (registers, mark) => {
      registers.mark = mark;
    });
  }
  if (target.kind === 'ct' && target.key === 'mark') {
    return assignNumber(read, (registers, mark) => {
      // Without a connection there is nothing to mark (nft_ct_set_eval).
      if (registers.packet.connection !== undefined) registers.connectionMark = mark;
    });
  }
  if (target.kind === 'ct' && target.key === 'zone') {
    const { direction } = target;
    return assignNumber(read, (registers, id) => {
      // The first counts, and with it the packet is tracked whatever notrack says (nft_ct_set_zone_eval, nft_notrack_eval).
      registers.zone ??= direction === undefined ? { id } : { id, direction };
      registers.notrack = false;
    });
  }
  if (target.kind === 'ct' && target.key === 'label') {
    return (registers) => {
      const parts = read(registers);
      if (parts === null) return 'break';
      addLabels(registers, parts === UNKNOWN ? UNKNOWN : parts[0]);
      return 'next';
    };
  }
  if (target.kind === 'tcpOption' && target.option === 'maxseg') {
    return (registers) => (registers.packet.maxseg === undefined ? 'break' : clamp(registers));
  }
  if (target.kind === 'payload') {
    const writer = writerOf(target);
    if (writer !== undefined) return rewriteStep(writer, read);
  }
  const isHarmless =
    ((target.kind === 'meta' || target.kind === 'ct') && harmlessKeys.has(target.key)) ||
    (target.kind === 'payload' && (target.field === 'dscp' || target.field === 'ecn'));
  if (isHarmless) return next;
  return (registers) => giveUp(registers, 'what it changes is not modelled');

  function clamp(registers: Registers): Outcome {
    const parts = read(registers);
    const size = parts === null || parts === UNKNOWN ? undefined : parts[0];
    // Never enlarged (nft_exthdr_tcp_set_eval).
    const now = registers.maxseg ?? registers.packet.maxseg;
    if (typeof size === 'number' && now !== undefined && size < now) registers.maxseg = size;
    return 'next';
  }
}

/** Labels are added, and never taken away (nf_connlabels_replace: what is set is its own mask); without a connection there is nothing to label. */
export function addLabels(registers: Registers, labels: Scalar | Unknown | undefined): void {
  const { connection } = registers.packet;
  if (connection === undefined) return;
  const now = registers.labels ?? connection.labels ?? 0n;
  registers.labels = typeof labels === 'bigint' && now !== 'unknown' ? now | labels : 'unknown';
  note(registers);
}

/** As nft does, only into a packet that has the header. */
function rewriteStep({ isIn, write }: Writer, read: Read): Step {
  return (registers) => {
    const parts = isIn(registers.packet) ? read(registers) : null;
    if (parts === null) return 'break';
    const rewritten = parts === UNKNOWN ? undefined : write(parts[0], registers.packet);
    if (rewritten === undefined) return giveUp(registers, 'what it writes into the packet is not known');
    registers.packet = { ...registers.packet, ...rewritten };
    registers.rewritten = { ...registers.rewritten, ...rewritten };
    note(registers);
    return 'next';
  };
}

function assignNumber(read: Read, write: (registers: Registers, value: number) => void): Step {
  return (registers) => {
    const parts = read(registers);
    if (parts === null) return 'break';
    const value = parts === UNKNOWN ? undefined : parts[0];
    if (typeof value !== 'number') return giveUp(registers, 'the value it sets is not known');
    write(registers, value);
    note(registers);
    return 'next';
  };
}

type AddressTranslation = Extract<Statement, { readonly kind: 'dnat' | 'snat' }>;

/** An address, or address and port together from a map; a range of either is for the kernel to choose from. */
function translationStep({ kind, family, address, port }: AddressTranslation, tables: TableSets): Step {
  const type = family === undefined ? undefined : [family === 'ip' ? 'ipv4_addr' : 'ipv6_addr', 'inet_service'];
  const readAddress = address === undefined ? undefined : readerOf(address, tables, type);
  const readPort = port === undefined ? undefined : readerOf(port, tables, ['inet_service']);
  const wanted = family === undefined ? undefined : family === 'ip' ? 4 : 6;
  const ranges = { addresses: rangeOf(address), ports: rangeOf(port) };
  const isRange = ranges.addresses !== undefined || ranges.ports !== undefined;
  const half = kind === 'dnat' ? 'destination' : 'source';
  return (registers) => {
    const { packet } = registers;
    if (wanted !== undefined && wanted !== packet.family) return 'break';
    const toPort = ranges.ports === undefined ? readPort?.(registers) : undefined;
    const named = toPort === undefined || toPort === null || toPort === UNKNOWN ? undefined : toPort[0];
    const chosen = isRange ? choose(registers, half, { ...ranges, port: named }) : {};
    if (chosen === undefined) return giveUp(registers, 'which of a range it translates to is not known');
    const to: readonly Scalar[] | Unknown | null | undefined =
      ranges.addresses === undefined ? readAddress?.(registers) : chosen.address;
    if (to === null || toPort === null) return 'break';
    if (to === UNKNOWN || toPort === UNKNOWN) return giveUp(registers, 'where it translates to is not known');
    const found = to === undefined ? undefined : addressOf(to[0], packet.family);
    if (to !== undefined && found === undefined) return giveUp(registers, 'where it translates to is not known');
    const number = (toPort ?? chosen.port)?.[0] ?? to?.[1];
    return translate(registers, {
      kind,
      ...(found !== undefined && { address: found }),
      ...(typeof number === 'number' && { port: number }),
      ...(chosen.ports && { ports: chosen.ports }),
      ...(chosen.addresses && { addresses: chosen.addresses }),
    });
  };
}

type LocalTranslation = Extract<Statement, { readonly kind: 'masquerade' | 'redirect' }>;

function localTranslationStep({ kind, port }: LocalTranslation, tables: TableSets): Step {
  const readPort = port === undefined ? undefined : readerOf(port, tables, ['inet_service']);
  const ports = rangeOf(port);
  const half = kind === 'redirect' ? 'destination' : 'source';
  return (registers) => {
    const chosen = ports === undefined ? {} : choose(registers, half, { ports });
    if (chosen === undefined) return giveUp(registers, 'which port of a range it translates to is not known');
    const toPort = ports === undefined ? readPort?.(registers) : chosen.port;
    if (toPort === null) return 'break';
    if (toPort === UNKNOWN) return giveUp(registers, 'the port is not known');
    const number = toPort?.[0];
    return translate(registers, {
      kind,
      ...(typeof number === 'number' && { port: number }),
      ...(chosen.ports && { ports: chosen.ports }),
    });
  };
}

export function translate(registers: Registers, translation: Translation): Outcome {
  registers.translation = translation;
  note(registers);
  return ACCEPT;
}
