/** Labels of connections, helpers, and connections that others make known beforehand: the kernel lets through what the model says it does. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { amongStanding, simulate } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const cable = (at: string, gateway: string, net: number): Topology['cables'][number] => ({
  ends: [
    { at, interface: 'eth0', addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`] },
    { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`, `fd0${net}::1/64`] },
  ],
});
const ways = (net: number) => [`10.${net}.0.1`, `fd0${net}::1`].map((via) => ({ to: 'default', via }));
const WALK: Topology = {
  name: 'labels',
  hosts: [
    { name: 'client', routes: ways(1) },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } },
    { name: 'server', routes: ways(2) },
  ],
  switches: [],
  cables: [cable('client', 'c0', 1), cable('server', 's0', 2)],
};
const AT = { 4: { client: '10.1.0.2', server: '10.2.0.2' }, 6: { client: 'fd01::2', server: 'fd02::2' } } as const;

/** What comes from the client meets the first rules, what comes back the second. */
interface Case {
  readonly there: readonly string[];
  readonly back: readonly string[];
  readonly answered: boolean;
}
const nft = (there: string, back: string, answered: boolean): Case => ({
  ...{ there: there.split(';'), back: back.split(';'), answered },
});
const NFT: readonly Case[] = [
  nft('ct label set 5 accept', 'ct label 5 accept', true),
  nft('ct label set 5 accept', 'ct label 6 accept', false),
  nft('ct label set 127 accept', 'ct label 127 accept', true),
  nft('ct label set 0 accept', 'ct label 0 accept', true),
  nft('ct label set 5 accept', 'ct label ! 5 accept', false),
  nft('ct label set 5 accept', 'ct label ! 6 accept', true),
  nft('ct label set 5;ct label set 6 accept', 'ct label 5 accept', true),
  nft('ct label set 5;ct label set 6 accept', 'ct label == 5 accept', false),
  nft('ct label set 5;ct label set 6 accept', 'ct label & 6 == 6 accept', true),
  nft('ct label set 5;ct label set 6 accept', 'ct label != 5 accept', true),
  nft('ct label set 5;ct label 5 accept', 'ct label == 5 accept', true),
  nft('ct label set 5 accept', 'ct label 4,5 accept', true),
  nft('ct label set 5 accept', 'ct label 4,6 accept', false),
  nft('ct label 5 accept', 'accept', false),
  nft('ct label & 5 != 5 accept', 'accept', true),
  nft('ct helper "ftp" accept', 'accept', false),
  nft('ct helper != "ftp" accept', 'accept', false),
  nft('ct helper set "h" accept', 'ct helper set "h" accept', true),
  // Its next packet makes nothing known any more, and the rule ends.
  nft('ct expectation set "e" accept', 'accept', false),
  nft('ct expectation set "f";ct state new,established accept', 'ct state new,established accept', true),
  nft('accept', 'ct timeout set "t" accept', true),
  nft('ct status & expected == 0 accept', 'ct status expected drop;accept', true),
];
const IPTABLES: readonly Case[] = [
  nft('-m connlabel --label 5 --set', '-m connlabel --label 5', true),
  nft('-m connlabel --label 5 --set', '-m connlabel --label 6', false),
  nft('-m connlabel --label 5', '-m connlabel --label 5', false),
  nft('-m connlabel ! --label 5', '-m connlabel ! --label 5', true),
  nft('-m connlabel ! --label 5 --set', '-m connlabel --label 5', false),
  nft('-m connlabel --label 5 --set', '-m connlabel ! --label 5', false),
  nft('-m helper --helper ftp', '', false),
  nft('-m helper ! --helper ftp', '', true),
  nft('-m conntrack ! --ctstatus EXPECTED', '-m conntrack --ctstatus EXPECTED', false),
];

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab.serve('server', { protocol: 'udp', port: 5000 });
});
afterEach(async () => {
  await lab.host('gw').run(['nft', 'flush', 'ruleset']);
  await lab.host('gw').run(['conntrack', '-F']);
});
afterAll(async () => lab[Symbol.asyncDispose]());

