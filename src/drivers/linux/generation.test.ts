import { describe, expect, test } from 'vitest';
import { startNamespace } from '../../lab/index.ts';
import { namespaceTransport, type Transport } from '../../transport/index.ts';
import { linuxDriver } from '../index.ts';
import { readListing } from './generation.ts';

const { signal } = new AbortController();

/** A lab with a network namespace `edge` and a driver that looks at it; `listed` tells whether the last look listed the rules. */
async function startEdge() {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'edge']);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const real = namespaceTransport('edge', 'edge', { entry });
  let listed = false;
  const transport: Transport = {
    ...real,
    async runAll(commands, signal) {
      const outputs = await real.runAll(commands, signal);
      listed ||= outputs.some(({ stdout }) => stdout.includes('{"nftables"'));
      return outputs;
    },
  };
  const driver = linuxDriver(transport);
  return {
    lab,
    inside: (text: string) => lab.run(['nsenter', '--net=/run/netns/edge', 'sh', '-ec', text]),
    async look() {
      listed = false;
      const { tables } = (await driver.observe(signal)).state;
      return { tables, listed };
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

const RULES = `
ip link set lo up
ip link add d0 type veth peer name d9
nft -f - <<'END'
table inet sallyport {
  map m {
    type inet_service : inet_service
    elements = { 1 : 2, 3 : 4 }
  }
  set seen {
    type ipv4_addr
    size 100
    flags dynamic
  }
  chain c {
    iif "d0" drop
    counter
  }
  chain out {
    type filter hook output priority 0
    counter add @seen { ip daddr }
  }
}
END`;

test('rules that nobody changed are not listed again, and are the very same', async () => {
  await using edge = await startEdge();
  await edge.inside(RULES);
  const first = await edge.look();
  expect(first).toMatchObject({ listed: true, tables: [{ name: 'sallyport' }] });
  const second = await edge.look();
  expect(second.listed).toBe(false);
  expect(second.tables).toBe(first.tables);
  await edge.inside('nft -j list ruleset; nft add element inet sallyport m "{ 1 : 2 }"'); // it is there
  await edge.inside('nft -c delete table inet sallyport'); // only checked
  await edge.inside('ping -q -c 1 127.0.0.1; nft list set inet sallyport seen | grep -q 127.0.0.1'); // written by packets
  expect((await edge.look()).listed).toBe(false);
});

describe('whoever changes rules is seen', () => {
  for (const [what, change, sign] of [
    ['an element more', 'nft add element inet sallyport m "{ 5 : 6 }"', '"value":5'],
    [
      'another in its place',
      'nft "delete element inet sallyport m { 3 }; add element inet sallyport m { 9 : 4 }"',
      '"value":9',
    ],
    ['a rule more', 'nft add rule inet sallyport c accept', '"accept"'],
    ['a table of others', 'nft add table ip other', '"other"'],
    ['iptables', 'iptables -A INPUT -p tcp --dport 4711 -j ACCEPT', '4711'],
    ['deleted and added at once', 'nft "delete table inet sallyport; add table inet sallyport"', '"maps":[]'],
    ['deleted and added', 'nft delete table inet sallyport; nft add table inet sallyport', '"maps":[]'],
    ['an interface that a rule names, renamed', 'ip link set d0 name d1', '"d1"'],
    ['an interface that a rule names, gone', 'ip link delete d0', '"drop"'],
  ] as const)
    test(what, async () => {
      await using edge = await startEdge();
      await edge.inside(RULES);
      const text = ({ tables }: Awaited<ReturnType<typeof edge.look>>) =>
        JSON.stringify(tables, (_, value) => (typeof value === 'bigint' ? String(value) : value));
      const before = text(await edge.look());
      expect((await edge.look()).listed).toBe(false);
      await edge.inside(change);
      const after = await edge.look();
      expect(after.listed).toBe(true);
      expect(text(after)).not.toBe(before);
      expect(text(after)).toContain(sign);
    });
});

test('a namespace that took the place and the name of another is seen, though as many transactions were made in it', async () => {
  await using edge = await startEdge();
  await edge.inside('nft add table ip one');
  expect((await edge.look()).tables).toMatchObject([{ name: 'one' }]);
  await edge.lab.run(['sh', '-ec', 'ip netns delete edge; ip netns add edge']);
  await edge.inside('nft add table ip two');
  expect((await edge.look()).tables).toMatchObject([{ name: 'two' }]);
});

test('without perl the rules are listed each time', async () => {
  await using edge = await startEdge();
  await edge.inside(RULES);
  await edge.lab.run(['sh', '-ec', 'mount -n --bind /bin/false "$(readlink -f "$(command -v perl)")"']);
  for (let times = 0; times < 2; times++)
    expect(await edge.look()).toMatchObject({ listed: true, tables: [{ name: 'sallyport' }] });
});

for (const [what, stdout, listing] of [
  ['unchanged', 'same\n', undefined],
  [
    'of one generation',
    'boot 1 7\n{"nftables": []}\nboot 1 7\n',
    { text: '{"nftables": []}\n', generation: 'boot 1 7' },
  ],
  ['changed while it was listed', 'boot 1 7\n{"nftables": []}\nboot 1 8\n', { text: '{"nftables": []}\n' }],
  ['of a host that cannot tell', '\n{"nftables": []}\n', { text: '{"nftables": []}\n' }],
  ['of a host that could tell before alone', 'boot 1 7\n{"nftables": []}\nboot 1 \n', { text: '{"nftables": []}\n' }],
] as const)
  test(`a listing ${what}`, () => expect(readListing(stdout)).toEqual(listing));
