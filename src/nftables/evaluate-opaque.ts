/** What no type of ours says, as steps: exactly where its JSON tells enough, else both ways, else undecided with its name. */
import { type Address, parseAddress } from '../net/index.ts';
import type { TableSets } from './evaluate-expression.ts';
import { ported, readerOf } from './evaluate-expression.ts';
import { extensionHolds } from './evaluate-fragment.ts';
import { mayHaveMaster, type PacketContext, type Registers, type SocketSight } from './evaluate-packet.ts';
import {
  addLabels,
  giveUp,
  guess,
  limitStep,
  type Outcome,
  type Step,
  stepOf,
  translate,
} from './evaluate-statement.ts';
import { labelBit } from './evaluate-value.ts';
import { arrayOf, isObject, type JsonObject, onlyField } from './json.ts';
import { readExpression } from './read-expression.ts';
import { readStatement } from './read-statement.ts';

const next: Step = () => 'next';
const either: Step = (registers) => (guess(registers) ? 'next' : 'break');
const undecided =
  (why: string): Step =>
  (registers) =>
    giveUp(registers, why);

/** Statements by nft's JSON name that change nothing we follow. */
const harmless = new Set(['log', 'counter', 'last', 'ct helper', 'ct timeout', 'flow', 'dup', 'comment', 'reset']);

/** Those that take the packet off its way, in words for people. */
const elsewhere: Readonly<Record<string, string>> = {
  queue: 'a program decides: the packet is queued to it',
  synproxy: 'the host answers the handshake itself (synproxy), and whether it goes on is not modelled',
  fwd: 'the packet goes on by another link at once (fwd), which is not modelled',
};

export function opaqueStep(json: unknown, tables: TableSets): Step {
  if (typeof json === 'string') return textStep(json);
  const [name, content] = onlyField(json) ?? [];
  switch (name) {
    case undefined:
      return undecided('the statement is not modelled');
    case 'xt':
      return xtStep(content);
    case 'match':
      return matchStep(content);
    case 'limit':
      return limitOf(typeof content === 'string' ? objectNamed(tables, 'limit', content) : content);
    case 'quota':
      return quotaOf(typeof content === 'string' ? objectNamed(tables, 'quota', content) : content);
    case 'ct count':
      return either;
    case 'ct expectation':
      return expectStep(typeof content === 'string' ? objectNamed(tables, name, content) : content);
    case 'tproxy':
      return isObject(content) ? proxyStep(content) : undecided('"tproxy" is not modelled');
    case 'meter':
    case 'set':
    case 'map':
      return isObject(content) ? elementStep(content, tables) : either;
    default:
      if (harmless.has(name)) return next;
      return undecided(elsewhere[name] ?? `"${name}" is not modelled`);
  }
}

/** nft 1.0 has no JSON for `update @map { ... }`, and prints its text: without a word of a limit it lets the packet on. */
function textStep(text: string): Step {
  if (!/^(?:add|update|delete) @/.test(text)) return undecided('the statement is not modelled');
  return /\b(?:limit|quota|count)\b/.test(text) ? either : next;
}

const objectNamed = (tables: TableSets, type: string, name: string): unknown =>
  tables.objects.flatMap((json) => {
    const [of, content] = onlyField(json) ?? [];
    return of === type && isObject(content) && content.name === name ? [content] : [];
  })[0];

/**
 * Only the first packet of a connection makes known what it expects: of all others the rule ends there. Where such a one is expected by
 * another already, the packet is dropped (nft_ct_expect_obj_eval, nf_ct_expect_related).
 */
function expectStep(json: unknown): Step {
  const { protocol, dport } = isObject(json) ? json : {};
  const number = typeof protocol === 'string' ? ported[protocol] : protocol;
  return (registers) => {
    const { connection, isExpected } = registers.packet;
    if (connection === undefined || (connection.status & CONFIRMED) !== 0) return 'break';
    if (typeof number !== 'number' || typeof dport !== 'number')
      return undecided('what is expected is not known')(registers);
    const { source, destination } = connection.reply;
    const isClash = isExpected?.({ source, destination, protocol: number, destinationPort: dport }) === true;
    return isClash
      ? undecided('the connection that it makes known may be expected already: then the packet is dropped')(registers)
      : 'next';
  };
}
const CONFIRMED = 8;

