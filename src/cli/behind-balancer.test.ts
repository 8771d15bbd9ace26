/** Pods behind a real load balancer that checks health by TCP alone: when it takes them out and in again, and what a rolling restart costs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BALANCER,
  BEHIND,
  balancerState,
  behindBalancer,
  dial,
  endSidecar,
  HEALTH_PORT,
  INNER,
  type Lab,
  onTunnel,
  STORY_CONF,
  startBehindBalancer,
  startLab,
  startSidecar,
  udpTargets,
  WORLD,
} from '../lab/index.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';
import { type RunningWireguard, startWireguard } from './testdata/wireguard-run.ts';

const UDP = 9_001;
const TCP = 9_002;
const WORLD_PORT = 7_000;
const [POD, POD2] = BEHIND;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab(behindBalancer(2));
  await startBehindBalancer(lab);
  for (const { name } of BEHIND) {
    await lab.serve(name, { protocol: 'udp', port: UDP });
    await lab.serve(name, { protocol: 'tcp', port: TCP });
  }
  await lab.serve('client', { protocol: 'tcp', port: WORLD_PORT });
});
afterAll(() => lab[Symbol.asyncDispose]());

const run = (host: string, flags: readonly string[] = [], within: readonly string[] = []) => {
  const args = ['run', STORY_CONF, '--interval', '200ms', '--health-listen', `[::]:${HEALTH_PORT}`, ...flags];
  return startWireguard(lab, host, args, 'wg0 is up', within);
};

/** Waits until the balancer passes UDP on to these pods and no others, by both families. */
const passesTo = (...pods: readonly (typeof BEHIND)[number][]): Promise<void> => {
  const wanted = pods.flatMap((pod) => [pod[4], pod[6]]).sort();
  return waitFor(`UDP to ${wanted.join(', ') || 'nobody'}`, async () => {
    const now = [...(await udpTargets(lab, 'balancer'))].sort();
    return now.join() === wanted.join();
  });
};
const reached = async (timeoutMs = 1_500): Promise<boolean> =>
  (await lab.connect('client', { protocol: 'udp', to: INNER[4], port: UDP, timeoutMs })).ok;

/** wg that tells handshakes to be as much older as /run/age says, in seconds: nobody waits until a peer is stale. */
const AGED = [
  ...['unshare', '--mount', 'sh', '-ec'],
  `real=$(readlink -f "$(command -v wg)"); cp "$real" /run/real-wg; echo 0 >/run/age
cat >/run/aged-wg <<'END'
#!/bin/sh
[ "$*" = 'show all dump' ] || exec /run/real-wg "$@"
/run/real-wg show all dump | awk -v age="$(cat /run/age)" 'BEGIN { FS = OFS = "\\t" } NF > 8 && $6 > 0 { $6 -= age } 1'
END
chmod 755 /run/aged-wg; mount --bind /run/aged-wg "$real"; exec "$@"`,
  'sh',
];

/** Checks of the balancer that the pod refused, since this was first asked. */
async function refusedChecks(): Promise<number> {
  const count = `table inet checks { chain out { type filter hook output priority 0; tcp sport ${HEALTH_PORT} tcp flags & rst == rst counter; }; }`;
  const listed = await onTunnel(lab, POD.name, `nft list table inet checks 2>/dev/null || nft '${count}'`);
  return Number(/packets (\d+)/.exec(listed)?.[1] ?? 0);
}

