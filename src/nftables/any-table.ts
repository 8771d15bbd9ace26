/** Random tables that the kernel takes, for property tests: what is written here is the grammar that has to come back. */
import fc from 'fast-check';
import type { Address } from '../net/index.ts';
import * as nft from './build.ts';
import type {
  BaseChain,
  Chain,
  DataType,
  Expression,
  MapElement,
  NamedMap,
  NamedSet,
  Rule,
  SetElement,
  Statement,
  Table,
  Value,
  Verdict,
} from './ruleset.ts';

const ipv4 = (host: number): Address => ({ family: 4, value: 0x0a00_0000n + BigInt(host) });
const ipv6 = (host: number): Address => ({ family: 6, value: (0xfd00n << 112n) + BigInt(host) });
const addressOf = (family: 4 | 6, host: number): Address => (family === 4 ? ipv4(host) : ipv6(host));

const anyFamily = fc.constantFrom(4 as const, 6 as const);
const anyHost = fc.integer({ min: 1, max: 40 });
const anyPort = fc.integer({ min: 1, max: 65_535 });
const anyMark = fc.oneof(
  fc.constantFrom(0, 1, 0x1_0000, 0x2_0000, 0xff_0000, 0xffff_ffff),
  fc.nat({ max: 0xffff_ffff }),
);
const anyLink = fc.constantFrom('sp-e1', 'sp-e2', 'eth0', 'wan.7', 'sp-*');
const anyComment = fc.option(fc.constantFrom('web', 'a b: c/d', 'zwölf'), { nil: undefined });

/** One block of 256 addresses for each `slot`: blocks of different slots never overlap. */
const blockIn = (family: 4 | 6, slot: number): fc.Arbitrary<Value> => {
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
const portsIn = (slot: number): fc.Arbitrary<Value> =>
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

const target = (family: 4 | 6): Expression =>
  nft.join(nft.payload(family === 4 ? 'ip' : 'ip6', 'daddr'), nft.meta('l4proto'), nft.payload('th', 'dport'));
const source = (family: 4 | 6): Expression => nft.payload(family === 4 ? 'ip' : 'ip6', 'saddr');

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

/** Chains that refer to nothing, so that any map may lead to them without a loop. */
const endChains = ['sp_end0', 'sp_end1'] as const;
const anyVerdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constantFrom<Verdict>({ kind: 'accept' }, { kind: 'drop' }, { kind: 'return' }, { kind: 'continue' }),
  fc.record({ kind: fc.constantFrom('jump' as const, 'goto' as const), chain: fc.constantFrom(...endChains) }),
);