const OBJECTS = `ct helper h { type "tftp" protocol udp; }
ct expectation e { protocol udp; dport 5999; timeout 60s; size 4; l3proto ip; }
ct expectation f { protocol udp; dport 5997; timeout 60s; size 4; l3proto ip; }
ct timeout t { protocol udp; policy = { replied : 100 }; }`;
/** Each case has its own port of the client, and another at which nothing is tracked: then there are no labels. */
const portOf = (index: number, untracked: boolean): number => 41_000 + index + (untracked ? 1_000 : 0);
const UNTRACKED = '42000-42999';
const both = [false, true] as const;

const ruleset = `table inet t { ${OBJECTS}
chain raw { type filter hook prerouting priority -300; udp sport ${UNTRACKED} notrack; udp dport ${UNTRACKED} notrack; }
chain f { type filter hook forward priority 0; policy drop;
udp sport 40999 accept; udp dport 40999 accept
${NFT.flatMap(({ there, back }, index) =>
  both.flatMap((untracked) => [
    ...there.map((each) => `iifname c0 udp sport ${portOf(index, untracked)} ${each}`),
    ...back.map((each) => `iifname s0 udp dport ${portOf(index, untracked)} ${each}`),
  ]),
).join('\n')}
}
}`;
const range = UNTRACKED.replace('-', ':');
const listing = [
  ...['*raw', `-A PREROUTING -p udp --sport ${range} -j CT --notrack`],
  ...[`-A PREROUTING -p udp --dport ${range} -j CT --notrack`, 'COMMIT'],
  ...['*filter', ':FORWARD DROP [0:0]', ...['--sport', '--dport'].map((o) => `-A FORWARD -p udp ${o} 40999 -j ACCEPT`)],
  ...IPTABLES.flatMap(({ there, back }, index) =>
    both.flatMap((untracked) => [
      `-A FORWARD -i c0 -p udp --sport ${portOf(index, untracked)} ${there.join(' ')} -j ACCEPT`,
      `-A FORWARD -i s0 -p udp --dport ${portOf(index, untracked)} ${back.join(' ')} -j ACCEPT`,
    ]),
  ),
  ...['COMMIT', ''],
].join('\n');

/** From each port twice; who was answered both times. What is sent last of all is answered when all others have been. */
const SEND = `import json, socket, sys
to, source, ports = json.load(sys.stdin)
asked = []
for port in ports + [40999]:
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, port))
    asked.append(s)
def ask():
    for s in asked: s.sendto(b"x\\n", (to, 5000))
    asked[-1].recv(99)
    heard = set()
    for s, port in zip(asked, ports):
        s.setblocking(False)
        try: s.recv(99); heard.add(port)
        except BlockingIOError: pass
    return heard
print(json.dumps(sorted(ask() & ask())))`;

async function compare(cases: readonly Case[], family: 4 | 6): Promise<void> {
  const { client, server } = AT[family];
  const network = await live.look();
  const all = both.flatMap((untracked) => cases.map((_, index) => portOf(index, untracked)));
  const works = (sport: number): boolean | 'undecided' => {
    const to = family === 4 ? `${server}:5000/udp` : `[${server}]:5000/udp`;
    const { flow } = amongStanding(
      network,
      placeQuestion(network, readQuestion({ from: client, to, sport: `${sport}` }, ['client'])),
    );
    return simulate(network, flow).works;
  };
  const { stdout } = await lab
    .host('client')
    .run(['/usr/bin/python3', '-c', SEND], { stdin: JSON.stringify([server, client, all]) });
  const heard = new Set(JSON.parse(stdout) as readonly number[]);
  const tell = (answered: (port: number) => unknown) =>
    all.map((port, index) => {
      const { there, back } = cases[index % cases.length] ?? { there: [], back: [] };
      return `${there.join('; ')} and back ${back.join('; ')}${index < cases.length ? '' : ', untracked'}: ${answered(port)}`;
    });
  expect(tell(works)).toEqual(tell((port) => heard.has(port)));
  expect(all.slice(0, cases.length).map((port) => heard.has(port))).toEqual(cases.map(({ answered }) => answered));
}

describe('who is answered, by', () => {
  for (const family of [4, 6] as const) {
    test(`rules of nft, IPv${family}`, async () => {
      await lab.host('gw').run(['nft', '-f', '-'], { stdin: ruleset });
      await compare(NFT, family);
    });
    test(`rules of ${family === 4 ? 'iptables' : 'ip6tables'}`, async () => {
      await lab.host('gw').run([family === 4 ? 'iptables-restore' : 'ip6tables-restore'], { stdin: listing });
      await compare(IPTABLES, family);
    });
  }
});