test('the balancer takes a pod out whose tunnel is not well, and back in', async () => {
  await passesTo();
  await refusedChecks();
  await waitFor('checks that are refused', async () => (await refusedChecks()) > 2);
  const running = await run('pod');
  const refused = await refusedChecks();
  await passesTo(POD);
  // Within one interval: of either family at most one check more finds it closed, and the first that does not brings it in.
  expect((await refusedChecks()) - refused).toBeLessThanOrEqual(2);
  await onTunnel(lab, POD.name, 'nft delete table inet checks');
  await dial(lab, 6);
  await waitFor('the client through the tunnel, by IPv6', reached);
  await dial(lab);
  await waitFor('the client through the tunnel, by IPv4', reached);

  await onTunnel(lab, 'pod', 'ip link set wg0 down');
  await passesTo();
  await onTunnel(lab, 'pod', 'ip link set wg0 up');
  await passesTo(POD);
  // Its socket is closed, and another one opened elsewhere.
  await onTunnel(lab, 'pod', 'wg set wg0 listen-port 51999');
  await passesTo();
  expect(running.said()).toContain('wg0 listens at UDP port 51999, and should at 51820');
  await onTunnel(lab, 'pod', 'wg set wg0 listen-port 51820');
  await passesTo(POD);
  await dial(lab);
  await waitFor('the client through the tunnel again', reached);

  // A new start goes on with the session, so that a peer is fresh, and asks for that.
  await running.end('SIGKILL');
  const second = await run('pod', ['--require', 'any-handshake'], AGED);
  await passesTo(POD);
  expect(await reached()).toBe(true);
  await lab.run(['sh', '-c', 'echo 1000 >/run/age']);
  await passesTo();
  expect(second.said()).toContain('none of 1 peers had a handshake within 180 s');
  // Its session would still do: the flow of a client that stands is cut, too.
  await waitFor('the client reaches nobody', async () => !(await reached(300)));
  await lab.run(['sh', '-c', 'echo 0 >/run/age']);
  await passesTo(POD);
  await waitFor('the client through the tunnel, by the session that it had', reached);
  expect(await second.end('SIGTERM')).toBe(0);
  await passesTo();
  expect((await balancerState(lab)).map(({ check }) => check)).toEqual(Array(4).fill('L4CON'));
});

/** A session without an answer is taken for dead after KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, and a lost handshake is tried again after REKEY_TIMEOUT (WireGuard paper, 6.1). */
const REHANDSHAKE_MS = 15_000;
const RETRY_MS = 5_000;

test('a rolling restart costs a peer its own new handshake, and no more', async () => {
  const running = new Map<string, RunningWireguard>();
  for (const { name } of BEHIND) running.set(name, await run(name));
  await passesTo(POD, POD2);
  await dial(lab);
  await waitFor('the client through the tunnel', reached);
  const handshakes = async (name: string) => onTunnel(lab, name, 'wg show wg0 latest-handshakes');
  const [first, last] = (await handshakes(POD.name)).endsWith('\t0\n') ? [POD2, POD] : [POD, POD2];

  let [longest, lastAnswer, isOver] = [0, performance.now(), false];
  const asking = (async () => {
    while (!isOver) {
      const ok = await reached(300);
      longest = Math.max(longest, performance.now() - lastAnswer);
      if (ok) lastAnswer = performance.now();
      await sleep(50);
    }
  })();
  // The client's own first: it goes to the other one, which has no session with it, and is restarted next.
  for (const [pod, other] of [
    [first, last],
    [last, first],
  ] as const) {
    expect(await running.get(pod.name)?.end('SIGTERM')).toBe(0);
    await passesTo(other);
    running.set(pod.name, await run(pod.name));
    await passesTo(POD, POD2);
  }
  await waitFor('the client through the tunnel', () => reached(300));
  isOver = true;
  await asking;
  expect(longest).toBeLessThan(REHANDSHAKE_MS + RETRY_MS);
  for (const each of running.values()) expect(await each.end('SIGTERM')).toBe(0);
});

