/** Of an answer that is lost, who answered hears what the model says it hears; and a host that tells too often goes quiet. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import type { Family } from '../net/index.ts';
import { reportTrace, simulate } from '../simulate/index.ts';
import { type Live, liveOf } from './testdata/live.ts';
import { waitFor } from './testdata/story.ts';
import { placeQuestion, readQuestion } from './trace-question.ts';

const FAMILIES = [4, 6] as const;
/** What stands at mid against the answers to each source, and what the server hears of it. */
const LOSSES: readonly {
  readonly rule?: string;
  readonly route?: string;
  readonly heard: Readonly<Record<Family, string>>;
}[] = [
  { heard: { 4: 'nothing', 6: 'nothing' } },
  { rule: 'drop', heard: { 4: 'nothing', 6: 'nothing' } },
  { rule: 'reject with icmpx admin-prohibited', heard: { 4: '3/13', 6: '1/1' } },
  { rule: 'reject', heard: { 4: '3/3', 6: '1/4' } },
  { route: 'unreachable', heard: { 4: '3/1', 6: '1/0' } },
  { route: 'prohibit', heard: { 4: '3/13', 6: '1/1' } },
  { route: 'blackhole', heard: { 4: 'nothing', 6: 'nothing' } },
  // near drops what tells the server of it.
  { rule: 'reject with LOST', heard: { 4: 'nothing', 6: 'nothing' } },
];
/** What near lets nobody hear. */
const LOST = { 4: 'icmp net-prohibited', 6: 'icmpv6 addr-unreachable' } as const;
const sourceOf = (family: Family, index: number): string =>
  family === 4 ? `10.1.0.${10 + index}` : `fd01::${10 + index}`;
const SERVER = { 4: '10.3.0.2', 6: 'fd03::2' } as const;

const cable = (left: string, right: string, net: number): Topology['cables'][number] => ({
  ends: [
    {
      at: left,
      interface: `to-${right}`,
      addresses:
        net === 1
          ? LOSSES.flatMap((_, index) => [`${sourceOf(4, index)}/24`, `${sourceOf(6, index)}/64`])
          : [`10.${net}.0.1/24`, `fd0${net}::1/64`],
    },
    {
      at: right,
      interface: `to-${left}`,
      addresses: [`10.${net}.0.${net === 1 ? 1 : 2}/24`, `fd0${net}::${net === 1 ? 1 : 2}/64`],
    },
  ],
});
const forwards = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
const both = (four: string, six: string, via4: string, via6: string) => [
  { to: four, via: via4 },
  { to: six, via: via6 },
];
/** client - mid - near - server. */
const WALK: Topology = {
  name: 'answers',
  hosts: [
    { name: 'client', routes: both('default', 'default', '10.1.0.1', 'fd01::1') },
    { name: 'mid', sysctls: forwards, routes: both('10.3.0.0/24', 'fd03::/64', '10.2.0.2', 'fd02::2') },
    { name: 'near', sysctls: forwards, routes: both('10.1.0.0/24', 'fd01::/64', '10.2.0.1', 'fd02::1') },
    { name: 'server', routes: both('default', 'default', '10.3.0.1', 'fd03::1') },
  ],
  switches: [],
  cables: [cable('client', 'mid', 1), cable('mid', 'near', 2), cable('near', 'server', 3)],
};

/** Answers each datagram until one says end, and tells what it heard of its answers (IP_RECVERR), by their destination. */
const SERVE = `import json, select, socket, struct
socks = {}
for family, any, level, option in ((socket.AF_INET, "0.0.0.0", 0, 11), (socket.AF_INET6, "::", 41, 25)):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6: s.setsockopt(41, 26, 1)
    s.setsockopt(level, option, 1)
    s.bind((any, 5300))
    socks[family] = s
print("ready", flush=True)
heard = {}
def errors():
    for s in socks.values():
        while True:
            try: _, ancillary, _, name = s.recvmsg(64, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except BlockingIOError: break
            for _, _, data in ancillary:
                _, origin, type_, code = struct.unpack_from("=IBBB", data)
                heard[name[0]] = f"{type_}/{code}"
ended = False
while not ended:
    for s in select.select(list(socks.values()), [], [])[0]:
        errors()
        try: data, name = s.recvfrom(64, socket.MSG_DONTWAIT)
        except BlockingIOError: continue
        ended = ended or data == b"end"
        try: s.sendto(data, name)
        except OSError: s.sendto(data, name)
errors()
print(json.dumps(heard))`;
/** The first source asks until somebody answers; so it does after all others. */
const ASK = `import json, socket, sys
def ask(source, to, data, waits):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.settimeout(0.05)
    while True:
        s.sendto(data, (to, 5300))
        if not waits: return
        try: return s.recv(64)
        except (TimeoutError, ConnectionRefusedError): pass
flows = json.load(sys.stdin)
for source, to, waits in flows: ask(source, to, b"x", waits)
for source, to, waits in flows:
    if waits: ask(source, to, b"x", True)
ask(flows[0][0], flows[0][1], b"end", True)`;