/** A rate, of packets or of bytes. */
const limitOf = (json: unknown): Step => (isObject(json) ? limitStep(json.inv === true) : either);

const UNITS: Readonly<Record<string, number>> = { bytes: 1, kbytes: 1024, mbytes: 1024 ** 2 };
/** Larger than any packet. */
const A_PACKET = 65_536;

/**
 * A quota that is used up stays so; one that has more left than any packet is large is not reached by this one (nft_overquota). What
 * was used, an anonymous one shows too.
 */
function quotaOf(json: unknown): Step {
  if (!isObject(json)) return either;
  const of = (value: unknown, unit: unknown): number | undefined => {
    const factor = UNITS[typeof unit === 'string' ? unit : 'bytes'];
    return typeof value === 'number' && factor !== undefined ? value * factor : undefined;
  };
  const all = of(json.bytes ?? json.val, json.val_unit);
  const used = json.used === undefined ? 0 : of(json.used, json.used_unit);
  if (all === undefined || used === undefined) return either;
  // As of its listing: units other than bytes are rounded.
  const slack = json.used_unit === undefined || json.used_unit === 'bytes' ? 0 : UNITS.mbytes;
  if (slack === undefined) return either;
  const isOver = used >= all ? true : all - used > A_PACKET + slack ? false : undefined;
  if (isOver === undefined) return either;
  return isOver === (json.inv === true) ? next : () => 'break';
}

/** `meter NAME { KEY STATEMENT }`, `add @SET { KEY STATEMENTS }`: the packet without the key ends the rule, and so may a statement. */
function elementStep({ key, elem, stmt, op }: Readonly<Record<string, unknown>>, tables: TableSets): Step {
  const wrapped = isObject(elem) && isObject(elem.elem) ? elem.elem.val : (elem ?? key);
  const of = readExpression(wrapped);
  const read = of === undefined ? undefined : readerOf(of, tables);
  const steps = (stmt === undefined ? [] : (arrayOf(stmt) ?? [stmt])).map((each) =>
    stepOf(readStatement(each), tables),
  );
  return (registers): Outcome => {
    // Who deletes does not care whether anything is there.
    if (read === undefined && steps.length > 0) return either(registers);
    if (read?.(registers) === null && op !== 'delete') return 'break';
    for (const step of steps) {
      const outcome = step(registers);
      if (outcome !== 'next') return outcome;
    }
    return 'next';
  };
}

/** Sockets; and headers of IPv6 between it and what it carries. */
function matchStep(json: unknown): Step {
  if (!isObject(json)) return either;
  const [name, content] = onlyField(json.left) ?? [];
  if (name === 'socket' && isObject(content)) return socketStep(content, json);
  if (name !== 'exthdr' || !isObject(content)) return either;
  const { op, right } = json;
  if (content.field === undefined) {
    if (typeof right !== 'boolean' || (op !== '==' && op !== '!=')) return either;
    const wanted = (op === '==') === right;
    const isThere = ({ fragment }: PacketContext): boolean => content.name === 'frag' && fragment !== undefined;
    // Of IPv4 the rule ends.
    return ({ packet }) => (packet.family === 6 && isThere(packet) === wanted ? 'next' : 'break');
  }
  return (registers) => {
    const held = extensionHolds(content.name, content.field, op, right, registers.packet);
    return held === undefined ? either(registers) : held ? 'next' : 'break';
  };
}

/**
 * What waits at the packet's own destination, for a packet that begins something: of one that goes on, a connection's own socket may be
 * meant (nf_sk_lookup_slow_v4 asks for that first).
 */