describe('what people write into the file for wg-quick', () => {
  /**
   * Whether off the subnet the health check, a client of another TCP port, whose address is preserved, and a UDP server bound to no address
   * are answered; whether the peer comes in, and the pod's own goes by the tunnel.
   */
  const ask = async () => {
    const options = { to: POD[4], timeoutMs: 700 } as const;
    const asked = await Promise.all([
      lab.connect('balancer', { ...options, protocol: 'tcp', port: HEALTH_PORT, answer: false }),
      lab.connect('balancer', { ...options, protocol: 'tcp', port: TCP, sourceAddress: BALANCER[4] }),
      lab.connect('balancer', { ...options, protocol: 'udp', port: UDP }),
    ]);
    const [health, tcp, udp] = asked.map(({ ok }) => ok);
    if (health !== true) return { health, tcp, udp };
    await waitFor('UDP to the pod', async () => (await udpTargets(lab, 'balancer')).includes(POD[4]));
    await dial(lab);
    const peer = await reached();
    const own = await lab.connect('pod', { protocol: 'tcp', to: WORLD, port: WORLD_PORT, timeoutMs: 700 });
    return { health, tcp, udp, peer, own: own.ok && own.saw?.client.address === INNER[4] };
  };
  const NOT_10 =
    '0.0.0.0/5, 8.0.0.0/7, 11.0.0.0/8, 12.0.0.0/6, 16.0.0.0/4, 32.0.0.0/3, 64.0.0.0/2, 128.0.0.0/1, 10.11.0.0/16';
  const OUTPUT = `iptables -t mangle -A OUTPUT -p tcp --sport ${HEALTH_PORT} -j MARK --set-mark 51820`;
  const DOWN = OUTPUT.replace('-A', '-D');
  const nothing = { health: false, tcp: false, udp: false };
  const all = { health: true, tcp: true, udp: true, peer: true, own: true };
  const asWritten = (text: string) => text;
  const withLines = (lines: string) => (text: string) => text.replace('[Peer]', `${lines}\n[Peer]`);
  const withAllowed = (prefixes: string) => (text: string) => text.replace('0.0.0.0/0, ::/0', prefixes);

  beforeAll(() => startSidecar(lab, 'pod'));
  afterAll(() => endSidecar(lab, 'pod'));

  test.each([
    ['nothing', asWritten, nothing],
    ['another FwMark', withLines('FwMark = 0x77'), nothing],
    ['src_valid_mark', withLines('PostUp = sysctl -w net.ipv4.conf.all.src_valid_mark=1'), nothing],
    ['Table = off', withLines('Table = off'), { ...all, own: false }],
    ['two halves', withAllowed('0.0.0.0/1, 128.0.0.0/1'), nothing],
    ["all but the network's own", withAllowed(NOT_10), { health: true, tcp: false, udp: true }],
    [
      'a rule for the address of the pod',
      withLines('PostUp = ip rule add from 10.0.1.5 table main priority 100\nPostDown = ip rule del priority 100'),
      { ...all, udp: false },
    ],
    [
      'a mark at OUTPUT for one port',
      withLines(`PostUp = ${OUTPUT}\nPostDown = ${DOWN}`),
      { ...all, tcp: false, udp: false },
    ],
    ['the lines of mend --print', 'print', { ...all, udp: false }],
  ] as const)('%s', async (_, change, expected) => {
    const { stdout: text } = await lab.run(['cat', STORY_CONF]);
    const print = async (): Promise<string> =>
      (await lab.host('pod').run([process.execPath, SALLYPORT, 'wireguard', 'mend', 'wg0', '--print'])).stdout;
    const changed = change === 'print' ? withLines(await print())(text) : change(text);
    expect(change === asWritten || changed !== text).toBe(true);
    await lab.run(['sh', '-ec', 'mkdir -p /run/tried; umask 077; cat >/run/tried/wg0.conf'], { stdin: changed });
    await onTunnel(lab, 'pod', 'wg-quick up /run/tried/wg0.conf >/dev/null 2>&1');
    try {
      expect(await ask()).toMatchObject(expected);
    } finally {
      await onTunnel(lab, 'pod', 'wg-quick down /run/tried/wg0.conf >/dev/null 2>&1');
    }
  });
});