let lab: Lab;
let live: Live;
beforeAll(async () => {
  lab = await startLab(WALK);
  live = liveOf(lab);
  const rules = LOSSES.flatMap(({ rule }, index) =>
    rule === undefined
      ? []
      : FAMILIES.map(
          (family) =>
            `${family === 4 ? 'ip' : 'ip6'} daddr ${sourceOf(family, index)} ${rule.replace('LOST', LOST[family])}`,
        ),
  );
  await lab.host('mid').run(['nft', '-f', '-'], {
    stdin: `table inet t { chain f { type filter hook forward priority 0;\n${rules.join('\n')}\n}\n}`,
  });
  const routes = LOSSES.flatMap(({ route }, index) =>
    route === undefined ? [] : FAMILIES.map((family) => `ip route add ${route} ${sourceOf(family, index)}`),
  );
  await lab.host('mid').run(['sh', '-ec', routes.join('\n')]);
  await lab.host('near').run(['nft', '-f', '-'], {
    stdin:
      'table inet t { chain f { type filter hook forward priority 0; icmp code 9 drop; icmpv6 type 1 icmpv6 code 3 drop; }; }',
  });
});
afterAll(async () => lab[Symbol.asyncDispose]());

test('what who answered hears of it', async () => {
  const server = lab.host('server').run(['/usr/bin/python3', '-c', SERVE]);
  const listening = ['ss', '-Hlun', 'sport = :5300'];
  await waitFor(
    'the server',
    async () => (await lab.host('server').run(listening)).stdout.trim().split('\n').length === 2,
  );
  const network = await live.look();
  const flows = FAMILIES.flatMap((family) =>
    LOSSES.map((_, index) => [sourceOf(family, index), SERVER[family], index === 0] as const),
  );
  await lab.host('client').run(['/usr/bin/python3', '-c', ASK], { stdin: JSON.stringify(flows) });
  const heard = JSON.parse((await server).stdout.split('\n')[1] ?? '') as Readonly<Record<string, string>>;
  const tell = (family: Family, index: number): string => {
    const to = family === 4 ? `${SERVER[4]}:5300/udp` : `[${SERVER[6]}]:5300/udp`;
    const question = readQuestion({ from: sourceOf(family, index), to }, ['client']);
    const trace = simulate(network, placeQuestion(network, question), { hops: true });
    const { notice, reply } = trace;
    expect(reply?.verdict === 'delivered', sourceOf(family, index)).toBe(index === 0);
    const sentence = reportTrace(trace).reply?.heard;
    if (notice === undefined) {
      expect(sentence).toBe(index === 0 ? undefined : 'Nobody tells who answered.');
      return 'nothing';
    }
    const isHeard = notice.way.verdict === 'delivered' && notice.unheard === undefined;
    expect(sentence).toMatch(
      isHeard
        ? /^Who answered hears of it, by ICMP.*, if not too many/
        : /^Who answered hears nothing of it: ICMP.* is lost/,
    );
    return isHeard && notice.notice.kind === 'icmp' ? `${notice.notice.type}/${notice.notice.code}` : 'nothing';
  };
  const list = (said: (family: Family, index: number) => string) =>
    FAMILIES.flatMap((family) =>
      LOSSES.map(({ rule, route }, index) => `IPv${family} ${rule ?? route ?? ''}: ${said(family, index)}`),
    );
  expect(list(tell)).toEqual(list((family, index) => heard[sourceOf(family, index)] ?? 'nothing'));
  expect(list(tell)).toEqual(list((family, index) => LOSSES[index]?.heard[family] ?? ''));
});

test('how often a host tells is limited, and the trace says by what', async () => {
  const network = await live.look();
  const ask = (from: string, to: string) =>
    simulate(network, placeQuestion(network, readQuestion({ from, to }, ['client'])), { hops: true });
  for (const [family, to] of [
    [4, '10.3.0.2:9/udp'],
    [6, '[fd03::2]:9/udp'],
  ] as const) {
    const [told] = ask(sourceOf(family, 0), to).notice?.way.hops ?? [];
    expect(told?.decidedBy).toMatch(
      family === 4 ? /^sysctl net\/ipv4\/icmp_ratelimit=\d+$/ : /^sysctl net\/ipv6\/icmp\/ratelimit=\d+$/,
    );
  }
  const program = `import socket
heard = 0
for _ in range(40):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.3.0.2", 9))
    s.send(b"x")
    s.settimeout(0.02)
    try: s.recv(9)
    except ConnectionRefusedError: heard += 1
    except TimeoutError: pass
print(heard)`;
  const { stdout } = await lab.host('client').run(['/usr/bin/python3', '-c', program]);
  expect(Number(stdout)).toBeGreaterThan(0);
  expect(Number(stdout)).toBeLessThan(40);
});
