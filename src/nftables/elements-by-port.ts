/**
 * The quick way of compareElements, for the maps that may be long: keys that end in a port. A command compares once, so two things count: how soon
 * the code is compiled, which two loops over few small functions are after some hundred elements, and how seldom it looks at random into memory.
 */
import type { ElementChanges, ElementTypes } from './elements.ts';
import type { MapElement, SetElement, Value } from './ruleset.ts';

/** Keys that differ in their port alone, and where their element stands. */
interface Row {
  readonly lead: readonly Value[];
  /** By port: 0 is none, N the element N - 1 of `from`, NEW one of `to` alone. */
  readonly slots: Int32Array;
}

const NEW = -1;
const PORTS = 2 ** 16;
/** A row has 256 KiB, and is looked for one by one. */
const MOST_ROWS = 16;

/**
 * As compareElements; undefined where it is not for them: another type or spelling of a key, too many rows, two of one key.
 * `sameContent` judges elements of one key that do not look alike.
 */
export function compareByPort<Element extends SetElement | MapElement>(
  from: readonly Element[],
  to: readonly Element[],
  types: ElementTypes,
  sameContent: (left: Element, right: Element) => boolean,
): ElementChanges<Element> | undefined {
  if (types.key.length < 2 || types.key.at(-1) !== 'inet_service') return undefined;
  const rows: Row[] = [];
  const met = new Uint8Array(from.length);
  // What each leads to: to look at the element itself, somewhere in memory, when its like comes up would cost more than all the rest.
  const targets = new Array<Value | undefined>(from.length);
  const ports = new Int32Array(from.length);
  for (let index = 0; index < from.length; index++) {
    const element = from[index];
    if (element === undefined || element.key.kind !== 'concat') return undefined;
    const slots = slotsOf(rows, element.key.parts, types);
    const port = portOf(element.key.parts);
    if (slots === undefined || port === -1 || slots[port] !== 0) return undefined;
    slots[port] = index + 1;
    const plain = plainData(element);
    targets[index] = plain?.[0];
    ports[index] = plain === undefined ? -1 : portOf(plain);
  }
  const set: { readonly before?: Element; readonly after: Element }[] = [];
  let kept = 0;
  for (let index = 0; index < to.length; index++) {
    const after = to[index];
    if (after === undefined || after.key.kind !== 'concat') return undefined;
    const slots = slotsOf(rows, after.key.parts, types);
    const port = portOf(after.key.parts);
    if (slots === undefined || port === -1) return undefined;
    const at = (slots[port] ?? 0) - 1;
    if (at < 0) {
      if (at !== -1) return undefined;
      slots[port] = NEW;
      set.push({ after });
      continue;
    }
    if (met[at] === 1) return undefined;
    met[at] = 1;
    kept += 1;
    const plain = plainData(after);
    if (plain !== undefined && ports[at] !== -1 && ports[at] === portOf(plain) && isTarget(targets[at], plain[0]))
      continue;
    const before = from[at];
    if (before !== undefined && !sameContent(before, after)) set.push({ before, after });
  }
  return { removed: kept === from.length ? [] : from.filter((_, index) => met[index] === 0), set };
}

/** The last part of a key, -1 where that is no single port. */
function portOf(parts: readonly Value[]): number {
  const last = parts[parts.length - 1];
  return last !== undefined && last.kind === 'number' && (last.value & (PORTS - 1)) === last.value ? last.value : -1;
}

/** Those of the row of a key; undefined where it can have none. */
function slotsOf(rows: Row[], parts: readonly Value[], types: ElementTypes): Int32Array | undefined {
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index];
    if (row !== undefined && hasLead(row.lead, parts)) return row.slots;
  }
  if (rows.length >= MOST_ROWS || parts.length !== types.key.length) return undefined;
  const lead = parts.slice(0, -1);
  if (!lead.every((part, index) => hasOneSpelling(part, types.key[index]))) return undefined;
  const slots = new Int32Array(PORTS);
  rows.push({ lead, slots });
  return slots;
}

function hasLead(lead: readonly Value[], parts: readonly Value[]): boolean {
  if (lead.length + 1 !== parts.length) return false;
  for (let index = 0; index < lead.length; index++) {
    const one = lead[index];
    const other = parts[index];
    if (one !== other && (one === undefined || other === undefined || !isSame(one, other))) return false;
  }
  return true;
}

/** Of what hasOneSpelling. */
function isSame(one: Value, other: Value): boolean {
  if (one.kind === 'address') return other.kind === 'address' && isSameAddress(one, other);
  if (one.kind === 'symbol') return other.kind === 'symbol' && one.name === other.name;
  return one.kind === 'string' && other.kind === 'string' && one.text === other.text;
}

type AddressValue = Extract<Value, { readonly kind: 'address' }>;

const isSameAddress = ({ address: one }: AddressValue, { address: other }: AddressValue): boolean =>
  one === other || (one.value === other.value && one.family === other.family);

/** Whether values of this type are the same if, and only if, they look so. */
function hasOneSpelling(value: Value, type: string | undefined): boolean {
  if (type === 'inet_proto') return value.kind === 'symbol' && (value.name === 'tcp' || value.name === 'udp');
  if (type === 'ipv4_addr' || type === 'ipv6_addr') return value.kind === 'address';
  return type === 'ifname' && value.kind === 'string';
}

/** The address and port that an element leads to, if it says nothing else. */
function plainData(element: SetElement | MapElement): readonly Value[] | undefined {
  if (element.comment !== undefined || element.extra !== undefined || !('data' in element)) return undefined;
  const { data } = element;
  return data.kind === 'concat' && data.parts.length === 2 ? data.parts : undefined;
}

const isTarget = (one: Value | undefined, other: Value | undefined): boolean =>
  one?.kind === 'address' && other?.kind === 'address' && isSameAddress(one, other);