describe('a connection that another one made known', () => {
  const EXPECTING = `table inet t { ${OBJECTS}
    chain f { type filter hook forward priority 0; policy drop; ct state related ct mark 7 accept; ct state established accept
      iifname c0 udp dport 5000 ct mark set 7 ct expectation set "e" accept
      ct label 5 accept
    }
    chain n { type nat hook postrouting priority 100; udp dport 5999 snat ip to 10.1.0.1; }
  }`;
  const back = { from: AT[4].server, to: `${AT[4].client}:5999/udp` };

  test('is related, with the mark of that one, and translated by itself; others from there are not', async () => {
    await lab.host('gw').run(['nft', '-f', '-'], { stdin: EXPECTING });
    const server = await lab.serve('client', { protocol: 'udp', port: 5999 });
    const unexpected = await lab.serve('client', { protocol: 'udp', port: 5998 });
    const before = await live.ask(back);
    expect(before.flat().map(({ works }) => works)).toEqual([false]);
    const question = { protocol: 'udp', to: AT[4].server, port: 5000, timeoutMs: 1_000 } as const;
    expect(await lab.connect('client', { ...question, sourcePort: 40_900 })).toMatchObject({ ok: true });

    const [expected, other] = await live.ask(back, { ...back, to: `${AT[4].client}:5998/udp` });
    expect(other?.map(({ works }) => works)).toEqual([false]);
    expect(expected?.map(({ works }) => works)).toEqual([true]);
    const tracked = expected?.[0]?.hops.find(({ stage }) => stage === 'conntrack');
    expect(tracked?.detail).toBe('expected by another connection: related, mark 0x7');
    expect(tracked?.decidedBy).toMatch(/^\d+ proto=17 src=10\.2\.0\.2 .*dport=5000 class=0$/);
    expect(expected?.[0]?.hops.map(({ detail }) => detail)).toContain(
      '10.1.0.1:40000 → 10.1.0.2:5999/udp comes in by eth0',
    );
    // Another of the same ends makes the same known: it is dropped while the first expects it.
    const [second] = await live.ask({ from: AT[4].client, to: `${AT[4].server}:5000/udp`, sport: '40901' });
    expect(second?.map(({ works, reason }) => [works, reason])).toEqual([
      ['undecided', expect.stringContaining('may be expected already: then the packet is dropped')],
    ]);
    expect(await lab.connect('client', { ...question, timeoutMs: 300, sourcePort: 40_901 })).toMatchObject({
      ok: false,
    });
    // The kernel lets it through as related, which no rule does for the other.
    const ask = (port: number) =>
      lab.connect('server', { protocol: 'udp', to: AT[4].client, port, timeoutMs: 300, sourcePort: 40_000 });
    expect([(await ask(5998)).ok, (await ask(5999)).ok]).toEqual([false, true]);
    expect([(await unexpected.report()).length, (await server.report()).map(({ client }) => client)]).toEqual([
      ...[0, [{ address: '10.1.0.1', port: 40_000 }]],
    ]);
    // A packet of it: whether it was expected no listing tells, nor its labels.
    await lab.host('gw').run(['nft', '-f', '-'], {
      stdin: 'flush chain inet t f\nadd rule inet t f ct state new accept\nadd rule inet t f ct status expected accept',
    });
    const [standing] = await live.ask({ ...back, sport: '40000' });
    expect(standing?.map(({ works }) => works)).toEqual(['undecided']);
  });

  test('of one that is translated is undecided: a helper chooses how it is, too', async () => {
    await lab.host('gw').run(['nft', '-f', '-'], {
      stdin: `${EXPECTING}\ntable ip n { chain s { type nat hook postrouting priority 90; udp dport 5000 snat to 10.2.0.1; }; }`,
    });
    const question = { protocol: 'udp', to: AT[4].server, port: 5000, timeoutMs: 1_000, sourcePort: 40_902 } as const;
    expect(await lab.connect('client', question)).toMatchObject({ ok: true });
    const [told] = await live.ask(back);
    expect(told?.map(({ works }) => works)).toEqual(['undecided']);
    expect(told?.[0]?.reason).toMatch(/as part of another connection, which is translated, .* proto=17 .*class=0$/);
  });
});
