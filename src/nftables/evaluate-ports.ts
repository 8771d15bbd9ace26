/**
 * Which ports a ruleset tells apart. Packets that differ in their ports alone, and get the same answers from every test that asks
 * for ports, meet the same fate: so one of them stands for all.
 */
import type { Family } from '../net/index.ts';
import { typeOf } from './datatype.ts';
import { mapFinder, readerOf, type TableSets } from './evaluate-expression.ts';
import { asksSockets } from './evaluate-opaque.ts';
import type { PacketContext, Registers } from './evaluate-packet.ts';
import { testOf } from './evaluate-statement.ts';
import { type Scalar, UNKNOWN } from './evaluate-value.ts';
import { isVerdict, printVerdict } from './print-expression.ts';
import type { Expression, Statement, Table, TableFamily } from './ruleset.ts';

/** One test that asks for ports, by itself. */
export interface PortTest {
  readonly family: TableFamily;
  readonly asksLink: boolean;
  /** Asks for the source port, or for those of the connection: of interest for answers. */
  readonly asksSource: boolean;
  /** Asks for the client's address too: for answers, where that is the destination, as well. */
  readonly asksClient: boolean;
  /** The same text for the same answer; `relative` are ports that stand in answers as themselves. */
  readonly ask: (registers: Registers, relative: readonly number[]) => string;
}

/** Undefined where a test asks for ports together with something that changes on a packet's way: then nothing can be said beforehand. */
export function portTestsOf(table: Table, sets: TableSets): readonly PortTest[] | undefined {
  const tests: PortTest[] = [];
  for (const chain of table.chains)
    for (const { statements } of chain.rules)
      for (const statement of statements) {
        if (statement.kind === 'opaque' && asksSockets(statement.json)) return undefined;
        const asked = expressionsOf(statement).flatMap(questionsIn);
        const asksSource = asked.includes('source port');
        if (!asked.includes('port') && !asksSource) continue;
        const ask = asked.includes('other') ? undefined : askOf(statement, sets);
        if (ask === undefined) return undefined;
        const asksClient = asked.includes('source address') || (asksSource && asked.includes('destination address'));
        tests.push({ family: table.family, asksLink: asked.includes('link'), asksSource, asksClient, ask });
      }
  return tests;
}

type Question = 'port' | 'source port' | 'source address' | 'destination address' | 'link' | 'fixed' | 'other';

/** What an expression asks of a packet: its ports, the link, what does not change for one kind of packets, or anything else. */
function questionsIn(expression: Expression): readonly Question[] {
  switch (expression.kind) {
    case 'payload':
      if (expression.field === 'dport') return ['port'];
      if (expression.field === 'sport') return ['source port'];
      if (expression.protocol === 'rt') return ['fixed'];
      if (expression.field === 'saddr') return ['source address'];
      if (expression.field === 'daddr') return ['destination address'];
      return expression.field === 'protocol' || expression.field === 'nexthdr' ? ['fixed'] : ['other'];
    case 'ct':
      if (expression.key === 'proto-src' || expression.key === 'proto-dst') return ['source port'];
      if (expression.key.endsWith('addr')) return ['source address'];
      return expression.key === 'l3proto' || expression.key === 'protocol' ? ['fixed'] : ['other'];
    case 'meta':
      if (/^[io]if/.test(expression.key)) return ['link'];
      return expression.key === 'l4proto' || expression.key === 'nfproto' ? ['fixed'] : ['other'];
    case 'rawPayload':
      return expression.base === 'th' ? ['port', 'other'] : ['other'];
    case 'binary':
      return [...questionsIn(expression.left), ...questionsIn(expression.right)];
    case 'join':
      return expression.parts.flatMap(questionsIn);
    case 'lookup':
      return questionsIn(expression.key);
    case 'hash':
      return questionsIn(expression.of);
    case 'fib':
      return expression.result !== 'type' && expression.flags.includes('saddr')
        ? ['source address', 'link']
        : ['other'];
    case 'rt':
    case 'tcpOption':
      return ['other'];
    default:
      return [];
  }
}

