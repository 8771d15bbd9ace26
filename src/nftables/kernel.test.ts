import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { type Address, printAddress } from '../net/index.ts';
import { anyTable } from './any-table.ts';
import {
  address,
  addTo,
  and,
  assign,
  baseChain,
  diffTable,
  evaluate,
  hash,
  join,
  match,
  meta,
  normalTable,
  payload,
  prepareRuleset,
  printTable,
  printTransaction,
  readRuleset,
  rule,
  symbol,
} from './index.ts';
import type { RulesetChange, Table } from './ruleset.ts';

const runs = Number(process.env.SALLYPORT_RUNS ?? 60);

const load = (kernel: Namespace, text: string) => kernel.run(['nft', '-f', '-'], { stdin: text });
async function listed(kernel: Namespace): Promise<Table | undefined> {
  const { stdout } = await kernel.run(['nft', '-j', 'list', 'ruleset']);
  return readRuleset(stdout)[0];
}
const normal = (table: Table | undefined) => (table === undefined ? undefined : printTable(normalTable(table)));

const invert = (change: RulesetChange): RulesetChange => {
  switch (change.action) {
    case 'add':
      return { action: 'remove', before: change.after };
    case 'change':
      return { action: 'change', before: change.after, after: change.before };
    case 'remove':
      return { action: 'add', after: change.before };
  }
};

test('the kernel gives back what was printed', async () => {
  await using kernel = await startNamespace();
  await fc.assert(
    fc.asyncProperty(anyTable, async (table) => {
      await load(kernel, `flush ruleset\n${printTable(table)}`);
      const back = await listed(kernel);
      expect(normal(back)).toBe(normal(table));
      expect(diffTable(back, table)).toEqual([]);
      expect(normal(normalTable(table))).toBe(normal(table));
    }),
    { numRuns: runs },
  );
});

/** ADDRESS...: a datagram from each, to itself. */
const FROM_EACH = `
use Socket qw(:all);
for my $address (@ARGV) {
  my $six = $address =~ /:/;
  my $bytes = inet_pton($six ? AF_INET6 : AF_INET, $address);
  my $at = sub { $six ? pack_sockaddr_in6($_[0], $bytes) : pack_sockaddr_in($_[0], $bytes) };
  socket(my $s, $six ? PF_INET6 : PF_INET, SOCK_DGRAM, 0) or die;
  bind($s, $at->(0)) or die "bind $address: $!";
  send($s, "x", 0, $at->(9)) or die "send $address: $!";
}`;

test('a hash gives the buckets that the kernel gives', async () => {
  await using kernel = await startNamespace();
  await kernel.run(['ip', 'link', 'set', 'lo', 'up']);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(4 as const, 6 as const),
      fc.uniqueArray(fc.integer({ min: 1, max: 0xffff }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 2, max: 5_000 }),
      fc.integer({ min: 1, max: 0xffff_ffff }),
      fc.constantFrom('address', 'network', 'address and port'),
      async (family, hosts, modulus, seed, what) => {
        const clients = hosts.map(
          (host): Address =>
            family === 4
              ? { family, value: (127n << 24n) | BigInt(host) }
              : { family, value: (0xfd00n << 112n) | (BigInt(host) << 64n) | BigInt(host) },
        );
        const source = payload(family === 4 ? 'ip' : 'ip6', 'saddr');
        const network = and(source, address({ family: 6, value: 0xffff_ffff_ffff_ffffn << 64n }));
        const key =
          what === 'address' || (what === 'network' && family === 4)
            ? source
            : what === 'network'
              ? network
              : join(source, payload('udp', 'dport'));
        const table: Table = {
          family: 'inet',
          name: 'hashed',
          sets: [{ name: 'seen', type: ['mark'], flags: ['dynamic'], elements: [], extra: { size: 65_535 } }],
          maps: [],
          chains: [
            baseChain(
              'out',
              { type: 'filter', hook: 'output', priority: 0 },
              rule(match(meta('l4proto'), '==', symbol('udp')), assign(meta('mark'), hash(key, modulus, seed))),
              rule(match(meta('l4proto'), '==', symbol('udp')), addTo('seen', meta('mark'))),
            ),
          ],
          opaque: [],
        };
        const texts = clients.map(printAddress);
        if (family === 6)
          await kernel.run(['ip', '-force', '-6', '-batch', '-'], {
            stdin: texts.map((text) => `addr replace ${text}/128 dev lo nodad\n`).join(''),
          });
        await load(kernel, `flush ruleset\n${printTable(table)}`);
        await kernel.run(['perl', '-e', FROM_EACH, ...texts]);
        const { stdout } = await kernel.run(['nft', '-j', 'list', 'set', 'inet', 'hashed', 'seen']);
        const seen = new Set<number>(JSON.parse(stdout).nftables[1]?.set?.elem ?? []);
        const prepared = prepareRuleset([table]);
        const expected = clients.map((client) => {
          const evaluation = evaluate(
            prepared,
            { hook: 'output', type: 'filter' },
            {
              ...{ family, source: client, destination: client, protocol: 17, sourcePort: 40_000, destinationPort: 9 },
              ...{ mark: 0, addressType: () => 'local' },
            },
          );
          return evaluation.verdict === 'accept' ? (evaluation.changes.mark ?? 0) : evaluation;
        });
        expect([...seen].sort()).toEqual([...new Set(expected)].sort());
      },
    ),
    { numRuns: Math.ceil(runs / 2) },
  );
});

test('a transaction leads from any table to any other, and its inverse back', async () => {
  await using kernel = await startNamespace();
  const maybe = fc.option(anyTable, { nil: undefined, freq: 12 });
  await fc.assert(
    fc.asyncProperty(maybe, maybe, async (before, after) => {
      await load(kernel, `flush ruleset\n${before === undefined ? '' : printTable(before)}`);
      const changes = diffTable(await listed(kernel), after);
      await load(kernel, printTransaction(changes));
      const there = await listed(kernel);
      expect(normal(there)).toBe(normal(after));
      expect(diffTable(there, after)).toEqual([]);
      await load(kernel, printTransaction(changes.map(invert).reverse()));
      expect(normal(await listed(kernel))).toBe(normal(before));
    }),
    { numRuns: Math.ceil(runs / 2) },
  );
});
