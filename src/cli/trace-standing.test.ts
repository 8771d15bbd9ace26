/** A packet of a connection that stands goes where the kernel sends it: by its entry, whatever the rules have become since. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type Seen, startLab, type Topology } from '../lab/index.ts';
import type { TraceReport } from '../simulate/index.ts';
import { collector } from './bundles.ts';
import { hostDocuments, type Live, liveOf } from './testdata/live.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const cable = (at: string, gateway: string, net: number): Topology['cables'][number] => ({
  ends: [
    { at, interface: 'eth0', addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`] },
    { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`, `fd0${net}::1/64`] },
  ],
});
const ways = (net: number) => [`10.${net}.0.1`, `fd0${net}::1`].map((via) => ({ to: 'default', via }));

const WALK: Topology = {
  name: 'standing',
  hosts: [
    { name: 'client', routes: ways(1) },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } },
    { name: 'one', routes: ways(2) },
    { name: 'two', routes: ways(3) },
  ],
  switches: [],
  cables: [cable('client', 'c0', 1), cable('one', 'a0', 2), cable('two', 'b0', 3)],
};

const NAMES = WALK.hosts.map(({ name }) => name);

const chain = (name: string, hook: string, rules: string): string =>
  `chain ${name} { type ${hook.includes('nat') ? 'nat' : 'filter'} hook ${hook.replace('nat ', '')}; ${rules}; }; `;
const table = (...chains: readonly string[]): string => `flush ruleset\ntable inet t { ${chains.join('')} }\n`;
const dnat = (to: string) => chain('d', 'nat prerouting priority -100', `iifname c0 th dport 5000 dnat ip to ${to}`);
const forward = (...rules: readonly string[]) => chain('f', 'forward priority 0', rules.join('; '));
/** Somebody must ask for conntrack. */
const TRACK = forward('ct state new counter');

/** What becomes of the rules while a flow stands; `differ`: its packets fare otherwise than those of a new one. */
const CHANGES: readonly (readonly [what: string, before: string, after: string, differ: boolean])[] = [
  ['a forward that leads elsewhere now', table(TRACK, dnat('10.2.0.2')), table(TRACK, dnat('10.3.0.2')), true],
  [
    'a forward that is gone, of several',
    table(TRACK, dnat('10.2.0.2')),
    table(TRACK, chain('d', 'nat prerouting priority -100', 'udp dport 5999 dnat ip to 10.3.0.2')),
    true,
  ],
  // Without a nat chain nothing is translated, whatever the entry says.
  ['a forward that is gone, the last', table(TRACK, dnat('10.2.0.2')), table(TRACK), false],
  [
    'a masquerade that is gone',
    table(TRACK, dnat('10.2.0.2'), chain('s', 'nat postrouting priority 100', 'oifname a0 masquerade')),
    table(TRACK, dnat('10.2.0.2')),
    true,
  ],
  [
    'a firewall that lets in what is established',
    table(TRACK, dnat('10.2.0.2')),
    table(dnat('10.2.0.2'), forward('ct state established accept', 'drop')),
    true,
  ],
  [
    'a mark that only the first packet got',
    table(dnat('10.2.0.2'), forward('ct mark set 0x700')),
    table(dnat('10.2.0.2'), forward('ct mark 0x700 drop')),
    true,
  ],
  [
    'a mark that decides on the route',
    table(dnat('10.2.0.2'), forward('ct mark set 0x9')),
    table(dnat('10.2.0.2'), chain('m', 'prerouting priority -150', 'iifname c0 meta mark set ct mark')),
    true,
  ],
  [
    'a zone it is no longer looked for in',
    table(TRACK, dnat('10.2.0.2'), chain('z', 'prerouting priority -300', 'ct zone set 5')),
    table(TRACK, dnat('10.3.0.2')),
    false,
  ],
  [
    'a zone of the original direction',
    table(TRACK, dnat('10.2.0.2'), chain('z', 'prerouting priority -300', 'iifname c0 ct original zone set 5')),
    table(TRACK, dnat('10.3.0.2'), chain('z', 'prerouting priority -300', 'iifname c0 ct original zone set 5')),
    true,
  ],
  [
    'a first packet that was never answered',
    table(dnat('10.2.0.2'), forward('iifname a0 drop')),
    table(dnat('10.3.0.2'), forward('ct state established drop')),
    true,
  ],
];

