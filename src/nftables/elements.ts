/** The elements of a set or map before and after. There may be fifty thousand, of which one differs: of the others nothing is made. */
import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { normalProtocol } from './datatype.ts';
import { compareByPort } from './elements-by-port.ts';
import { dataKeyOf, keyOf, normalData, normalValue } from './normal-value.ts';
import { isVerdict } from './print-expression.ts';
import type { DataType, MapElement, SetElement, Value, Verdict } from './ruleset.ts';

export interface ElementTypes {
  readonly key: DataType;
  readonly data?: DataType;
}

export interface ElementChanges<Element> {
  /** Whose key is there no more, in the order they stood. */
  readonly removed: readonly Element[];
  /** Those that are new or say something else than `before`, in the order they are wanted. */
  readonly set: readonly { readonly before?: Element; readonly after: Element }[];
}

/** What leads from the elements of one list to those of the other, by their normal forms. Of equal keys in one list the last counts. */
export function compareElements<Element extends SetElement | MapElement>(
  from: readonly Element[],
  to: readonly Element[],
  types: ElementTypes,
): ElementChanges<Element> {
  const quick = compareByPort(from, to, types, (left, right) => sameContent(left, right, types));
  if (quick !== undefined) return quick;
  const index = startIndex<Element>(types.key);
  for (const element of from) index.leaves(element.key).set(index.atom(element.key), element);
  const set: { readonly before?: Element; readonly after: Element }[] = [];
  let met = 0;
  for (const after of to) {
    const leaves = index.leaves(after.key);
    const atom = index.atom(after.key);
    const before = leaves.get(atom);
    if (before === 'met') return compareElements(from, lastOfEach(to, types.key), types);
    leaves.set(atom, 'met');
    if (before === undefined) set.push({ after });
    else {
      met += 1;
      if (!sameContent(before, after, types)) set.push({ before, after });
    }
  }
  const left = ({ key }: Element): boolean => index.leaves(key).get(index.atom(key)) !== 'met';
  return { removed: met === from.length ? [] : lastOfEach(from.filter(left), types.key), set };
}

function lastOfEach<Element extends SetElement>(elements: readonly Element[], type: DataType): readonly Element[] {
  const index = startIndex<Element>(type);
  for (const element of elements) index.leaves(element.key).set(index.atom(element.key), element);
  return elements.filter((element) => index.leaves(element.key).get(index.atom(element.key)) === element);
}

/** A part of a key, in its normal form: what those with equal normal forms share, and no others of the type. */
type Atom = string | number;

/**
 * Elements by the parts of their keys, a tree with a level for each. Most elements of a map differ in the port alone: to make one
 * text of a whole key, and to hash that, would cost more than all the rest.
 */
interface Index<Element> {
  /** Those whose keys differ from this one in the last part alone. */
  readonly leaves: (key: Value) => Leaves<Element>;
  /** The last part. */
  readonly atom: (key: Value) => Atom;
}

interface Branch<Element> {
  readonly branches: Map<Atom, Branch<Element>>;
  readonly leaves: Leaves<Element>;
}

/** By the last part: a map, where a port costs a look into an array and not a hash of its own. */
class Leaves<Element> {
  readonly #pages = new Map<number, (Element | 'met' | undefined)[]>();
  readonly #others = new Map<Atom, Element | 'met'>();

  get(atom: Atom): Element | 'met' | undefined {
    return isSmall(atom) ? this.#pages.get(atom >> PAGE_BITS)?.[atom & PAGE_MASK] : this.#others.get(atom);
  }

  set(atom: Atom, element: Element | 'met'): void {
    if (!isSmall(atom)) {
      this.#others.set(atom, element);
      return;
    }
    let page = this.#pages.get(atom >> PAGE_BITS);
    if (page === undefined) {
      page = new Array<Element | 'met' | undefined>(PAGE_MASK + 1).fill(undefined);
      this.#pages.set(atom >> PAGE_BITS, page);
    }
    page[atom & PAGE_MASK] = element;
  }
}

