/** Random addresses, ports, marks, and named sets and maps of them, for property tests. */
import fc from 'fast-check';
import type { Address } from '../net/index.ts';
import * as nft from './build.ts';
import type { DataType, Expression, MapElement, NamedMap, NamedSet, SetElement, Value, Verdict } from './ruleset.ts';

const ipv4 = (host: number): Address => ({ family: 4, value: 0x0a00_0000n + BigInt(host) });
const ipv6 = (host: number): Address => ({ family: 6, value: (0xfd00n << 112n) + BigInt(host) });
export const addressOf = (family: 4 | 6, host: number): Address => (family === 4 ? ipv4(host) : ipv6(host));

export const anyFamily = fc.constantFrom(4 as const, 6 as const);
export const anyHost = fc.integer({ min: 1, max: 40 });
export const anyPort = fc.integer({ min: 1, max: 65_535 });
export const anyMark = fc.oneof(
  fc.constantFrom(0, 1, 0x1_0000, 0x2_0000, 0xff_0000, 0xffff_ffff),
  fc.nat({ max: 0xffff_ffff }),
);
export const anyLink = fc.constantFrom('sp-e1', 'sp-e2', 'eth0', 'wan.7', 'sp-*');
export const anyComment = fc.option(fc.constantFrom('web', 'a b: c/d', 'zwölf'), { nil: undefined });

/** One block of 256 addresses for each `slot`: blocks of different slots never overlap. */
export const blockIn = (family: 4 | 6, slot: number): fc.Arbitrary<Value> => {
  const first = slot * 256;
  const at = (offset: number): Value => nft.address(addressOf(family, first + offset));
  const bits = family === 4 ? 32 : 128;
  return fc.oneof(
    fc.nat({ max: 255 }).map(at),
    fc.constantFrom(0, 4, 8).map(
      (hostBits): Value => ({
        kind: 'prefix',
        prefix: { address: addressOf(family, first), length: bits - hostBits },
      }),
    ),
    fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 100 })).map(([from, more]) => nft.range(at(from), at(from + more))),
  );
};
export const portsIn = (slot: number): fc.Arbitrary<Value> =>
  fc.oneof(
    fc.nat({ max: 99 }).map((port) => nft.number(1_000 * (slot + 1) + port)),
    fc
      .tuple(fc.nat({ max: 40 }), fc.nat({ max: 40 }))
      .map(([from, more]) => nft.range(1_000 * (slot + 1) + from, 1_000 * (slot + 1) + from + more)),
  );

/** Keys for slots 0 to 9, so that no two of one set overlap. */
type Keys = (slot: number) => fc.Arbitrary<Value>;
interface StoreShape {
  readonly type: DataType;
  readonly interval: boolean;
  readonly key: Keys;
  /** What is tested against the set, or looked up in the map. */
  readonly of: (family: 4 | 6) => Expression;
  readonly family?: 4 | 6;
}

export const target = (family: 4 | 6): Expression =>
  nft.join(nft.payload(family === 4 ? 'ip' : 'ip6', 'daddr'), nft.meta('l4proto'), nft.payload('th', 'dport'));
export const source = (family: 4 | 6): Expression => nft.payload(family === 4 ? 'ip' : 'ip6', 'saddr');

const addressShape = (family: 4 | 6, interval: boolean): StoreShape => ({
  type: [family === 4 ? 'ipv4_addr' : 'ipv6_addr'],
  interval,
  key: interval ? (slot) => blockIn(family, slot) : (slot) => fc.constant(nft.address(addressOf(family, slot))),
  of: () => source(family),
  family,
});
const targetShape = (family: 4 | 6, interval: boolean): StoreShape => ({
  type: [family === 4 ? 'ipv4_addr' : 'ipv6_addr', 'inet_proto', 'inet_service'],
  interval,
  key: (slot) =>
    interval
      ? fc.tuple(blockIn(family, 0), portsIn(slot)).map(([block, ports]) => nft.concat(block, nft.symbol('tcp'), ports))
      : fc
          .tuple(anyHost, fc.constantFrom('tcp', 'udp'))
          .map(([host, protocol]) =>
            nft.concat(nft.address(addressOf(family, host)), nft.symbol(protocol), nft.number(slot + 1)),
          ),
  of: () => target(family),
  family,
});
const shapes: readonly StoreShape[] = [
  addressShape(4, false),
  addressShape(4, true),
  addressShape(6, true),
  targetShape(4, false),
  targetShape(6, false),
  targetShape(4, true),
  {
    type: ['ifname'],
    interval: false,
    key: (slot) => fc.constant(nft.text(`link${slot}`)),
    of: () => nft.meta('iifname'),
  },
  {
    type: ['mark'],
    interval: false,
    key: (slot) => fc.constant(nft.number(slot * 0x1_0000)),
    of: () => nft.ct('mark'),
  },
  { type: ['inet_service'], interval: true, key: portsIn, of: () => nft.payload('th', 'dport') },
  {
    type: ['inet_proto'],
    interval: false,
    key: (slot) => fc.constant(nft.number(slot)),
    of: () => nft.meta('l4proto'),
  },
];

