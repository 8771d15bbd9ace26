import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../../lab/index.ts';
import { printAddress } from '../../net/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { linuxDriver } from '../index.ts';

const never = new AbortController().signal;

/** A lab with an empty network namespace `edge`. */
async function startEdge() {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'edge']);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const transport = namespaceTransport('edge', 'edge', { entry });
  const observe = () => linuxDriver(transport).observe(never);
  const inside = (text: string) => lab.run(['nsenter', '--net=/run/netns/edge', 'sh', '-ec', text]);
  return { lab, transport, observe, inside, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

/** Puts a script in the place of `program`; the real one is `$real` there. */
async function fake(lab: Namespace, program: string, text: string): Promise<void> {
  const put = `
real=$(readlink -f "$(command -v "$1")"); cp "$real" "/run/real-$1"
printf '#!/bin/sh\\nreal=/run/real-%s\\n%s\\n' "$1" "$2" >"/run/fake-$1"; chmod 755 "/run/fake-$1"
mount -n --bind "/run/fake-$1" "$real"`;
  await lab.run(['sh', '-ec', put, 'sh', program, text]);
}

test('an empty namespace: what it is, what it can, and nothing of ours', async () => {
  await using edge = await startEdge();
  const facts = await edge.observe();
  expect(facts).toMatchObject({
    source: 'observed',
    wireguard: expect.stringMatching(/^(kernel|userspace)$/),
    vxlan: 'kernel',
  });
  expect(facts.stateFolder).toBe(await edge.transport.stateFolder());
  expect(facts.versions?.nft?.length).toBe(3);
  expect(facts.versions?.iproute2?.length).toBe(3);
  expect(facts.versions?.kernel).toBe((await edge.lab.run(['uname', '-r'])).stdout.trim());
  expect(facts.keys).toEqual(new Map());
  expect(facts.record ?? facts.recordProblem).toBeUndefined();
  expect(facts.state.links.map(({ name }) => name)).toEqual(['lo']);
  expect(facts.state.rules.map(({ family, priority }) => `${family} ${priority}`)).toEqual([
    '4 0',
    '4 32766',
    '4 32767',
    '6 0',
    '6 32766',
  ]);
  expect(facts.state.sysctls.get('net/ipv4/conf/lo/rp_filter')).toMatch(/^[012]$/);
  expect(facts.state.sysctls.get('net/ipv6/conf/all/forwarding')).toBe('0');
});

test('a table of which nft leaves a part out is not known, and others are', async () => {
  await using edge = await startEdge();
  await edge.inside(
    "nft 'table inet lost { chain c { type filter hook input priority 0; ct label { 5, 6 } drop; }; }; table inet whole { chain c { type filter hook input priority 0; ct label 5 drop; }; }'",
  );
  for (const facts of [await edge.observe(), await edge.observe()]) {
    const [lost, whole] = facts.state.tables;
    expect([lost?.name, lost?.chains, JSON.stringify(lost?.opaque)]).toEqual([
      ...['lost', []],
      expect.stringMatching(/^\[\{"unlisted":"netlink: Error: /),
    ]);
    expect([whole?.name, whole?.opaque, whole?.chains.map(({ rules }) => rules.length)]).toEqual(['whole', [], [1]]);
  }
});

for (const [program, text, what] of [
  ['nft', 'echo "nftables v1.0.1 (Fearless Fosdick #3)"', 'nft 1.0.1 is too old: Sallyport needs 1.0.2 or newer'],
  ['nft', 'echo "nftables v0.9.8 (E.D.S.)"', 'nft 0.9.8 is too old: Sallyport needs 1.0.2 or newer'],
  [
    'ip',
    '[ "$1" != -V ] && exec $real "$@"; echo "ip utility, iproute2-5.9.0"',
    'iproute2 5.9.0 is too old: Sallyport needs 5.10 or newer',
  ],
  [
    'ip',
    '[ "$1" != -V ] && exec $real "$@"; echo "ip utility, iproute2-ss200127"',
    'iproute2 0.0.0 is too old: Sallyport needs 5.10 or newer',
  ],
  ['uname', 'echo 5.4.0-150-generic', 'Linux 5.4.0 is too old: Sallyport needs 5.10 or newer'],
  ['uname', 'echo unknown', 'the version of Linux cannot be read from "unknown"'],
] as const) {
  test(`refused by name: ${what}`, async () => {
    await using edge = await startEdge();
    await fake(edge.lab, program, text);
    await expect(edge.observe()).rejects.toThrow(`edge: ${what}`);
  });
}

for (const [program, text, version] of [
  ['nft', '[ "$1" != --version ] && exec $real "$@"; echo "nftables v1.0.2 (Lester Gooch)"', { nft: [1, 0, 2] }],
  [
    'ip',
    '[ "$1" != -V ] && exec $real "$@"; echo "ip utility, iproute2-5.10.0, libbpf 0.3.0"',
    { iproute2: [5, 10, 0] },
  ],
  ['uname', 'echo 5.10.0-28-amd64', { kernel: '5.10.0-28-amd64' }],
] as const) {
  test(`enough: ${JSON.stringify(version)}`, async () => {
    await using edge = await startEdge();
    await fake(edge.lab, program, text);
    expect((await edge.observe()).versions).toMatchObject(version);
  });
}

test('a host without nft is told which package to install', async () => {
  await using edge = await startEdge();
  await edge.transport.stateFolder();
  await edge.lab.run(['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/usr/sbin']);
  await expect(edge.observe()).rejects.toThrow('edge: nft is missing: install the Debian package nftables');
});

test('a host without wg has no WireGuard devices, and making keys names the package to install', async () => {
  await using edge = await startEdge();
  await edge.transport.stateFolder();
  await edge.lab.run([
    'sh',
    '-ec',
    'mkdir /run/upper /run/work; mount -n -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/upper,workdir=/run/work /usr/bin; rm /usr/bin/wg',
  ]);
  expect((await edge.observe()).state.devices).toEqual([]);
  await expect(linuxDriver(edge.transport).makeKeys(['sp-x'], never)).rejects.toThrow(
    'edge: wg is missing: install the Debian package wireguard-tools',
  );
});

test('where no namespace may be made for a trial, what links can be made is unknown, and a WireGuard link is made all the same', async () => {
  await using edge = await startEdge();
  await fake(edge.lab, 'unshare', '[ "$1" != --net ] || exit 1; exec $real "$@"');
  const driver = linuxDriver(edge.transport);
  expect(await driver.observe(never)).toMatchObject({ wireguard: 'unknown', vxlan: 'unknown', flowtables: 'unknown' });
  const link = { name: 'sp-x', kind: 'wireguard', mtu: 1400, up: true };
  await driver.apply([{ action: 'add', after: { kind: 'link', link } }], { signal: never });
  expect((await driver.observe(never)).state.links).toContainEqual(expect.objectContaining(link));
});

test('flowtables are tried, with the setting that came with the kernel that keeps idle connections', async () => {
  await using edge = await startEdge();
  const { stdout } = await edge.lab.run([
    'sh',
    '-c',
    '[ ! -e /proc/sys/net/netfilter/nf_flowtable_tcp_timeout ] || echo kept',
  ]);
  const { flowtables } = await edge.observe();
  expect(flowtables).toBe(stdout === '' ? 'absent' : 'kernel');
  await fake(edge.lab, 'nft', '[ "$1" != -f ] || exit 0; exec $real "$@"');
  expect((await edge.observe()).flowtables).toBe(stdout === '' ? 'forgetful' : 'kernel');
});

test('a kernel without IPv6 has no routes and rules of it', async () => {
  await using edge = await startEdge();
  await edge.transport.stateFolder();
  await fake(
    edge.lab,
    'ip',
    'for each; do [ "$each" = -6 ] && { echo "RTNETLINK answers: Operation not supported" >&2; exit 2; }; done; exec $real "$@"',
  );
  await expect(edge.observe()).rejects.toThrow('Operation not supported'); // with IPv6, that is an error
  await edge.inside('mount -n -t tmpfs tmpfs /proc/sys/net/ipv6');
  const { state } = await edge.observe();
  expect(new Set(state.rules.map(({ family }) => family))).toEqual(new Set([4]));
  expect([...state.sysctls.keys()].filter((path) => path.includes('ipv6'))).toEqual([]);
});

test('a table that nft cannot list is opaque, and the others are read', async () => {
  await using edge = await startEdge();
  await edge.inside('nft add table ip fine; nft add chain ip fine c; nft add table inet broken');
  await fake(
    edge.lab,
    'nft',
    'case "$*" in *ruleset*) echo "netlink: Error: Relational expression has no meaning" >&2; exit 1;; *broken*) echo "cannot be parsed" >&2; exit 1;; esac; exec $real "$@"',
  );
  const { tables } = (await edge.observe()).state;
  expect(tables.map(({ family, name, chains, opaque }) => ({ family, name, chains: chains.length, opaque }))).toEqual([
    { family: 'ip', name: 'fine', chains: 1, opaque: [] },
    { family: 'inet', name: 'broken', chains: 0, opaque: [{ unlisted: 'cannot be parsed' }] },
  ]);
});

test('nft that lists nothing at all is an error with its words', async () => {
  await using edge = await startEdge();
  await fake(
    edge.lab,
    'nft',
    '[ "$1" = --version ] && exec $real "$@"; echo "Unable to initialize Netlink socket: Protocol not supported" >&2; exit 1',
  );
  await expect(edge.observe()).rejects.toThrow(
    'edge: nft -j list tables: Unable to initialize Netlink socket: Protocol not supported',
  );
});

for (const [name, content, problem] of [
  ['newer', '{"format": 99, "version": "9.9.9"}', /format 99.*9\.9\.9/],
  ['damaged', '{"format": 1,', /cannot be read/],
] as const) {
  test(`a ${name} record is a problem, and the host is observed all the same`, async () => {
    await using edge = await startEdge();
    await edge.transport.writeFile(`${await edge.transport.stateFolder()}/record.json`, content, 0o600);
    const facts = await edge.observe();
    expect(facts.record).toBeUndefined();
    expect(facts.recordProblem).toMatch(problem);
    expect(facts.state.links.length).toBe(1);
  });
}

test('keys: what is no key counts as none and is made anew, what a killed run left is overwritten', async () => {
  await using edge = await startEdge();
  const driver = linuxDriver(edge.transport);
  const folder = `${await edge.transport.stateFolder()}/keys`;
  await edge.transport.writeFile(`${folder}/sp-empty.key`, '', 0o600);
  await edge.transport.writeFile(`${folder}/sp-cut.key`, 'YJ0LwP', 0o600);
  await edge.transport.writeFile(`${folder}/sp-killed.key.new`, 'YJ0LwP', 0o644);
  expect((await driver.observe(never)).keys).toEqual(new Map());
  const links = ['sp-empty', 'sp-cut', 'sp-killed'];
  const keys = await driver.makeKeys(links, never);
  expect([...keys.keys()]).toEqual(links);
  expect((await driver.observe(never)).keys.size).toBe(3);
  const { stdout } = await edge.lab.run(['sh', '-c', 'cd "$1"; stat -c "%a %n" . *', 'sh', folder]);
  expect(stdout).toBe('700 .\n600 sp-cut.key\n600 sp-empty.key\n600 sp-killed.key\n');
});

test('a namespace that does not exist is an error that names it', async () => {
  await using edge = await startEdge();
  await edge.lab.run(['ip', 'netns', 'delete', 'edge']);
  await expect(edge.observe()).rejects.toThrow('edge: no network namespace "edge": there is none');
});

test('names in endpoints of the record are asked of the host, all at once, and one that hangs is given up', async () => {
  await using edge = await startEdge();
  const endpoints = ['one.test:1', 'two.test:2', '192.0.2.1:3', '[2001:db8::1]:4', 'slow.test:5', 'slower.test:6'];
  const text = endpoints.map((each) => `{"endpoint":"${each}"}`).join('\n');
  await edge.transport.writeFile(`${await edge.transport.stateFolder()}/record.json`, text, 0o600);
  const answers = `case $2 in
one.test) echo "2001:db8::7 STREAM one"; echo "2001:db8::7 DGRAM"; echo "192.0.2.7 STREAM" ;;
slow*) sleep 60 ;;
*) exit 2 ;;
esac`;
  await fake(edge.lab, 'getent', answers.replaceAll("'", ''));
  const started = Date.now();
  const { names, notes } = await edge.observe();
  expect(Date.now() - started).toBeLessThan(6_000); // 3 s of patience, once for both
  expect([...(names?.meanings ?? [])].map(([name, all]) => [name, ...all.map(printAddress)])).toEqual([
    ['one.test', '2001:db8::7', '192.0.2.7'],
  ]);
  expect(Math.abs((names?.seconds ?? 0) - Date.now() / 1000)).toBeLessThan(10);
  expect(notes).toEqual(
    ['slow.test', 'slower.test', 'two.test'].map((name) => expect.stringContaining(`the name ${name} means nothing`)),
  );
});

test('what the kernel learnt of paths is seen, of both families', async () => {
  await using edge = await startEdge();
  await edge.inside(`
ip netns add router 2>/dev/null; ip netns add far
ip link add v0 type veth peer name v1 netns router; ip -n router link add w0 mtu 1400 type veth peer name w1 netns far
for n in router far; do ip -n $n link set lo up; done
ip link set lo up; ip link set v0 up; ip -n router link set v1 up; ip -n router link set w0 up; ip -n far link set w1 up
ip addr add 10.0.0.1/24 dev v0; ip addr add fd00::1/64 dev v0 nodad
ip -n router addr add 10.0.0.2/24 dev v1; ip -n router addr add fd00::2/64 dev v1 nodad
ip -n router addr add 10.1.0.1/24 dev w0; ip -n router addr add fd01::1/64 dev w0 nodad
ip -n far addr add 10.1.0.2/24 dev w1; ip -n far addr add fd01::2/64 dev w1 nodad
ip route add default via 10.0.0.2; ip -6 route add default via fd00::2
nsenter --net=/run/netns/router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
for to in 10.1.0.2 fd01::2; do
  until ping -c1 -W1 -M do -s 1440 "$to" >/dev/null 2>&1; ip route get "$to" | grep -q 'mtu 1400'; do sleep 0.1; done
done`);
  expect((await edge.observe()).learntMtus).toEqual(
    new Map([
      ['10.1.0.2', 1400],
      ['fd01::2', 1400],
    ]),
  );
});