const TO_GW = { from: '10.1.0.2', to: '10.1.0.1:5000/udp' } as const;

let lab: Lab;
let live: Live;
let servers: readonly { readonly name: string; readonly report: () => Promise<readonly Seen[]> }[];
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  await lab.host('gw').run(['ip', 'rule', 'add', 'fwmark', '0x9', 'unreachable']);
  for (const host of ['one', 'two']) await lab.serve(host, { protocol: 'tcp', port: 5000 });
  servers = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const server = await lab.serve(name, { protocol: 'udp', port: 5000 });
      return { name, report: () => server.report() };
    }),
  );
});
afterEach(async () => {
  await lab.host('gw').run(['nft', 'flush', 'ruleset']);
  await lab.host('gw').run(['conntrack', '-F']);
});
afterAll(async () => lab[Symbol.asyncDispose]());

const load = (rules: string) => lab.host('gw').run(['nft', '-f', '-'], { stdin: rules });
const counts = () => Promise.all(servers.map(async ({ report }) => (await report()).length));

/** What became of a datagram: who got it, from whom, and whether the answer came back. */
async function send(sourcePort: number): Promise<string> {
  const before = await counts();
  const { ok } = await lab.connect('client', {
    ...{ protocol: 'udp', to: '10.1.0.1', port: 5000, sourcePort, timeoutMs: 300 },
  });
  const news = await Promise.all(
    servers.map(async ({ name, report }, index) =>
      (await report()).slice(before[index]).map(({ client }) => `${name} sees ${client.address}`),
    ),
  );
  return `${news.flat().join(' and ') || 'nobody'}, ${ok ? 'answered' : 'not answered'}`;
}

const SERVERS: ReadonlySet<string | undefined> = new Set(['one', 'two']);

/** The same in the words of a trace. */
function tell([trace, more]: readonly TraceReport[]): string {
  if (trace === undefined || more !== undefined || trace.works === 'undecided') return JSON.stringify(trace);
  const host = trace.hops.at(-1)?.host;
  const who = trace.verdict === 'delivered' && SERVERS.has(host) ? `${host} sees ${trace.clientAddressSeen}` : 'nobody';
  return `${who}, ${trace.works ? 'answered' : 'not answered'}`;
}

describe('of UDP', () => {
  for (const [what, before, after, differ] of CHANGES)
    test(what, async () => {
      await load(before);
      await send(41_000);
      await load(after);
      const asked = await live.ask(...['41000', '41001'].map((sport) => ({ ...TO_GW, sport })));
      const told = asked.map(tell);
      const seen = [await send(41_000), await send(41_001)];
      expect(told).toEqual(seen);
      expect(seen[0] !== seen[1]).toBe(differ);
    });
});

