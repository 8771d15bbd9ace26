/** How the table finds a forward: by its address, or where that is leased by the link, or by port alone for what asks from inside. */
import type { ForwardShare } from '../host/index.ts';
import {
  address,
  type Expression,
  fib,
  join,
  match,
  meta,
  payload,
  type Statement,
  symbol,
  text,
  type Value,
} from '../nftables/index.ts';
import { ADDRESS_TYPE, target } from './table-words.ts';

/** A forward, or its twin for what asks from inside for a leased address: whose address that is, is known before it is looked up. */
export type Found = Omit<ForwardShare, 'match'> & {
  readonly match: ForwardShare['match'] | { readonly inside: true };
};

export interface Way {
  /** In the names of maps. */
  readonly suffix: '' | '_lease' | '_inside';
  readonly inside: boolean;
  /** What stands before protocol and port in the key, and the key's data types. */
  readonly where: readonly Value[];
  readonly type: readonly string[];
  /** The key of a packet, and what must hold before it is looked up. */
  readonly key: Expression;
  readonly guard: readonly Statement[];
}

const PORT = ['inet_proto', 'inet_service'] as const;

export function wayOf({ match: at, to: { family } }: Pick<Found, 'match' | 'to'>): Way {
  const isFamily = match(meta('nfproto'), '==', symbol(`ipv${family}`));
  const port = [meta('l4proto'), payload('th', 'dport')] as const;
  if ('address' in at)
    return {
      ...{ suffix: '', inside: false, where: [address(at.address)], type: [ADDRESS_TYPE[family], ...PORT] },
      ...{ key: target(family), guard: [] },
    };
  if ('interface' in at)
    return {
      ...{ suffix: '_lease', inside: false, where: [text(at.interface)], type: ['ifname', ...PORT] },
      ...{ key: join(meta('iifname'), ...port), guard: [isFamily, match(fib('type', 'daddr'), '==', symbol('local'))] },
    };
  return { suffix: '_inside', inside: true, where: [], type: PORT, key: join(...port), guard: [isFamily] };
}

export const isFromInside = ({ match: at }: Pick<Found, 'match'>): boolean => 'inside' in at;

/** The forwards, and of those at leased addresses the twins: of several leased links the first's, as they have the same. */
export function withInside(forwards: readonly ForwardShare[]): readonly Found[] {
  const links = leasedLinks(forwards);
  return [
    ...forwards,
    ...forwards
      .filter(
        ({ match: at, hairpin }) => 'interface' in at && hairpin !== false && at.interface === links[at.family][0],
      )
      .map((forward): Found => ({ ...forward, match: { inside: true } })),
  ];
}

export function leasedLinks(forwards: readonly ForwardShare[]): Readonly<Record<4 | 6, readonly string[]>> {
  const links = { 4: new Set<string>(), 6: new Set<string>() };
  for (const { match: at } of forwards) if ('interface' in at) links[at.family].add(at.interface);
  return { 4: [...links[4]].sort(), 6: [...links[6]].sort() };
}
