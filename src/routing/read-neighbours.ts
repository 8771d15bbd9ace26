import type { Address } from '../net/index.ts';
import { addressField, numberField, readEntries, textField } from './json.ts';

/** Its output is for readNeighbours. */
export const NEIGHBOURS_COMMAND: readonly string[] = ['ip', '-j', 'neigh', 'show'];

/** Who has an address on a link, as the kernel found by ARP or neighbour discovery. */
export interface Neighbour {
  readonly link: string;
  readonly address: Address;
  readonly mac: string;
}

/** Those whose hardware address is known, from NEIGHBOURS_COMMAND. Throws an Error where the text is not its output. */
export const readNeighbours = (jsonText: string): readonly Neighbour[] =>
  readEntries(NEIGHBOURS_COMMAND, jsonText).flatMap((entry) => {
    const [link, address, mac] = [textField(entry, 'dev'), addressField(entry, 'dst'), textField(entry, 'lladdr')];
    return link === undefined || address === undefined || mac === undefined ? [] : [{ link, address, mac }];
  });

/** Its output is for readNamespaceNames. */
export const NAMESPACES_COMMAND: readonly string[] = ['ip', '-j', 'netns', 'list-id'];

/** Names of `ip netns` by the number under which this namespace knows them, from NAMESPACES_COMMAND. */
export const readNamespaceNames = (jsonText: string): ReadonlyMap<number, string> =>
  new Map(
    readEntries(NAMESPACES_COMMAND, jsonText).flatMap((entry) => {
      const [number, name] = [numberField(entry, 'nsid'), textField(entry, 'name')];
      return number === undefined || name === undefined ? [] : [[number, name] as const];
    }),
  );