type Store =
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
    fc
      .tuple(fc.constantFrom(...shapes), anyComment)
      .chain(([shape, comment]) =>
        elementsOf((slot) => fc.tuple(shape.key(slot), anyComment).map(([key, note]) => commented({ key }, note))).map(
          (elements): Store => ({ kind: 'set', set: { ...head(name, shape, comment), elements }, shape }),
        ),
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

const anyStores: fc.Arbitrary<readonly Store[]> = fc
  .subarray(['sp_a', 'sp_b', 'sp_c', 'sp_d'])
  .chain((names) => fc.tuple(...names.map(anyStore)));

/** What a rule is about, so that its matches do not contradict each other: nft refuses `ip saddr` beside `ip6 daddr`. */
interface Subject {
  readonly family: 4 | 6;
  readonly transport: 'tcp' | 'udp' | 'both';
}
const anySubject: fc.Arbitrary<Subject> = fc.record({
  family: anyFamily,
  transport: fc.constantFrom('tcp' as const, 'udp' as const, 'both' as const),
});
const bothTransports = nft.match(nft.meta('l4proto'), '==', nft.anonymousSet(nft.symbol('tcp'), nft.symbol('udp')));
const anyEquality = fc.constantFrom('==' as const, '!=' as const);
const anyMaskedMark = fc
  .constantFrom('ct', 'meta')
  .chain((of) =>
    fc
      .tuple(fc.constantFrom(0xff_0000, 0xff, 0xffff_ffff, 1), anyMark)
      .map(
        ([mask, bits]) =>
          [nft.and(of === 'ct' ? nft.ct('mark') : nft.meta('mark'), mask), (bits & mask) >>> 0] as const,
      ),
  );
const someOf = (keys: fc.Arbitrary<Value>): fc.Arbitrary<Expression> =>
  fc
    .uniqueArray(keys, { minLength: 1, maxLength: 4, selector: (key) => JSON.stringify(key, textOfBigint) })
    .map((values) => nft.anonymousSet(...values));
const textOfBigint = (_name: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value);
const anyFlags = fc
  .subarray(['new', 'established', 'related'], { minLength: 1 })
  .map(([first = 'new', ...others]) => nft.flags(first, ...others));

const anyMatch = ({ family, transport }: Subject, stores: readonly Store[]): fc.Arbitrary<Statement> => {
  const ports = nft.payload(transport === 'both' ? 'th' : transport, 'dport');
  const fitting = stores.filter(
    ({ kind, shape }) =>
      kind === 'set' &&
      (shape.family ?? family) === family &&
      (shape.type[0] !== 'inet_service' || transport === 'both'),
  );
  const references = fitting.flatMap(({ kind, shape, ...store }) =>
    kind === 'set' && 'set' in store ? [{ of: shape.of(family), name: store.set.name }] : [],
  );
  return fc.oneof(
    fc
      .tuple(fc.constantFrom('iifname', 'oifname'), anyEquality, anyLink)
      .map(([key, op, link]) => nft.match(nft.meta(key), op, nft.text(link))),
    fc
      .uniqueArray(anyLink, { minLength: 1 })
      .map((links) => nft.match(nft.meta('iifname'), '==', nft.anonymousSet(...links.map(nft.text)))),
    anyFlags.map((flags) => nft.match(nft.ct('state'), 'in', flags)),
    fc
      .tuple(anyEquality, fc.constantFrom('new', 'established'))
      .map(([op, state]) => nft.match(nft.ct('state'), op, nft.symbol(state))),
    anyFlags.map((flags) => nft.match(nft.and(nft.ct('state'), flags), '==', 0)),
    fc.constant(nft.match(nft.ct('state'), '==', nft.anonymousSet(nft.symbol('new'), nft.symbol('related')))),
    fc.constantFrom('dnat', 'snat').map((status) => nft.match(nft.ct('status'), 'in', nft.symbol(status))),
    fc.constantFrom('original', 'reply').map((way) => nft.match(nft.ct('direction'), '==', nft.symbol(way))),
    fc.tuple(anyEquality, anyMaskedMark).map(([op, [masked, bits]]) => nft.match(masked, op, bits)),
    fc.tuple(anyEquality, anyMark).map(([op, mark]) => nft.match(nft.meta('mark'), op, mark)),
    someOf(anyMark.map(nft.number)).map((marks) => nft.match(nft.ct('mark'), '==', marks)),
    fc
      .tuple(fc.constantFrom('saddr', 'daddr'), anyEquality, blockIn(family, 3))
      .map(([field, op, block]) => nft.match(nft.payload(family === 4 ? 'ip' : 'ip6', field), op, block)),
    someOf(fc.nat({ max: 5 }).chain((slot) => blockIn(family, slot))).map((blocks) =>
      nft.match(nft.payload(family === 4 ? 'ip' : 'ip6', 'daddr'), '==', blocks),
    ),
    fc
      .tuple(fc.constantFrom('==', '!=', '<', '>', '<=', '>=' as const), fc.integer({ min: 2, max: 65_534 }))
      .map(([op, port]) => nft.match(ports, op, port)),
    fc.tuple(anyEquality, portsIn(4)).map(([op, range]) => nft.match(ports, op, range)),
    someOf(fc.nat({ max: 5 }).chain(portsIn)).map((wanted) => nft.match(ports, '==', wanted)),
    someOf(
      fc
        .tuple(anyHost, anyPort)
        .map(([host, port]) => nft.concat(nft.address(addressOf(family, host)), nft.number(port))),
    ).map((keys) => nft.match(nft.join(source(family), ports), '==', keys)),
    anyPort.map((port) => nft.match(nft.payload(transport === 'both' ? 'th' : transport, 'sport'), '==', port)),
    anyHost.map((host) =>
      nft.match(nft.payload(family === 4 ? 'ip' : 'ip6', 'saddr'), '==', nft.address(addressOf(family, host))),
    ),
    fc.constant(nft.match(nft.meta('nfproto'), '==', nft.symbol(`ipv${family}`))),
    fc.constantFrom('local', 'broadcast').map((type) => nft.match(nft.fib('type', 'daddr'), '==', nft.symbol(type))),
    anyHost.map((host) =>
      nft.match(
        nft.ct(family === 4 ? 'ip daddr' : 'ip6 daddr', 'original'),
        '==',
        nft.address(addressOf(family, host)),
      ),
    ),
    ...(references.length === 0
      ? []
      : [
          fc
            .tuple(anyEquality, fc.constantFrom(...references))
            .map(([op, { of, name }]) => nft.match(of, op, nft.setReference(name))),
        ]),
  );
};

const anyMarkStatement: fc.Arbitrary<Statement> = fc.oneof(
  fc.tuple(fc.constantFrom('ct', 'meta'), anyMark).map(([of, mark]) => nft.assign(markOf(of), mark)),
  fc
    .tuple(fc.constantFrom('ct', 'meta'), fc.constantFrom('ct', 'meta'), anyMark, anyMark)
    .map(([of, from, mask, bits]) => nft.assign(markOf(of), nft.or(nft.and(markOf(from), mask), bits))),
  fc.tuple(fc.constantFrom('&', '|', '^'), anyMark).map(([operator, bits]) =>
    nft.assign(nft.meta('mark'), {
      kind: 'binary',
      operator,
      left: nft.ct('mark'),
      right: nft.number(bits),
    } as Expression),
  ),
);
const markOf = (of: string): Expression => (of === 'ct' ? nft.ct('mark') : nft.meta('mark'));

type Place = 'filter' | 'dnat' | 'snat' | 'end';

const anyAction = (
  subject: Subject,
  place: Place,
  stores: readonly Store[],
  jumps: readonly string[],
): fc.Arbitrary<readonly Statement[]> => {
  const { family, transport } = subject;
  const ip = family === 4 ? ('ip' as const) : ('ip6' as const);
  const to = anyHost.map((host) => nft.address(addressOf(family, host)));
  const actions: fc.Arbitrary<readonly Statement[]>[] = [
    fc.constantFrom([nft.accept], [nft.drop], [nft.returnVerdict], [nft.counter, nft.accept]),
    anyMarkStatement.map((statement) => [statement]),
    fc.tuple(anyMarkStatement, anyMarkStatement).map((statements) => [...statements, nft.accept]),
  ];
  if (place === 'end') return fc.oneof(...actions);
  actions.push(
    fc.constantFrom(...jumps).map((chain) => [nft.jump(chain)]),
    fc
      .uniqueArray(fc.tuple(anyMark, anyVerdict), {
        minLength: 1,
        maxLength: 3,
        selector: ([mark]) => mark & 0xff_0000,
      })
      .map((pairs) => [
        nft.verdictMap(
          nft.and(nft.ct('mark'), 0xff_0000),
          nft.anonymousMap(...pairs.map(([mark, data]) => ({ key: nft.number(mark & 0xff_0000), data }))),
        ),
      ]),
    ...stores.flatMap((store) =>
      store.kind === 'verdictMap' && (store.shape.family ?? family) === family
        ? [
            fc.constant([
              ...(store.shape.type.includes('inet_service') ? [bothTransports] : []),
              nft.verdictMap(store.shape.of(family), nft.setReference(store.map.name)),
            ]),
          ]
        : [],
    ),
  );
  if (place === 'filter') {
    actions.push(
      fc.constantFrom([nft.reject()], [nft.reject('icmpx', nft.symbol('admin-prohibited'))]),
      ...(transport === 'tcp'
        ? [
            fc
              .integer({ min: 500, max: 1_500 })
              .map((size) => [
                nft.match(nft.and(nft.payload('tcp', 'flags'), nft.flags('syn', 'rst')), '==', nft.symbol('syn')),
                nft.assign(nft.tcpOption('maxseg', 'size'), size),
              ]),
            fc.constant([nft.reject('tcp reset')]),
          ]
        : []),
    );
  }
  if (place === 'snat') {
    actions.push(
      fc.subarray(['random', 'persistent']).map((flags) => [nft.masquerade({ flags })]),
      to.map((address) => [nft.snat(ip, address)]),
    );
  }
  if (place === 'dnat') {
    actions.push(
      to.map((address) => [nft.dnat(ip, address)]),
      ...(transport === 'both'
        ? []
        : [
            fc
              .tuple(to, anyPort)
              .map(([address, port]) => [
                nft.match(nft.payload(transport, 'dport'), '==', 80),
                nft.dnat(ip, address, { port }),
              ]),
          ]),
      ...stores.flatMap((store) =>
        store.kind === 'addressMap' && store.shape.family === family && transport === 'both'
          ? [fc.constant([bothTransports, nft.dnat(ip, nft.lookup(target(family), nft.setReference(store.map.name)))])]
          : [],
      ),
    );
  }
  return fc.oneof(...actions);
};

const anyRule = (place: Place, stores: readonly Store[], jumps: readonly string[]): fc.Arbitrary<Rule> =>
  anySubject.chain((subject) =>
    fc
      .tuple(
        fc.array(anyMatch(subject, stores), { maxLength: 3 }),
        anyAction(subject, place, stores, jumps),
        anyComment,
      )
      .map(([matches, action, comment]) => {
        const asked = subject.transport === 'both' ? [bothTransports] : [];
        const statements = [...asked, ...matches, ...action];
        return comment === undefined ? nft.rule(...statements) : nft.rule(comment, ...statements);
      }),
  );

const bases: readonly {
  readonly name: string;
  readonly place: Place;
  readonly at: Pick<BaseChain, 'type' | 'hook'>;
}[] = [
  { name: 'sp_pre', place: 'end', at: { type: 'filter', hook: 'prerouting' } },
  { name: 'sp_forward', place: 'filter', at: { type: 'filter', hook: 'forward' } },
  { name: 'sp_input', place: 'filter', at: { type: 'filter', hook: 'input' } },
  { name: 'sp_out', place: 'end', at: { type: 'route', hook: 'output' } },
  { name: 'sp_dnat', place: 'dnat', at: { type: 'nat', hook: 'prerouting' } },
  { name: 'sp_snat', place: 'snat', at: { type: 'nat', hook: 'postrouting' } },
];

const anyChains = (stores: readonly Store[]): fc.Arbitrary<readonly Chain[]> =>
  fc.subarray(bases as (typeof bases)[number][]).chain((chosen) =>
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

/** A table `inet sallyport` of random sets, maps and chains that refer to each other. */
export const anyTable: fc.Arbitrary<Table> = anyStores.chain((stores) =>
  anyChains(stores).map((chains) => ({
    family: 'inet',
    name: 'sallyport',
    sets: stores.flatMap((store) => (store.kind === 'set' ? [store.set] : [])),
    maps: stores.flatMap((store) => (store.kind === 'set' ? [] : [store.map])),
    chains,
    opaque: [],
  })),
);