const anySlots = fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 6 });
const elementsOf = <Element>(of: (slot: number) => fc.Arbitrary<Element>): fc.Arbitrary<readonly Element[]> =>
  anySlots.chain((slots) => fc.tuple(...slots.map(of)));
const commented = <Element extends SetElement | MapElement>(element: Element, comment: string | undefined): Element =>
  comment === undefined ? element : { ...element, comment };

/** `*` stands beside the others in an interval set of one field. */
const withWildcard = (
  { interval, type }: StoreShape,
  elements: fc.Arbitrary<readonly SetElement[]>,
): fc.Arbitrary<readonly SetElement[]> =>
  interval && type.length === 1
    ? fc.tuple(elements, fc.boolean()).map(([some, all]) => (all ? [...some, { key: nft.wildcard }] : some))
    : elements;

/** Chains that refer to nothing, so that any map may lead to them without a loop. */
export const endChains = ['sp_end0', 'sp_end1'] as const;
export const anyVerdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constantFrom<Verdict>({ kind: 'accept' }, { kind: 'drop' }, { kind: 'return' }, { kind: 'continue' }),
  fc.record({ kind: fc.constantFrom('jump' as const, 'goto' as const), chain: fc.constantFrom(...endChains) }),
);

export type Store =
  | { readonly kind: 'set'; readonly set: NamedSet; readonly shape: StoreShape }
  | { readonly kind: 'verdictMap'; readonly map: NamedMap; readonly shape: StoreShape }
  | { readonly kind: 'addressMap'; readonly map: NamedMap; readonly shape: StoreShape };

const head = (name: string, { type, interval }: StoreShape, comment: string | undefined) => ({
  name,
  type,
  flags: interval ? (['interval'] as const) : [],
  ...(comment === undefined ? {} : { comment }),
});

const anyStore = (name: string): fc.Arbitrary<Store> =>
  fc.oneof(
    fc.tuple(fc.constantFrom(...shapes), anyComment).chain(([shape, comment]) =>
      withWildcard(
        shape,
        elementsOf((slot) => fc.tuple(shape.key(slot), anyComment).map(([key, note]) => commented({ key }, note))),
      ).map((elements): Store => ({ kind: 'set', set: { ...head(name, shape, comment), elements }, shape })),
    ),
    fc.constantFrom(...shapes).chain((shape) =>
      elementsOf((slot) =>
        fc
          .tuple(shape.key(slot), anyVerdict, anyComment)
          .map(([key, data, note]) => commented<MapElement>({ key, data }, note)),
      ).map(
        (elements): Store => ({
          kind: 'verdictMap',
          map: { ...head(name, shape, undefined), data: ['verdict'], elements },
          shape,
        }),
      ),
    ),
    fc.tuple(anyFamily, fc.boolean()).chain(([family, interval]) => {
      const shape = targetShape(family, interval);
      const data = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
      return elementsOf((slot) =>
        fc.tuple(shape.key(slot), anyHost, anyPort).map(
          ([key, host, port]): MapElement => ({
            key,
            data: interval
              ? nft.address(addressOf(family, host))
              : nft.concat(nft.address(addressOf(family, host)), nft.number(port)),
          }),
        ),
      ).map(
        (elements): Store => ({
          kind: 'addressMap',
          map: { ...head(name, shape, undefined), data: interval ? [data] : [data, 'inet_service'], elements },
          shape,
        }),
      );
    }),
  );

export const anyStores: fc.Arbitrary<readonly Store[]> = fc
  .subarray(['sp_a', 'sp_b', 'sp_c', 'sp_d'])
  .chain((names) => fc.tuple(...names.map(anyStore)));