function waitingFor({ packet }: Registers): SocketSight | undefined {
  const { connection, tcpFlags, protocol, destination, destinationPort } = packet;
  const begins = connection === undefined ? protocol === TCP && tcpFlags === SYN : connection.state === 'new';
  if (protocol !== TCP && protocol !== UDP) return 'none';
  return begins && destinationPort !== undefined ? packet.socketAt?.(destination, destinationPort) : undefined;
}
const TCP = 6;
const UDP = 17;
const SYN = 2;

/** Whether its answer hangs on the sockets of the host, and so on the ports of a packet. */
export function asksSockets(json: unknown): boolean {
  const [name, content] = onlyField(json) ?? [];
  if (name === 'xt') return isObject(content) && (content.name === 'TPROXY' || content.name === 'socket');
  return name === 'tproxy' || (name === 'match' && isObject(content) && onlyField(content.left)?.[0] === 'socket');
}

/** Without a socket the rule ends (nft_socket_eval). */
function socketStep({ key }: JsonObject, { op, right }: JsonObject): Step {
  if ((key !== 'transparent' && key !== 'wildcard') || (right !== 0 && right !== 1)) return noSocket(either);
  if (op !== '==' && op !== '!=') return noSocket(either);
  return (registers) => {
    const seen = waitingFor(registers);
    if (seen === 'none') return 'break';
    const held = seen?.[key];
    if (held === undefined) return either(registers);
    return (held === (right === 1)) === (op === '==') ? 'next' : 'break';
  };
}
const noSocket =
  (other: Step): Step =>
  (registers) =>
    waitingFor(registers) === 'none' ? 'break' : other(registers);

/** Without a transparent socket there the rule ends (nft_tproxy_eval_v4); with one the rule goes on, and the packet is that socket's. */
function proxyStep({ family, addr, port }: JsonObject): Step {
  const address = typeof addr === 'string' ? parseAddress(addr) : undefined;
  if ((addr !== undefined && address === undefined) || (port !== undefined && typeof port !== 'number'))
    return undecided('to which socket tproxy gives it is not modelled');
  const wanted = family === undefined ? undefined : family === 'ip' ? 4 : 6;
  return (registers) => {
    if (wanted !== undefined && registers.packet.family !== wanted) return 'break';
    return handOver(registers, address, port) ? 'next' : 'break';
  };
}

/** Whether a transparent socket takes the packet. */
function handOver(registers: Registers, address: Address | undefined, port: number | undefined): boolean {
  const { packet } = registers;
  const at = port ?? packet.destinationPort;
  if ((packet.protocol !== TCP && packet.protocol !== UDP) || at === undefined) return false;
  const seen = packet.socketAt?.(address, at);
  const takes = seen === 'none' ? false : (seen?.transparent ?? guess(registers));
  if (takes) registers.proxy = { ...(address !== undefined && { address }), port: at };
  return takes;
}

/** What TPROXY of iptables says: without a socket it drops (tproxy_tg4), with one it marks and accepts. */
function proxyTarget(on: JsonObject): Step {
  const { address, port, mark, mask } = on;
  const at = typeof address === 'string' ? parseAddress(address) : undefined;
  if (typeof port !== 'number' || typeof mark !== 'number' || typeof mask !== 'number')
    return undecided('"TPROXY" is not modelled');
  return (registers) => {
    if (!handOver(registers, at, port === 0 ? undefined : port)) return { kind: 'drop' };
    registers.mark = ((registers.mark & ~mask) ^ mark) >>> 0;
    if (registers.at !== undefined && registers.changedBy.at(-1) !== registers.at)
      registers.changedBy.push(registers.at);
    return { kind: 'accept' };
  };
}