const PAGE_BITS = 6;
const PAGE_MASK = (1 << PAGE_BITS) - 1;
/** Whole and not negative; in 31 bits, for what stands above is lost to `>>`. */
const isSmall = (atom: Atom): atom is number =>
  typeof atom === 'number' && atom >= 0 && atom < 2 ** 31 && Number.isInteger(atom);

function startIndex<Element>(type: DataType): Index<Element> {
  const types = type.map((part): DataType => [part]);
  const atomOf = atoms();
  const root: Branch<Element> = { branches: new Map(), leaves: new Leaves() };
  return {
    leaves(key) {
      if (key.kind !== 'concat') return root.leaves;
      let branch = root;
      for (let level = 0; level < key.parts.length - 1; level++) {
        const part = key.parts[level];
        const atom = part === undefined ? '' : atomOf(part, types[level]);
        let next = branch.branches.get(atom);
        if (next === undefined) {
          next = { branches: new Map(), leaves: new Leaves() };
          branch.branches.set(atom, next);
        }
        branch = next;
      }
      return branch.leaves;
    },
    atom(key) {
      if (key.kind !== 'concat') return atomOf(key, type);
      const last = key.parts.at(-1);
      return last === undefined ? '' : atomOf(last, types[key.parts.length - 1]);
    },
  };
}

function atoms(): (value: Value, type: DataType | undefined) => Atom {
  // Most elements of a map share an address or two.
  let last: { readonly address: Address; readonly text: string } | undefined;
  const protocols = new Map<string, Atom>();
  const atomOf = (value: Value, type: DataType | undefined): Atom => {
    switch (value.kind) {
      case 'number':
        return type?.[0] === 'inet_proto' ? normalProtocol(value.value) : value.value;
      case 'symbol':
        if (type?.[0] === 'inet_proto') {
          let protocol = protocols.get(value.name);
          if (protocol === undefined) {
            protocol = normalProtocol(value.name);
            protocols.set(value.name, protocol);
          }
          return protocol;
        }
        return keyOf(normalValue(value, type), type);
      case 'address':
        if (last === undefined || !sameAddress(last.address, value.address))
          last = { address: value.address, text: printAddress(value.address) };
        return last.text;
      case 'prefix':
      case 'range': {
        const normal = normalValue(value, type);
        return normal.kind === value.kind ? keyOf(normal) : atomOf(normal, type);
      }
      case 'concat':
      case 'string':
      case 'wildcard':
      case 'opaque':
        return keyOf(normalValue(value, type), type);
    }
  };
  return atomOf;
}

/** Whether two elements of one key say the same beside it. */
const sameContent = (
  left: SetElement | MapElement,
  right: SetElement | MapElement,
  { data = [] }: ElementTypes,
): boolean =>
  left.comment === right.comment &&
  left.extra?.timeout === right.extra?.timeout &&
  ('data' in left && 'data' in right
    ? sameAtOnce(left.data, right.data) || dataText(left.data, data) === dataText(right.data, data)
    : 'data' in left === 'data' in right);

/** Equal without a look at their normal forms. */
function sameAtOnce(left: Value | Verdict, right: Value | Verdict): boolean {
  switch (left.kind) {
    case 'number':
      return right.kind === 'number' && left.value === right.value;
    case 'symbol':
      return right.kind === 'symbol' && left.name === right.name;
    case 'address':
      return (
        right.kind === 'address' &&
        left.address.value === right.address.value &&
        left.address.family === right.address.family
      );
    case 'concat':
      return right.kind === 'concat' && samePartsAtOnce(left.parts, right.parts);
    default:
      return false;
  }
}

function samePartsAtOnce(left: readonly Value[], right: readonly Value[]): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) {
    const one = left[index];
    const other = right[index];
    if (one === undefined || other === undefined || !sameAtOnce(one, other)) return false;
  }
  return true;
}

const dataText = (data: Value | Verdict, type: DataType): string =>
  isVerdict(data) ? dataKeyOf(data) : dataKeyOf(normalData(data, type), type);