function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case 'match':
      return [statement.left, statement.right];
    case 'verdictMap':
      return [statement.key];
    case 'set':
      return [statement.value];
    case 'dnat':
    case 'snat':
      return [statement.address, statement.port].flatMap((each) => each ?? []);
    case 'masquerade':
    case 'redirect':
      return statement.port === undefined ? [] : [statement.port];
    default:
      return [];
  }
}

function askOf(statement: Statement, sets: TableSets): PortTest['ask'] | undefined {
  switch (statement.kind) {
    case 'match': {
      const read = readerOf(statement.left, sets, typeOf(statement.left));
      const test = testOf(statement.left, statement.op, statement.right, sets);
      return (registers) => {
        const parts = read(registers);
        if (parts === null) return '-';
        const held = parts === UNKNOWN ? UNKNOWN : test(parts, registers);
        return held === UNKNOWN ? '?' : held ? '1' : '0';
      };
    }
    case 'verdictMap': {
      const read = readerOf(statement.key, sets, typeOf(statement.key));
      const find = mapFinder(statement.map, statement.key, sets);
      return (registers) => {
        const parts = read(registers);
        const element = parts === null ? undefined : parts === UNKNOWN ? UNKNOWN : find?.(parts);
        if (element === undefined) return '-';
        return element === UNKNOWN || !isVerdict(element.data) ? '?' : printVerdict(element.data);
      };
    }
    case 'set':
    case 'dnat':
    case 'snat':
    case 'masquerade':
    case 'redirect': {
      const reads = expressionsOf(statement).map((expression) => readerOf(expression, sets, targetType(statement)));
      return (registers, relative) => {
        const answers = reads.map((read) => {
          const parts = read(registers);
          return parts === null
            ? '-'
            : parts === UNKNOWN
              ? '?'
              : parts.map((part) => relativeTo(part, relative)).join('.');
        });
        return answers.join(',');
      };
    }
    default:
      return undefined;
  }
}

const targetType = (statement: Statement): readonly string[] | undefined =>
  statement.kind === 'set' ? typeOf(statement.target) : undefined;

const relativeTo = (part: Scalar, relative: readonly number[]): string => {
  const at = typeof part === 'number' ? relative.indexOf(part) : -1;
  return at === -1 ? String(part) : `#${at}`;
};

/** Which tests to ask: for `answer` only those in which the ports of an answer to a client's constant one make a difference. */
export interface Asked {
  readonly packet: PacketContext;
  readonly isAnswer: boolean;
  /** By which the packet may come or go. */
  readonly links: readonly string[];
  /** Ports that stand for themselves where a map gives them. */
  readonly relative: readonly number[];
}

/** The answers of all tests to a packet at any hook, as one text. */
export function answersTo(tests: readonly PortTest[], { packet, isAnswer, links, relative }: Asked): string {
  let answers = '';
  const registers = registersOf(packet);
  for (const { family, asksLink, asksSource, ask } of tests) {
    if ((isAnswer && !asksSource) || !seesFamily(family, packet.family)) continue;
    if (!asksLink) answers += `${ask(registers, relative)} `;
    else for (const link of links) answers += `${ask(registersOf({ ...packet, iif: link, oif: link }), relative)} `;
  }
  return answers;
}

export const seesFamily = (table: TableFamily, family: Family): boolean =>
  table === 'inet' || table === 'netdev' || table === (family === 4 ? 'ip' : 'ip6');

/** Whether the ports of an answer to a client's constant one make a difference anywhere. */
export const asksOfAnswers = (tests: readonly PortTest[]): boolean => tests.some(({ asksSource }) => asksSource);

/** Registers of a packet that has not met a rule yet. Made for each packet and each port: one literal is several times as quick as parts. */
export const registersOf = (packet: PacketContext): Registers => ({
  packet,
  guesses: [],
  guessed: [],
  changedBy: [],
  mark: packet.mark,
  connectionMark: packet.connection?.mark,
  labels: undefined,
  rewritten: undefined,
  zone: packet.zone,
  notrack: false,
  maxseg: undefined,
  reroute: false,
  translation: undefined,
  proxy: undefined,
  at: undefined,
  decidedBy: undefined,
  why: undefined,
});
