/**
 * The quick way of compareElements, for the maps that may be long: keys that end in a port. What counts of their elements stands in columns of
 * numbers, made while the elements are at hand: to look at fifty thousand of them again later, each somewhere in memory, costs more than all the rest.
 */
import type { ElementChanges, ElementTypes } from './elements.ts';
import type { MapElement, SetElement, Value } from './ruleset.ts';

/** A list of elements by number. */
interface Columns {
  /** What their keys begin with, each once. */
  readonly leads: readonly (readonly Value[])[];
  /** By element: which of `leads`. */
  readonly lead: Uint8Array;
  /** By element: the port its key ends in. */
  readonly port: Uint16Array;
  /** The addresses that elements lead to; neighbours share one. */
  readonly targets: readonly Value[];
  /** By element: which of `targets`, and the port beside it; -1 where it says something else. */
  readonly target: Int32Array;
  readonly targetPort: Int32Array;
  /** Whether any of them comes and goes by itself. */
  readonly expires: boolean;
}

const PORTS = 2 ** 16;
/** A lead has 256 KiB while two lists are compared, and is looked for one by one. */
const MOST_LEADS = 16;
/** Fewer are looked at as fast when they are compared. */
const WORTH_IT = 500;

/** By list: none is ever changed. Absent: not looked at yet. Undefined: no columns can be made of it. */
const noted = new WeakMap<readonly SetElement[], Columns | undefined>();

/** Makes the columns of a long list whose elements were just made. */
export function noteElements(elements: readonly (SetElement | MapElement)[], key: ElementTypes['key']): void {
  if (elements.length >= WORTH_IT && isByPort(key)) noted.set(elements, columnsOf(elements, key));
}

/** Whether noteElements looked at all of them, and none comes and goes by itself. */
export const areLasting = (elements: readonly SetElement[]): boolean => noted.get(elements)?.expires === false;

const isByPort = (key: ElementTypes['key']): boolean => key.length >= 2 && key.at(-1) === 'inet_service';

/**
 * As compareElements; undefined where it is not for them: another type or spelling of a key, too many leads, two of one key.
 * `sameContent` judges elements of one key that do not look alike.
 */
export function compareByPort<Element extends SetElement | MapElement>(
  from: readonly Element[],
  to: readonly Element[],
  types: ElementTypes,
  sameContent: (left: Element, right: Element) => boolean,
): ElementChanges<Element> | undefined {
  if (!isByPort(types.key)) return undefined;
  const old = noted.has(from) ? noted.get(from) : columnsOf(from, types.key);
  const next = noted.has(to) ? noted.get(to) : columnsOf(to, types.key);
  if (old === undefined || next === undefined) return undefined;
  const stands = placesOf(old, from.length);
  const wanted = placesOf(next, to.length);
  if (stands === undefined || wanted === undefined) return undefined;
  const leadOf = next.leads.map((lead) => old.leads.findIndex((each) => hasLead(each, lead)));
  const targetOf = new Int32Array(next.targets.length).fill(-1);
  const isTarget = (now: number, before: number): boolean => {
    if (targetOf[now] === before) return true;
    const [one, other] = [old.targets[before], next.targets[now]];
    if (one === undefined || other === undefined || !isSame(one, other)) return false;
    targetOf[now] = before;
    return true;
  };
  const set: { readonly before?: Element; readonly after: Element }[] = [];
  const met = new Uint8Array(from.length);
  let kept = 0;
  for (let index = 0; index < to.length; index++) {
    const at = (stands[leadOf[next.lead[index] ?? 0] ?? -1]?.[next.port[index] ?? 0] ?? 0) - 1;
    if (at !== -1) {
      met[at] = 1;
      kept += 1;
      const target = next.target[index] ?? -1;
      const port = next.targetPort[index] ?? -1;
      if (port !== -1 && port === old.targetPort[at] && isTarget(target, old.target[at] ?? -1)) continue;
    }
    const after = to[index];
    const before = from[at];
    if (after === undefined) continue;
    if (before === undefined) set.push({ after });
    else if (!sameContent(before, after)) set.push({ before, after });
  }
  return { removed: kept === from.length ? [] : from.filter((_, index) => met[index] === 0), set };
}

/** By lead and port the number of the element, from 1; undefined where two have one key. */
function placesOf({ leads, lead, port }: Columns, length: number): readonly Uint32Array[] | undefined {
  const places = leads.map(() => new Uint32Array(PORTS));
  for (let index = 0; index < length; index++) {
    const of = places[lead[index] ?? 0];
    const at = port[index] ?? 0;
    if (of === undefined || of[at] !== 0) return undefined;
    of[at] = index + 1;
  }
  return places;
}

function columnsOf(elements: readonly (SetElement | MapElement)[], key: ElementTypes['key']): Columns | undefined {
  const leads: (readonly Value[])[] = [];
  const targets: Value[] = [];
  const lead = new Uint8Array(elements.length);
  const port = new Uint16Array(elements.length);
  const target = new Int32Array(elements.length);
  const targetPort = new Int32Array(elements.length);
  let expires = false;
  for (let index = 0; index < elements.length; index++) {
    const element = elements[index];
    if (element === undefined || element.key.kind !== 'concat') return undefined;
    const { parts } = element.key;
    const [of, at] = [leadOf(leads, parts, key), portOf(parts)];
    if (of === -1 || at === -1) return undefined;
    if (element.extra?.expires !== undefined) expires = true;
    lead[index] = of;
    port[index] = at;
    const plain = plainData(element);
    const address = plain?.[0];
    targetPort[index] = plain === undefined || address?.kind !== 'address' ? -1 : portOf(plain);
    if (targetPort[index] === -1 || address === undefined) continue;
    const last = targets.at(-1);
    if (last === undefined || !isSame(last, address)) targets.push(address);
    target[index] = targets.length - 1;
  }
  return { leads, lead, port, targets, target, targetPort, expires };
}

/** The last part of a key, -1 where that is no single port. */
function portOf(parts: readonly Value[]): number {
  const last = parts[parts.length - 1];
  return last !== undefined && last.kind === 'number' && (last.value & (PORTS - 1)) === last.value ? last.value : -1;
}

/** Which of `leads` a key begins with, added where it is a new one; -1 where it can be none. */
function leadOf(leads: (readonly Value[])[], parts: readonly Value[], key: ElementTypes['key']): number {
  for (let index = 0; index < leads.length; index++) {
    const lead = leads[index];
    if (lead !== undefined && lead.length + 1 === parts.length && hasLead(lead, parts)) return index;
  }
  if (leads.length >= MOST_LEADS || parts.length !== key.length) return -1;
  const lead = parts.slice(0, -1);
  if (!lead.every((part, index) => hasOneSpelling(part, key[index]))) return -1;
  return leads.push(lead) - 1;
}

/** Whether all of `lead` stands at the head of `parts`. */
function hasLead(lead: readonly Value[], parts: readonly Value[]): boolean {
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