/** DNAT to a range of ports, moved by how far the packet's own lies behind the base (nf_nat_l4proto_unique_tuple). */
function shiftedStep({ address, first, last, base }: JsonObject): Step {
  const to = typeof address === 'string' ? parseAddress(address) : undefined;
  if (typeof first !== 'number' || typeof last !== 'number' || typeof base !== 'number')
    return undecided('"DNAT" is not modelled');
  return (registers) => {
    const { destinationPort } = registers.packet;
    const moved = destinationPort === undefined ? undefined : (destinationPort - base) & 0xffff;
    return translate(registers, {
      kind: 'dnat',
      ...(to !== undefined && { address: to }),
      ...(moved !== undefined && { port: first + (moved % (last - first + 1)) }),
    });
  };
}

/** `--transparent` and `--nowildcard`; one that waits at any address is none without the latter (socket_match). */
function socketMatch(words: string): Step {
  const [asksTransparent, takesWildcard] = [words.includes('--transparent'), words.includes('--nowildcard')];
  return (registers) => {
    const seen = waitingFor(registers);
    if (seen === undefined) return either(registers);
    if (seen === 'none' || (seen.wildcard && !takesWildcard)) return 'break';
    if (!asksTransparent || seen.transparent === true) return 'next';
    return seen.transparent === false ? 'break' : either(registers);
  };
}

/** Targets of iptables that change nothing we follow. What SET writes to is taken for unknown where it is read. */
const harmlessTargets = new Set([
  ...['LOG', 'NFLOG', 'ULOG', 'TRACE', 'AUDIT', 'CHECKSUM', 'CLASSIFY', 'SECMARK', 'TCPMSS', 'TEE', 'IDLETIMER', 'LED'],
  ...['RATEEST', 'TOS', 'ECN', 'SET'],
]);

/** A match or target of iptables: `nft -j` tells its name, and nothing of what it says. */
function xtStep(content: unknown): Step {
  const of = isObject(content) ? content : {};
  const name = typeof of.name === 'string' ? of.name : 'xt';
  if (of.type === 'match' && name === 'socket' && typeof of.words === 'string' && !of.words.includes('!'))
    return socketMatch(of.words);
  // Without that header there is nothing that could hold (frag_mt6).
  if (name === 'frag') return (registers) => (registers.packet.fragment === undefined ? 'break' : either(registers));
  if (name === 'connlabel' && typeof of.label === 'number')
    return labelStep(of.label, of.sets === true, of.negated === true);
  // Not expected by a connection of that helper: who is expected by none is not (helper_mt).
  if (name === 'helper' && of.negated === true)
    return (registers) => {
      const { connection } = registers.packet;
      return connection !== undefined && mayHaveMaster(connection) ? either(registers) : 'next';
    };
  if (of.type === 'match') return of.unbridged === undefined ? either : apart(of.unbridged === true);
  if (harmlessTargets.has(name)) return next;
  if (name === 'TPROXY' && isObject(of.on)) return proxyTarget(of.on);
  if (name === 'DNAT' && isObject(of.on)) return shiftedStep(of.on);
  if (name === 'REJECT') return () => 'reject';
  if (name === 'MASQUERADE') return (registers) => translate(registers, { kind: 'masquerade' });
  if (name === 'NFQUEUE') return undecided(elsewhere.queue ?? name);
  if (name === 'SYNPROXY') return undecided(elsewhere.synproxy ?? name);
  return undecided(`"${name}" is not modelled`);
}

/** `--set` gives the connection the label, whatever the answer; without a connection there is none (connlabel_mt). */
function labelStep(label: number, sets: boolean, negated: boolean): Step {
  return (registers) => {
    const { connection } = registers.packet;
    const { labels = connection?.labels ?? 0n } = registers;
    if (connection === undefined) return negated ? 'next' : 'break';
    if (sets) addLabels(registers, labelBit(label));
    // One that stood before any rule spoke of labels has no room for them.
    if (labels === 'unknown') return either(registers);
    return (sets || (labels & labelBit(label)) !== 0n) === negated ? 'break' : 'next';
  };
}

/** What it says of a packet that came by no port of a bridge. */
const apart =
  (holds: boolean) =>
  (registers: Registers): Outcome => {
    if (registers.packet.unbridged !== true) return either(registers);
    return holds ? 'next' : 'break';
  };
