import { type Address, printAddress, sameAddress } from '../net/index.ts';
import { normalProtocol } from './datatype.ts';
import { keyOf, normalValue } from './normal-value.ts';
import type { DataType, Value } from './ruleset.ts';

/** A part of a key, in its normal form: what those with equal normal forms share, and no others of the type. */
export type Atom = string | number;

/** Gives the atom of a value of `type`. It remembers a little: most elements of a map share an address or two, and two protocols. */
export function atoms(): (value: Value, type: DataType | undefined) => Atom {
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
