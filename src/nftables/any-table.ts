/** Random tables that the kernel takes, for property tests: what is written here is the grammar that has to come back. */
import fc from 'fast-check';
import { anyRule, type Place, written } from './any-rule.ts';
import { anyStores, endChains, type Store } from './any-store.ts';
import * as nft from './build.ts';
import type { BaseChain, Chain, NamedSet, Table } from './ruleset.ts';

const bases: readonly {
  readonly name: string;
  readonly place: Place;
  readonly at: Pick<BaseChain, 'type' | 'hook'>;
}[] = [
  { name: 'sp_pre', place: 'raw', at: { type: 'filter', hook: 'prerouting' } },
  { name: 'sp_forward', place: 'filter', at: { type: 'filter', hook: 'forward' } },
  { name: 'sp_input', place: 'filter', at: { type: 'filter', hook: 'input' } },
  { name: 'sp_out', place: 'end', at: { type: 'route', hook: 'output' } },
  { name: 'sp_dnat', place: 'dnat', at: { type: 'nat', hook: 'prerouting' } },
  { name: 'sp_snat', place: 'snat', at: { type: 'nat', hook: 'postrouting' } },
];

const anyChains = (stores: readonly Store[]): fc.Arbitrary<readonly Chain[]> =>
  fc.subarray([...bases]).chain((chosen) =>
    fc.tuple(
      ...endChains.map((name) =>
        fc.array(anyRule('end', stores, []), { maxLength: 2 }).map((rules): Chain => nft.regularChain(name, ...rules)),
      ),
      fc
        .array(anyRule('end', stores, []), { maxLength: 3 })
        .map((rules): Chain => nft.regularChain('sp_middle', ...rules)),
      ...chosen.map(({ name, place, at }) =>
        fc
          .tuple(
            fc.constantFrom(-150, -100, 0, 10),
            place === 'filter' ? fc.constantFrom('accept' as const, 'drop' as const) : fc.constant('accept' as const),
            fc.array(anyRule(place, stores, [...endChains, 'sp_middle']), { maxLength: 4 }),
          )
          .map(([priority, policy, rules]): Chain => nft.baseChain(name, { ...at, priority, policy }, ...rules)),
      ),
    ),
  );

const writtenSets: readonly NamedSet[] = ([4, 6] as const).map((family) => ({
  name: written[family],
  type: [family === 4 ? 'ipv4_addr' : 'ipv6_addr'],
  flags: ['dynamic', 'timeout'],
  elements: [],
  extra: { size: 1_024, timeout: 60 },
}));

/** A table `inet sallyport` of random sets, maps and chains that refer to each other. */
export const anyTable: fc.Arbitrary<Table> = anyStores.chain((stores) =>
  anyChains(stores).map((chains) => ({
    family: 'inet',
    name: 'sallyport',
    sets: [...stores.flatMap((store) => (store.kind === 'set' ? [store.set] : [])), ...writtenSets],
    maps: stores.flatMap((store) => (store.kind === 'set' ? [] : [store.map])),
    chains,
    opaque: [],
  })),
);
