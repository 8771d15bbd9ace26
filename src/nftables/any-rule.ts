/** Random rules that nft takes, for property tests. */
import fc from 'fast-check';
import {
  addressOf,
  anyComment,
  anyFamily,
  anyHost,
  anyLink,
  anyMark,
  anyPort,
  anyVerdict,
  blockIn,
  portsIn,
  type Store,
  source,
  target,
} from './any-store.ts';
import * as nft from './build.ts';
import type { Expression, Rule, Statement, Value } from './ruleset.ts';

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
    fc
      .tuple(fc.constantFrom('in', '==', '!=' as const), fc.nat({ max: 127 }))
      .map(([op, label]) => nft.match(nft.ct('label'), op, label)),
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

const anyHashed = ({ family, transport }: Subject): fc.Arbitrary<Expression> =>
  fc
    .tuple(
      fc.constantFrom(
        source(family),
        nft.join(source(family), nft.payload(transport === 'both' ? 'th' : transport, 'sport')),
      ),
      fc.integer({ min: 2, max: 4_096 }),
      fc.integer({ min: 1, max: 0x7fff_ffff }),
    )
    .map(([of, modulus, seed]) => nft.hash(of, modulus, seed));
const anyNumber = (subject: Subject): fc.Arbitrary<Expression> =>
  fc.oneof(
    anyHashed(subject),
    fc
      .tuple(fc.constantFrom('inc' as const, 'random' as const), fc.integer({ min: 2, max: 64 }))
      .map(([mode, modulus]): Expression => ({ kind: 'numgen', mode, modulus, offset: 7 })),
    fc.integer({ min: 2, max: 64 }).map((modulus): Expression => ({ kind: 'symhash', modulus })),
  );
const anyJudge: fc.Arbitrary<Statement> = fc.oneof(
  fc
    .tuple(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: 100 }))
    .map(([rate, burst]) => nft.rateOver(rate, burst)),
  fc
    .tuple(fc.boolean(), fc.integer({ min: 1, max: 100 }), fc.constantFrom('second', 'minute', 'hour', 'day' as const))
    .map(([over, rate, per]): Statement => ({ kind: 'limit', over, rate, per })),
);
/** The set for elements that packets write, where a table has it: see any-table.ts. */
export const written = { 4: 'sp_seen4', 6: 'sp_seen6' } as const;
const anyUpdate = ({ family }: Subject): fc.Arbitrary<Statement> =>
  fc
    .tuple(fc.constantFrom(nft.update, nft.addTo), fc.option(anyJudge, { nil: undefined }), fc.boolean())
    .map(([write, judge, timed]): Statement => {
      const statement = write(written[family], source(family), ...(judge === undefined ? [] : [judge]));
      return timed ? { ...statement, timeoutSeconds: 9 } : statement;
    });

const anyMarkStatement: fc.Arbitrary<Statement> = fc.oneof(
  fc.nat({ max: 127 }).map((label) => nft.assign(nft.ct('label'), label)),
  fc.tuple(fc.constantFrom('ct', 'meta'), anyMark).map(([of, mark]) => nft.assign(markOf(of), mark)),
  fc
    .tuple(fc.constantFrom('ct', 'meta'), fc.constantFrom('ct', 'meta'), anyMark, anyMark)
    .map(([of, from, mask, bits]) => nft.assign(markOf(of), nft.or(nft.and(markOf(from), mask), bits))),
  fc
    .tuple(fc.constantFrom(nft.and, nft.or, nft.xor), anyMark)
    .map(([change, bits]) => nft.assign(nft.meta('mark'), change(nft.ct('mark'), bits))),
);
const markOf = (of: string): Expression => (of === 'ct' ? nft.ct('mark') : nft.meta('mark'));

/** Where a rule stands, which decides what it may do; `end` refers to no chain. */
export type Place = 'raw' | 'filter' | 'dnat' | 'snat' | 'end';