test('of TCP: the next segment of a connection that stands, from either end', async () => {
  await load(table(TRACK, dnat('10.2.0.2')));
  const held = await lab.holdFlows('client', {
    ...{ protocol: 'tcp', to: '10.1.0.1', port: 5000, count: 1, intervalMs: 20, timeoutMs: 60_000 },
  });
  const { stdout } = await lab.host('gw').run(['conntrack', '-L', '-p', 'tcp']);
  const sport = / sport=(\d+)/.exec(stdout)?.[1] ?? 'no flow';
  await load(table(dnat('10.3.0.2'), forward('ct state established accept', 'drop')));
  const question = { from: '10.1.0.2', to: '10.1.0.1:5000/tcp' } as const;
  const [same, other, back] = await live.ask(
    { ...question, sport },
    { ...question, sport: '41001' },
    { from: '10.2.0.2', to: `10.1.0.2:${sport}/tcp`, sport: '5000' },
  );
  const { echoes } = await held.report();
  await waitFor('another echo', async () => (await held.report()).echoes > echoes);
  expect((await held.stop()).lost).toBe(0);
  expect(tell(same ?? [])).toBe('one sees 10.1.0.2, answered');
  expect(tell(other ?? [])).toBe('nobody, not answered');
  expect(back).toMatchObject([{ works: true, verdict: 'delivered', clientAddressSeen: '10.1.0.1' }]);
  const line = same?.[0]?.hops.find(({ stage }) => stage === 'conntrack');
  expect(line?.detail).toBe('of a connection that stands: established');
  expect(line?.decidedBy).toMatch(/^ipv4 2 tcp 6 \d+ ESTABLISHED src=10\.1\.0\.2 /);
});

test('of echoes of IPv6: by their id', async () => {
  await load(table(forward('meta l4proto ipv6-icmp ct mark set 0x3')));
  await lab.host('client').run(['ping', '-c', '1', '-e', '77', 'fd02::2']);
  await load(table(forward('icmpv6 type echo-request ct mark 0x3 drop')));
  const [same, other] = await live.ask(
    ...['77', '78'].map((sport) => ({ from: 'fd01::2', to: '[fd02::2]/icmp', sport })),
  );
  expect([same?.[0]?.works, other?.[0]?.works]).toEqual([false, true]);
  const pinged = await Promise.all(
    ['77', '78'].map((id) =>
      lab.host('client').run(['ping', '-c', '1', '-W', '0.3', '-e', id, 'fd02::2'], { allowFailure: true }),
    ),
  );
  expect(pinged.map(({ status }) => status)).toEqual([1, 0]);
});

test('the command says so; bundles have them; where there is no conntrack that is said, and none are taken to stand', async () => {
  await load(table(TRACK, dnat('10.2.0.2')));
  await send(41_000);
  await load(table(TRACK, dnat('10.3.0.2')));
  const run = async (...args: readonly string[]) => {
    const argv = [process.execPath, SALLYPORT, 'trace', ...args, ...question];
    const options = { stdin: hostDocuments(NAMES), allowFailure: true, timeoutMs: 60_000 };
    const { stdout, stderr } = await lab.run(argv, options);
    return [JSON.parse(stdout).traces[0].hops.at(-1)?.host, stderr];
  };
  const question = ['--from', TO_GW.from, '--to', TO_GW.to, '--sport', '41000', '-o', 'json'];
  const known = ['one', 'gw tracks this connection: a packet of it is traced\n'];
  expect(await run('--live', '-f', '-')).toEqual(known);
  const folder = await mkdtemp(join(tmpdir(), 'standing-'));
  try {
    const files = NAMES.map((name) => join(folder, `${name}.bundle`));
    for (const [index, name] of NAMES.entries()) {
      const { stdout } = await lab.host(name).run(['dash', '-s'], { stdin: collector() });
      await writeFile(files[index] ?? '', stdout);
    }
    expect(await run(...files.flatMap((file) => ['--bundle', file]))).toEqual(known);
  } finally {
    await rm(folder, { recursive: true });
  }
  const hide =
    'printf "#!/bin/sh\nexit 127\n" >/run/none; chmod 755 /run/none; mount -n --bind /run/none /usr/sbin/conntrack';
  await lab.run(['sh', '-ec', hide]);
  try {
    expect(await run('--live', '-f', '-')).toEqual([
      'two',
      'gw: which connections it tracks is not known, and none are taken to stand: there is no conntrack (Debian package conntrack)\n',
    ]);
  } finally {
    await lab.run(['umount', '-n', '/usr/sbin/conntrack']);
  }
});
