/** `trace` beside the packets it tells of: what it says dies, dies there; what it says mends it, mends it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, slimEdge, startLab, type Topology } from '../lab/index.ts';
import type { TraceReport } from '../simulate/index.ts';
import { documents, type Run, SALLYPORT, startStory } from './testdata/story.ts';

/** client - gw - server, and other beside it; their links to gw bear numbers alike, as those of namespaces do. */
const WALK: Topology = {
  name: 'walk',
  hosts: [
    {
      name: 'client',
      routes: [
        { to: 'default', via: '10.1.0.1' },
        { to: 'default', via: 'fd01::1' },
      ],
    },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } },
    {
      name: 'server',
      routes: [
        { to: 'default', via: '10.2.0.1' },
        { to: 'default', via: 'fd02::1' },
      ],
    },
    { name: 'other', routes: [{ to: 'default', via: '10.3.0.1' }] },
  ],
  switches: [],
  cables: [cable('client', 'c0', 1), cable('server', 's0', 2), cable('other', 'o0', 3)],
};

function cable(at: string, gateway: string, net: number): Topology['cables'][number] {
  return {
    ends: [
      { at, interface: 'eth0', addresses: [`10.${net}.0.2/24`, `fd0${net}::2/64`] },
      { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`, `fd0${net}::1/64`] },
    ],
  };
}

const HOSTS = ['client', 'gw', 'server', 'other']
  .map(
    (name) =>
      `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
  )
  .join('---\n');

const run = (lab: Lab, args: readonly string[], stdin = HOSTS): Promise<Run> =>
  lab.run([process.execPath, SALLYPORT, 'trace', '-f', '-', ...args], { stdin, allowFailure: true, timeoutMs: 60_000 });

async function traces(lab: Lab, args: readonly string[], stdin = HOSTS): Promise<readonly TraceReport[]> {
  const { stdout, stderr, status } = await run(lab, [...args, '-o', 'json'], stdin);
  expect(stderr).toBe('');
  const { traces: all } = JSON.parse(stdout) as { readonly traces: readonly TraceReport[] };
  expect(status).toBe(all.every(({ works }) => works === true) ? 0 : 1);
  return all;
}

const one = async (lab: Lab, ...args: readonly string[]): Promise<TraceReport> => {
  const [trace, more] = await traces(lab, args);
  if (trace === undefined || more !== undefined) throw new Error('not one trace');
  return trace;
};

/** Runs what a fix names on a host. */
async function mend(lab: Lab, host: string, fix: string | undefined): Promise<void> {
  const command = /((?:sysctl -w|nft|ip6?tables(?:-legacy)?|ip) .*?)(?: \(|, |$)/.exec(fix ?? '')?.[1];
  expect(fix).toContain(`on ${host}: `);
  await lab.host(host).run((command ?? `no command in: ${fix}`).trim().split(' '));
}

describe('Hosts alone', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab(WALK);
    for (const protocol of ['tcp', 'udp'] as const)
      for (const host of ['server', 'other']) await lab.serve(host, { protocol, port: 80 });
  });
  afterEach(async () => lab.host('gw').run(['nft', 'flush', 'ruleset']));
  afterAll(async () => lab[Symbol.asyncDispose]());

  const gw = (...argv: readonly string[]) => lab.host('gw').run(argv);
  const nft = (text: string) => lab.host('gw').run(['nft', '-f', '-'], { stdin: text });
  const ask = async (to = '10.2.0.2', protocol: 'tcp' | 'udp' = 'tcp', sourceAddress?: string): Promise<boolean> =>
    (
      await lab.connect('client', {
        ...{ protocol, to, port: 80, timeoutMs: 700 },
        ...(sourceAddress !== undefined && { sourceAddress }),
      })
    ).ok;
  const FROM = ['--live', '--from', '10.1.0.2'] as const;
  const last = (way: Pick<TraceReport, 'hops'> | undefined) => way?.hops.at(-1);

  for (const [to, protocol] of [
    ['10.2.0.2', 'tcp'],
    ['10.2.0.2', 'udp'],
    ['fd02::2', 'tcp'],
  ] as const)
    test(`${protocol} to ${to} works, as it does`, async () => {
      const from = to.includes(':') ? 'fd01::2' : '10.1.0.2';
      const aim = to.includes(':') ? `[${to}]` : to;
      expect(await ask(to, protocol)).toBe(true);
      const trace = await one(lab, '--live', '--from', from, '--to', `${aim}:80/${protocol}`);
      expect(trace).toMatchObject({ works: true, verdict: 'delivered', clientAddressSeen: from });
      expect([...new Set(trace.hops.map(({ host }) => host))]).toEqual(['client', 'gw', 'server']);
      expect([...new Set(trace.reply?.hops.map(({ host }) => host))]).toEqual(['server', 'gw', 'client']);
      expect(last(trace)).toEqual({
        ...{ host: 'server', stage: 'delivered', decidedBy: '' },
        detail: `to the socket at ${aim}:80/${protocol}`,
      });
    });

  test('the shape of the result is that of design.md, in JSON and YAML', async () => {
    const keys = (value: object): readonly string[] => Object.keys(value).sort();
    const trace = await one(lab, ...FROM, '--to', '10.2.0.2:80/tcp');
    expect(keys(trace)).toEqual(['clientAddressSeen', 'hops', 'reply', 'verdict', 'works']);
    expect(keys(trace.reply ?? {})).toEqual(['hops', 'verdict', 'works']);
    for (const hop of [...trace.hops, ...(trace.reply?.hops ?? [])])
      expect(keys(hop)).toEqual(['decidedBy', 'detail', 'host', 'stage']);
    const yaml = await run(lab, [...FROM, '--to', '10.2.0.2:80/tcp', '-o', 'yaml']);
    expect(yaml.stdout).toMatch(/^traces:\n {2}- works: true\n {4}verdict: delivered\n/);
    const refused = await one(lab, ...FROM, '--to', '10.2.0.2:81/tcp');
    expect(keys(refused)).toEqual(['fix', 'hops', 'reason', 'reply', 'verdict', 'works']);
    expect(refused.reply).toMatchObject({ works: false, verdict: 'delivered' });
    expect(refused.reply?.hops[0]).toMatchObject({ host: 'server', stage: 'reset' });
    await nft('table ip guard { chain f { type filter hook forward priority 0; tcp dport 81 drop; }; }');
    const dropped = await one(lab, ...FROM, '--to', '10.2.0.2:81/tcp');
    expect(keys(dropped)).toEqual(['fix', 'hops', 'reason', 'verdict', 'works']);
  });

  test('a drawing has every host of the way, and the same exit status; what is wrong is said in words', async () => {
    for (const format of ['svg', 'html']) {
      const drawn = await run(lab, [...FROM, '--to', '10.2.0.2:80/tcp', '-o', format]);
      expect(drawn).toMatchObject({ status: 0, stderr: '' });
      expect(drawn.stdout).toMatch(format === 'svg' ? /^<svg .*<\/svg>\n$/s : /^<!doctype html>\n.*<\/html>\n$/s);
      for (const name of ['client', 'gw', 'server']) expect(drawn.stdout).toContain(`>${name}</text>`);
      expect(await run(lab, [...FROM, '--to', '10.2.0.2:81/tcp', '-o', format])).toMatchObject({ status: 1 });
      const wrong = await run(lab, [...FROM, '--to', '10.2.0.2', '-o', format]);
      expect(wrong).toMatchObject({ status: 2, stdout: '' });
      expect(wrong.stderr).toContain('--to');
    }
  });

  for (const [tool, load] of [
    [
      'nft',
      'table inet guard { chain forward { type filter hook forward priority 0; policy accept; ip daddr 10.3.0.2 counter drop; tcp dport 81 counter drop; tcp dport 80 ip daddr 10.2.0.2 counter drop; tcp dport 80 counter drop; }; }',
    ],
    ['iptables', ''],
  ] as const)
    test(`a foreign rule of ${tool} that drops is named, with the handle of the rule whose counter moves; the fix mends it`, async () => {
      if (tool === 'nft') await nft(load);
      else
        for (const port of ['81', '80', '80'])
          await gw('iptables-nft', '-A', 'FORWARD', '-p', 'tcp', '--dport', port, '-j', 'DROP');
      const counted = async (): Promise<readonly (readonly [number, number])[]> => {
        const listed = JSON.parse((await gw('nft', '-j', 'list', 'ruleset')).stdout);
        return listed.nftables.flatMap(
          ({ rule }: { readonly rule?: { readonly handle: number; readonly expr: readonly object[] } }) =>
            (rule?.expr ?? []).flatMap((each) =>
              'counter' in each ? [[rule?.handle, (each.counter as { packets: number }).packets]] : [],
            ),
        );
      };
      const trace = await one(lab, ...FROM, '--to', '10.2.0.2:80/tcp');
      expect(trace).toMatchObject({ works: false, verdict: 'dropped' });
      const { host, stage, decidedBy } = last(trace) ?? { decidedBy: '' };
      expect([host, stage]).toEqual(['gw', 'forward']);
      const before = new Map(await counted());
      expect(await ask()).toBe(false);
      const moved = (await counted())
        .filter(([handle, packets]) => packets !== before.get(handle))
        .map(([handle]) => handle);
      expect(moved).toEqual([Number(/ # handle (\d+)$/.exec(decidedBy)?.[1])]);
      expect(decidedBy).toMatch(
        tool === 'nft'
          ? /^inet guard forward: tcp dport 80 ip daddr 10\.2\.0\.2 counter drop # handle/
          : /^ip filter FORWARD: -A FORWARD -p tcp .*--dport 80 -j DROP # handle/,
      );
      await mend(lab, 'gw', trace.fix);
      expect(await ask()).toBe(true);
      expect(await one(lab, ...FROM, '--to', '10.2.0.2:80/tcp')).toMatchObject({ works: true });
    });

  test('a policy that drops the answer: the packet arrives, the answer does not', async () => {
    await nft('table ip guard { chain f { type filter hook forward priority 0; policy drop; iifname "c0" accept; }; }');
    expect(await ask()).toBe(false);
    const trace = await one(lab, ...FROM, '--to', '10.2.0.2:80/tcp');
    expect(trace).toMatchObject({ works: false, verdict: 'delivered', reply: { verdict: 'dropped' } });
    expect(last(trace.reply)).toMatchObject({ host: 'gw', decidedBy: 'ip guard f: policy drop' });
    await mend(lab, 'gw', trace.reply?.fix);
    expect(await ask()).toBe(true);
  });

  test('rp_filter: the source lies elsewhere to it', async () => {
    await lab.host('client').run(['ip', 'addr', 'add', '10.7.0.7/32', 'dev', 'lo']);
    await gw('ip', 'route', 'add', '10.7.0.0/24', 'via', '10.3.0.2');
    await gw('sysctl', '-w', 'net.ipv4.conf.c0.rp_filter=1');
    const args = ['--live', '--from', '10.7.0.7', '--to', '10.2.0.2:80/tcp'];
    const trace = await one(lab, ...args);
    expect(trace).toMatchObject({ works: false, verdict: 'dropped' });
    expect(last(trace)).toEqual({
      ...{ host: 'gw', stage: 'route', detail: 'the source is not believed: the way back goes by o0' },
      decidedBy: 'sysctl net/ipv4/conf/{all,c0}/rp_filter=0,1',
    });
    await mend(lab, 'gw', trace.fix);
    // The request now arrives; its answer goes to another machine, as the route says.
    const loose = await one(lab, ...args);
    expect(loose).toMatchObject({ verdict: 'delivered', works: false });
    expect([...new Set(loose.reply?.hops.map(({ host }) => host))].slice(0, 3)).toEqual(['server', 'gw', 'other']);
    await gw('ip', 'route', 'change', '10.7.0.0/24', 'via', '10.1.0.2');
    expect(await one(lab, ...args)).toMatchObject({ works: true, clientAddressSeen: '10.7.0.7' });
    expect(await ask('10.2.0.2', 'tcp', '10.7.0.7')).toBe(true);
    await gw('ip', 'route', 'delete', '10.7.0.0/24');
  });

  for (const family of [4, 6] as const)
    test(`forwarding off for IPv${family}`, async () => {
      const [path, from, to] =
        family === 4
          ? ['net.ipv4.conf.c0.forwarding', '10.1.0.2', '10.2.0.2']
          : ['net.ipv6.conf.all.forwarding', 'fd01::2', 'fd02::2'];
      await gw('sysctl', '-w', `${path}=0`);
      expect(await ask(to)).toBe(false);
      const trace = await one(lab, '--live', '--from', from, '--to', `${family === 4 ? to : `[${to}]`}:80/tcp`);
      expect(trace).toMatchObject({ works: false, verdict: 'dropped' });
      expect(last(trace)).toMatchObject({ host: 'gw', decidedBy: `sysctl ${path.replaceAll('.', '/')}=0` });
      await mend(lab, 'gw', trace.fix);
      expect(await ask(to)).toBe(true);
    });

  test('sizes: what does not fit is told where, and how much would', async () => {
    await lab.host('server').run(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    await gw('ip', 'link', 'set', 's0', 'mtu', '1400');
    const ping = (...more: readonly string[]) =>
      lab.host('client').run(['ping', '-c1', '-W1', ...more, '10.2.0.2'], { allowFailure: true });
    const said = await ping('-M', 'do', '-s', '1472');
    expect(said.stdout + said.stderr).toMatch(/mtu ?= ?1400/i);
    const wide = [...FROM, '--to', '10.2.0.2/icmp', '--size', '1500'];
    const dropped = await one(lab, ...wide, '--df');
    expect(dropped).toMatchObject({
      works: false,
      verdict: 'dropped',
      fix: expect.stringContaining('at most 1400 bytes'),
    });
    expect(last(dropped)).toEqual({
      ...{ host: 'gw', stage: 'mtu', decidedBy: 'link s0 mtu 1400' },
      detail: 'dropped: 1500 bytes do not fit; ICMP fragmentation needed (MTU 1400) goes to the sender',
    });
    await lab.host('client').run(['ip', 'route', 'flush', 'cache']);
    expect(await ping('-M', 'dont', '-s', '1472')).toMatchObject({ status: 0 });
    const cut = await one(lab, ...wide);
    expect(cut.works).toBe(true);
    expect(cut.hops).toContainEqual({
      ...{ host: 'gw', stage: 'mtu', detail: 'fragmented: 1500 bytes do not fit', decidedBy: 'link s0 mtu 1400' },
    });
    expect(await one(lab, ...FROM, '--to', '10.2.0.2/icmp', '--size', '1400', '--df')).toMatchObject({ works: true });
    const six = ['--live', '--from', 'fd01::2', '--to', '[fd02::2]:80/udp', '--size', '1500'];
    expect(await one(lab, ...six)).toMatchObject({
      ...{ verdict: 'dropped', reason: expect.stringContaining('ICMPv6 packet too big') },
    });
    for (const [host, link] of [
      ['server', 'eth0'],
      ['gw', 's0'],
    ] as const)
      await lab.host(host).run(['ip', 'link', 'set', link, 'mtu', '1500']);
  });

  test('echoes: answered by the kernel, dropped by a rule for their type, masked by a source translation', async () => {
    const ping = async (to: string) =>
      (await lab.host('client').run(['ping', '-c1', '-W1', to], { allowFailure: true })).status === 0;
    for (const [from, to] of [
      ['10.1.0.2', '10.2.0.2'],
      ['fd01::2', 'fd02::2'],
    ] as const) {
      expect(await ping(to)).toBe(true);
      const trace = await one(lab, '--live', '--from', from, '--to', `${to}/icmp`);
      expect(trace).toMatchObject({ works: true, reply: { verdict: 'delivered' } });
    }
    await nft(`table inet guard {
  chain n { type nat hook postrouting priority 100; ip saddr 10.1.0.2 ip daddr 10.2.0.2 masquerade; }
  chain f { type filter hook forward priority 0; icmpv6 type echo-reply drop; }
}`);
    expect(await ping('10.2.0.2')).toBe(true);
    expect(await one(lab, ...FROM, '--to', '10.2.0.2/icmp')).toMatchObject({
      works: true,
      clientAddressSeen: '10.2.0.1',
    });
    expect(await ping('fd02::2')).toBe(false);
    const dropped = await one(lab, '--live', '--from', 'fd01::2', '--to', 'fd02::2/icmp');
    expect(dropped).toMatchObject({ works: false, verdict: 'delivered', reply: { verdict: 'dropped' } });
    await nft('delete table inet guard');
    await lab.host('server').run(['sysctl', '-w', 'net.ipv4.icmp_echo_ignore_all=1']);
    expect(await ping('10.2.0.2')).toBe(false);
    const silent = await one(lab, ...FROM, '--to', '10.2.0.2/icmp');
    expect(silent).toMatchObject({ works: false, verdict: 'dropped' });
    await mend(lab, 'server', silent.fix);
    expect(await ping('10.2.0.2')).toBe(true);
  });

  test('a balancer by chance: every way is told', async () => {
    await nft(`table ip lb {
  chain svc { numgen random mod 2 vmap { 0 : goto one, 1 : goto two }; }
  chain one { tcp dport 80 dnat to 10.2.0.2:80; }
  chain two { tcp dport 80 dnat to 10.3.0.2:81; }
  chain p { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 goto svc; }
}`);
    const all = await traces(lab, [...FROM, '--to', '10.96.0.1:80/tcp']);
    expect(all.map(({ works, verdict, hops }) => [works, verdict, hops.at(-1)?.host])).toEqual([
      [true, 'delivered', 'server'],
      [false, 'rejected', 'other'],
    ]);
    const { stdout, status } = await run(lab, [...FROM, '--to', '10.96.0.1:80/tcp']);
    expect(status).toBe(1);
    expect(stdout).toContain('Way 2 of 2');
    expect(stdout).toMatch(/\n1 of 2 ways work\.\n$/);
  });

  test('no route, a route that refuses, nobody at the next hop, nobody who listens, a source of the host itself', async () => {
    await gw('ip', 'route', 'add', 'blackhole', '10.8.0.0/24');
    for (const [args, trace] of [
      [
        ['--to', '10.9.0.1:80/tcp'],
        { verdict: 'unreachable', fix: 'on gw: ip route add 10.9.0.1 via ROUTER, or a default route' },
      ],
      [
        ['--to', '10.8.0.1:80/tcp'],
        { verdict: 'dropped', fix: expect.stringContaining('route blackhole 10.8.0.0/24') },
      ],
      [
        ['--to', '10.2.0.77:80/tcp'],
        { verdict: 'unreachable', reason: expect.stringContaining('nobody answers for 10.2.0.77') },
      ],
      [
        ['--to', '10.2.0.2:81/tcp'],
        { verdict: 'rejected', reason: 'connection refused: nobody listens on server at 10.2.0.2:81/tcp' },
      ],
      [['--to', '10.2.0.2:81/udp'], { verdict: 'rejected' }],
    ] as const)
      expect(await one(lab, ...FROM, ...args)).toMatchObject({ works: false, ...trace });
    const martian = await one(lab, '--live', '--from', '10.2.0.1@gw', '--iif', 'c0', '--to', '10.2.0.2:80/tcp');
    expect(martian).toMatchObject({
      verdict: 'dropped',
      fix: expect.stringContaining('net.ipv4.conf.c0.accept_local=1'),
    });
    await gw('ip', 'route', 'delete', 'blackhole', '10.8.0.0/24');
  });

  test("somebody's tunnel, and a rule on the way that drops what carries it", async () => {
    for (const [host, own, far, inner] of [
      ['client', '10.1.0.2', '10.2.0.2', '10.50.0.1/24'],
      ['server', '10.2.0.2', '10.1.0.2', '10.50.0.2/24'],
    ] as const)
      await lab.host(host).run(['ip', '-batch', '-'], {
        stdin: `link add vx0 type vxlan id 7 local ${own} remote ${far} dstport 4789\naddr add ${inner} dev vx0\nlink set vx0 up\n`,
      });
    const args = ['--live', '--from', '10.50.0.1', '--to', '10.50.0.2:80/tcp'];
    expect(await ask('10.50.0.2')).toBe(true);
    const through = await one(lab, ...args);
    expect(through).toMatchObject({ works: true });
    expect([...new Set(through.hops.map(({ host }) => host))]).toEqual(['client', 'server']);
    await nft('table inet guard { chain f { type filter hook forward priority 0; udp dport 4789 drop; }; }');
    expect(await ask('10.50.0.2')).toBe(false);
    const lost = await one(lab, ...args);
    expect(lost).toMatchObject({ works: false, verdict: 'dropped' });
    expect(last(lost)).toMatchObject({ host: 'gw', stage: 'forward', detail: 'dropped' });
    await mend(lab, 'gw', lost.fix);
    expect((await one(lab, ...args)).reply?.verdict).toBe('dropped'); // the other way is as closed
    for (const host of ['client', 'server']) await lab.host(host).run(['ip', 'link', 'delete', 'vx0']);
  });

  test('IPv6 needs neighbour discovery, which a firewall that lets in TCP alone stops', async () => {
    await lab.host('server').run(['nft', '-f', '-'], {
      stdin: 'table inet guard { chain i { type filter hook input priority 0; policy drop; tcp dport 80 accept; }; }',
    });
    await gw('ip', '-6', 'neigh', 'flush', 'dev', 's0');
    expect([await ask(), await ask('fd02::2')]).toEqual([true, false]);
    const trace = await one(lab, '--live', '--from', 'fd01::2', '--to', '[fd02::2]:80/tcp');
    expect(trace).toMatchObject({
      ...{ works: false, verdict: 'unreachable' },
      reason: 'neighbour discovery on eth0 of server: inet guard i: policy drop',
    });
    expect(await one(lab, ...FROM, '--to', '10.2.0.2:80/tcp')).toMatchObject({ works: true });
    await lab.host('server').run(['nft', 'flush', 'ruleset']);
  });

  test('a host that cannot be looked at: what comes there is not known', async () => {
    const gone = HOSTS.replace('netns: { name: server }', 'netns: { name: gone }');
    const { stdout, stderr, status } = await run(lab, [...FROM, '--to', '10.2.0.2:80/tcp', '-o', 'json'], gone);
    expect(status).toBe(1);
    expect(stderr).toContain('server: no network namespace "gone"');
    expect(JSON.parse(stdout).traces[0]).toMatchObject({ works: 'undecided' });
  });

  for (const [what, args, said] of [
    [
      'a name for an address',
      ['--from', 'client', '--to', '10.2.0.2:80/tcp'],
      '"client" is no address; meant is ADDR or ADDR@HOST',
    ],
    [
      'a host that is none',
      ['--from', '10.1.0.2@edge', '--to', '10.2.0.2:80/tcp'],
      'no Host "edge" in the documents: there are client, gw',
    ],
    ['no port', ['--from', '10.1.0.2', '--to', '10.2.0.2/tcp'], 'no port; meant is ADDR:PORT/tcp'],
    [
      'IPv6 without brackets',
      ['--from', 'fd01::2', '--to', 'fd02::2:80/tcp'],
      'as 198.51.100.10:80/tcp or [2001:db8::10]:80/tcp',
    ],
    ['a port that is none', ['--from', '10.1.0.2', '--to', '10.2.0.2:0/tcp'], '"0" is no port from 1 to 65535'],
    [
      'a protocol that is none',
      ['--from', '10.1.0.2', '--to', '10.2.0.2:80/sctp'],
      '"sctp" is no protocol that can be traced',
    ],
    ['two families', ['--from', '10.1.0.2', '--to', '[fd02::2]:80/tcp'], 'a packet has one family'],
    [
      'a size that is none',
      ['--from', '10.1.0.2', '--to', '10.2.0.2:80/tcp', '--size', 'big'],
      '--size big: meant is a number from 28',
    ],
    [
      'a link that is not there',
      ['--from', '10.9.9.9@gw', '--iif', 'eth9', '--to', '10.2.0.2:80/tcp'],
      '--iif eth9: gw has no such link; it has lo, ',
    ],
    [
      'nowhere to come in',
      ['--from', '192.0.2.7', '--to', '10.2.0.2:80/tcp'],
      'say where, as --from 192.0.2.7@client [--iif LINK]',
    ],
    ['an address of two', ['--from', '127.0.0.1', '--to', '10.2.0.2:80/tcp'], 'is an address of client and of gw'],
  ] as const)
    test(`bad usage: ${what}`, async () => {
      const { status, stdout, stderr } = await run(lab, [...args, '--live']);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toContain(said);
    });
});

describe('the slim edge', () => {
  test('declared, it works before anything is applied; live, only after', async () => {
    await using story = await startStory(slimEdge());
    const text = documents();
    await story.lab.serve('node', { protocol: 'tcp', port: 8080 });
    const args = ['--from', '192.0.2.10', '--to', '198.51.100.10:80/tcp'];
    const declared = await traces(story.lab, args, text);
    expect(declared[0]?.reason).toBeUndefined();
    expect(declared).toMatchObject([{ works: true, clientAddressSeen: '192.0.2.10' }]);
    expect(await traces(story.lab, [...args, '--live'], text)).toMatchObject([{ works: false, verdict: 'rejected' }]);
    await story.apply(text);
    expect(await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 })).toBe('seen from 192.0.2.10');
    const [live] = await traces(story.lab, [...args, '--live'], text);
    expect(live).toMatchObject({ works: true, clientAddressSeen: '192.0.2.10' });
    // The same way; only what a kernel gave has handles.
    const hostsOf = (trace: TraceReport | undefined) => trace?.hops.map(({ host, stage }) => `${host} ${stage}`);
    expect(hostsOf(live)).toEqual(hostsOf(declared[0]));
    expect(live?.hops.find(({ stage, host }) => stage === 'prerouting' && host === 'edge')?.decidedBy).toMatch(
      / # handle \d+$/,
    );
    const shown = await run(story.lab, [...args, '--live'], text);
    expect(shown.stdout).toMatch(
      /\nIt works: the packet reaches node, which sees 192\.0\.2\.10, and the answer comes back\.\n$/,
    );
    expect(shown.stdout).not.toContain('\x1b');
    const large = await run(story.lab, [...args, '--size', '1500', '--df', '--live'], text);
    expect(large.stdout).toContain(
      ' Its sender hears of it, by ICMP fragmentation needed (MTU 1440), and sends smaller packets from then on.\n',
    );
    expect(large.stdout).toContain('\nWhat its sender hears\n\n● edge\n│  icmp        ICMP fragmentation needed');
    const offline = text.replaceAll(/netns: \{ name: (\w+) \}/g, 'netns: { name: not-$1 }');
    const { stderr } = await run(story.lab, args, offline);
    expect(stderr).toContain('edge: no network namespace "not-edge"');
    await story.destroy(text);
  });
});