/** Writes an address, or a port that a map may give. */
const anyRewrite = ({ family, transport }: Subject): fc.Arbitrary<readonly Statement[]> => {
  const ip = family === 4 ? 'ip' : 'ip6';
  const ports = transport === 'both' ? 'th' : transport;
  const address = fc
    .tuple(fc.constantFrom('saddr', 'daddr'), anyHost)
    .map(([field, host]) => [nft.assign(nft.payload(ip, field), nft.address(addressOf(family, host)))]);
  const port = fc
    .tuple(fc.constantFrom('sport', 'dport'), anyPort, anyPort, fc.boolean())
    .map(([field, from, to, byMap]) => {
      const written = nft.payload(ports, field);
      const given = nft.lookup(
        nft.join(nft.payload(ip, 'daddr'), nft.payload(ports, 'dport')),
        nft.anonymousMap(
          nft.mapElement(nft.concat(nft.address(addressOf(family, 1)), nft.number(from)), nft.number(to)),
        ),
      );
      const towards = nft.match(
        nft.fib('oifname', 'daddr'),
        '==',
        nft.anonymousSet(nft.text('eth0'), nft.text('eth1')),
      );
      return [...(byMap ? [towards] : []), nft.assign(written, byMap ? given : to), nft.notrack];
    });
  const unsummed = nft.match(nft.payload('udp', 'checksum'), '==', 0);
  return transport === 'udp'
    ? fc.oneof(
        address,
        port,
        port.map((statements) => [unsummed, ...statements]),
      )
    : fc.oneof(address, port);
};

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
    anyNumber(subject).map((value) => [nft.assign(nft.meta('mark'), value)]),
    anyJudge.map((judge) => [judge, nft.counter, nft.drop]),
    anyUpdate(subject).map((statement) => [statement, nft.counter, nft.drop]),
  ];
  if (place === 'raw') actions.push(fc.constant([nft.notrack]), anyRewrite(subject));
  if (place === 'end' || place === 'raw') return fc.oneof(...actions);
  actions.push(
    fc.tuple(fc.constantFrom(nft.jump, nft.goTo), fc.constantFrom(...jumps)).map(([go, chain]) => [go(chain)]),
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
      store.kind === 'verdictMap' &&
      (store.shape.family ?? family) === family &&
      (transport === 'both' || !store.shape.type.includes('inet_service'))
        ? [fc.constant([nft.verdictMap(store.shape.of(family), nft.setReference(store.map.name))])]
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
      fc
        .tuple(to, to)
        .map(([one, other]) => [
          nft.match(nft.payload(ip, 'daddr'), '==', one),
          nft.dnat(ip, nft.lookup(nft.payload(ip, 'daddr'), nft.anonymousMap(nft.mapElement(one, other)))),
        ]),
      ...(transport === 'both'
        ? []
        : [
            fc
              .tuple(to, anyPort)
              .map(([address, port]) => [
                nft.match(nft.payload(transport, 'dport'), '==', 80),
                nft.dnat(ip, address, { port }),
              ]),
            anyPort.map((port) => [nft.match(nft.payload(transport, 'dport'), '==', 80), nft.redirect({ port })]),
          ]),
      ...stores.flatMap((store) =>
        store.kind === 'addressMap' && store.shape.family === family && transport === 'both'
          ? [fc.constant([nft.dnat(ip, nft.lookup(target(family), nft.setReference(store.map.name)))])]
          : [],
      ),
    );
  }
  return fc.oneof(...actions);
};

/** nft takes a lower and an upper bound for one range, and lists `tcp dport < 2 tcp dport > 2` wrongly as `!= 2`. */
function withOneBound(matches: readonly Statement[]): readonly Statement[] {
  const isBound = (statement: Statement) => statement.kind === 'match' && /^[<>]/.test(statement.op);
  const first = matches.find(isBound);
  return matches.filter((statement) => !isBound(statement) || statement === first);
}

/** A rule for a chain at `place`, which may refer to `stores` and lead to the chains `jumps`. */
export const anyRule = (place: Place, stores: readonly Store[], jumps: readonly string[]): fc.Arbitrary<Rule> =>
  anySubject.chain((subject) =>
    fc
      .tuple(
        fc.array(anyMatch(subject, stores), { maxLength: 3 }).map(withOneBound),
        anyAction(subject, place, stores, jumps),
        anyComment,
      )
      .map(([matches, action, comment]) => {
        const asked = subject.transport === 'both' ? [bothTransports] : [];
        const statements = [...asked, ...matches, ...action];
        return comment === undefined ? nft.rule(...statements) : nft.rule(comment, ...statements);
      }),
  );
