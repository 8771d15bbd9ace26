/** What a set asks of a host is mostly what it asked before. */
import { type PortRange, sameAddress } from '../net/index.ts';
import { same } from './rows.ts';
import type { AcceptShare, ForwardShare, HostShare } from './share.ts';

/**
 * `after` with what is equal in `before` taken over from there: the very object, by which everybody who compares the two sees at once that
 * nothing changed.
 */
export function takeOver(before: HostShare | undefined, after: HostShare): HostShare {
  if (before === undefined) return after;
  return {
    ...after,
    forwards: takeOverList(before.forwards, after.forwards, sameForward),
    accepts: takeOverList(before.accepts, after.accepts, sameAccept),
  };
}

function takeOverList<Item extends { readonly name: string }>(
  before: readonly Item[],
  after: readonly Item[],
  isSame: (one: Item, other: Item) => boolean,
): readonly Item[] {
  let places: Map<string, number> | undefined;
  let next = 0;
  return after.map((item) => {
    let old = before[next];
    if (old !== undefined && old.name !== item.name) {
      // Something came or went: where do those of its name begin?
      places ??= firstPlaces(before);
      const place = places.get(item.name);
      if (place === undefined) return item;
      next = place;
      old = before[next];
    }
    next += 1;
    return old !== undefined && isSame(old, item) ? old : item;
  });
}

function firstPlaces(items: readonly { readonly name: string }[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const [place, { name }] of items.entries()) if (!places.has(name)) places.set(name, place);
  return places;
}

/** By field, so that none is forgotten. */
type Sameness<Item> = Readonly<Record<keyof Item, (one: Item, other: Item) => boolean>>;

const FORWARD: Sameness<ForwardShare> = {
  name: (one, other) => one.name === other.name,
  match: (one, other) => same(one.match, other.match),
  protocol: (one, other) => one.protocol === other.protocol,
  ports: (one, other) => samePorts(one.ports, other.ports),
  to: (one, other) => sameAddress(one.to, other.to),
  targetPorts: (one, other) => samePorts(one.targetPorts, other.targetPorts),
  masquerade: (one, other) => one.masquerade === other.masquerade,
  link: (one, other) => one.link === other.link,
  publicLinks: (one, other) => same(one.publicLinks, other.publicLinks),
  policy: (one, other) => same(one.policy, other.policy),
  balance: (one, other) => same(one.balance, other.balance),
  silent: (one, other) => same(one.silent, other.silent),
  drain: (one, other) => one.drain === other.drain,
  hairpin: (one, other) => one.hairpin === other.hairpin,
  fastPath: (one, other) => one.fastPath === other.fastPath,
  stateless: (one, other) => one.stateless === other.stateless,
};

const ACCEPT: Sameness<AcceptShare> = {
  name: (one, other) => one.name === other.name,
  tunnel: (one, other) => one.tunnel === other.tunnel,
  protocol: (one, other) => one.protocol === other.protocol,
  address: (one, other) => sameAddress(one.address, other.address),
  ports: (one, other) => samePorts(one.ports, other.ports),
  moveTo: (one, other) => same(one.moveTo, other.moveTo),
  masquerade: (one, other) => one.masquerade === other.masquerade,
  behind: (one, other) => one.behind === other.behind,
};

const samePorts = (one: PortRange, other: PortRange): boolean => one.first === other.first && one.last === other.last;

function inAll<Item>(fields: Sameness<Item>): (one: Item, other: Item) => boolean {
  const tests: readonly ((one: Item, other: Item) => boolean)[] = Object.values(fields);
  return (one, other) => tests.every((isSame) => isSame(one, other));
}

const sameForward = inAll(FORWARD);
const sameAccept = inAll(ACCEPT);
