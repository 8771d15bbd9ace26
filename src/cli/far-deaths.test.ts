/** What a host does alone, over a real sshd: apply is killed, or the plan has locked everybody out, and nobody comes to help. */
import { afterEach, describe, expect, test } from 'vitest';
import { startFirewalld, startUfw } from '../lab/index.ts';
import { type At, type FarEdge, type FarOptions, startFarEdge } from './testdata/far-edge.ts';
import type { Named } from './testdata/hostile.ts';

const windowMs = 2_000;
/** The promise is two seconds; a machine with other work takes longer. */
const LATE_MS = 15_000;

let far: FarEdge;
let labs = new AsyncDisposableStack();
afterEach(async () => {
  await labs[Symbol.asyncDispose]();
  labs = new AsyncDisposableStack();
});

const start = async (options: FarOptions): Promise<string> => {
  far = labs.use(await startFarEdge(options));
  return far.dump('edge');
};

/** A rule sends what sshd and the tunnel say by the provider; the main table knows another way, which is none. */
const BY_MARK = `ip link add void type veth peer name end
ip link set void addrgenmode none up
ip link set end addrgenmode none up
nft -f - <<'END'
table ip way { chain out { type route hook output priority -150; tcp sport 2222 meta mark set 7; udp sport 51820 meta mark set 7; }; }
END
ip rule add fwmark 7 lookup 77
ip route add default via 198.51.100.1 table 77
ip route add 192.0.2.128/25 dev void`;

/** The path takes 1400 bytes and tells nobody of what it drops. */
const NARROW = 'ethtool -K eth0 tso off gso off; ip link set eth0 mtu 1400';

describe('a setting locks everybody out', () => {
  for (const [what, prepare] of [
    ['the reverse path is checked strictly', ({ lab }) => lab.host('edge').run(['sh', '-ec', BY_MARK])],
    [
      'the MTU is more than the path takes',
      async ({ lab }) => {
        await lab.host('edge').run(['sh', '-ec', NARROW]);
        await lab.host('rack').run(['ip', 'link', 'set', 'port0', 'mtu', '1400']);
      },
    ],
  ] as const satisfies readonly (readonly [Named, FarOptions['prepare']])[])
    test(`${what}: the edge goes back after the window, and it is said`, async () => {
      const before = await start({ prepare });
      const file = await far.documents(1);
      const { said } = await far.run({ command: 'apply', file, windowMs, hostile: { what } });
      expect(said).toMatch(/^ApplyFailure: .*node and edge are as they were$/s);
      expect(await far.dump('edge')).toBe(before);
      // It is that which did it.
      expect(await far.run({ command: 'apply', file, windowMs: 30_000 })).toMatchObject({ said: 'applied' });
    }, 120_000);
});

const ADMIN = `cp /etc/passwd /run/passwd; echo 'admin:x:12345:12345::/:/bin/sh' >>/run/passwd
cp -p /etc/shadow /run/shadow; echo 'admin:*:19000:0:99999:7:::' >>/run/shadow
cp /etc/sudoers /run/sudoers; printf 'Defaults use_pty\\nadmin ALL=(ALL) NOPASSWD: ALL\\n' >>/run/sudoers; chmod 440 /run/sudoers
for f in passwd shadow sudoers; do mount -n --bind "/run/$f" "/etc/$f"; done`;

test('by sudo, apply and all that is logged in are killed: the edge goes back all the same', async () => {
  const before = await start({
    login: { user: 'admin', become: 'sudo' },
    prepare: ({ lab }) => lab.run(['sh', '-ec', ADMIN]),
  });
  await far.cli.lab.run(['chmod', '755', far.sshd.folder]);
  const file = await far.documents(1);
  let killed = false;
  const { said } = await far.run({ command: 'apply', file, windowMs }, async ({ progress, worker }: At) => {
    if (progress.kind !== 'step' || progress.host !== 'edge' || !progress.step.startsWith('link ')) return undefined;
    worker.kill('SIGKILL');
    await far.cli.lab.run(['sh', '-c', 'pkill -KILL -f "sshd(-session)?: admin"; pkill -KILL -u admin; :']);
    expect(far.isPending('edge')).toBe(true);
    killed = true;
    return undefined;
  });
  expect([said, killed]).toEqual([undefined, true]);
  await far.untilNotPending('edge', windowMs + LATE_MS);
  await expect.poll(() => far.dump('edge'), { timeout: 10_000 }).toBe(before);
  expect(await far.run({ command: 'apply', file, windowMs: 30_000 })).toMatchObject({ said: 'applied' });
}, 120_000);

test('who waits on the edge is killed, and apply after its next word: another waits, and the edge goes back', async () => {
  const before = await start({});
  const { lab } = far.cli;
  const watch = async (): Promise<string> =>
    (await lab.run(['cat', `${far.pendingOn('edge')}/watch`], { allowFailure: true })).stdout.trim();
  let first = '';
  const { said } = await far.run({ command: 'apply', file: await far.documents(1), windowMs: 10_000 }, async (at) => {
    const { progress, worker } = at;
    if (progress.kind === 'step' && progress.host === 'edge' && first === '') {
      first = await watch();
      await lab.run(['kill', '-KILL', '--', `-${first}`]);
    }
    // All hosts have heard of us once more.
    if (progress.kind !== 'checking') return undefined;
    worker.kill('SIGKILL');
    return undefined;
  });
  expect([said, first]).toEqual([undefined, expect.stringMatching(/^\d+$/)]);
  expect(await watch()).not.toBe(first);
  await far.untilNotPending('edge', 10_000 + LATE_MS);
  await expect.poll(() => far.dump('edge'), { timeout: 10_000 }).toBe(before);
}, 120_000);

test('rules of ours in ufw and firewalld: apply is killed after the last of them, and the hosts take them out by themselves', async () => {
  await start({
    async prepare({ lab }) {
      await startUfw(lab, 'edge');
      for (const rule of ['allow 2222/tcp', 'deny from 192.0.2.66'])
        await lab.host('edge').run(['ufw', ...rule.split(' ')]);
      await lab.host('edge').run(['ufw', 'reload']); // it writes some of its chains only then
      labs.use(await startFirewalld(lab, 'node'));
    },
  });
  const { lab } = far.cli;
  const files = async (): Promise<string> =>
    (await lab.run(['sh', '-c', 'cd /etc; find ufw firewalld -type f | sort | xargs grep -H "" 2>/dev/null; :']))
      .stdout;
  const rules = async (host: string): Promise<string> =>
    (await lab.host(host).run(['sh', '-c', 'nft -s list ruleset; iptables-save; ip6tables-save'])).stdout;
  const before = { files: await files(), edge: await rules('edge') };
  let told: readonly string[] = [];
  const { said } = await far.run({ command: 'apply', file: await far.documents(1), windowMs: 10_000 }, async (at) => {
    const { progress, worker } = at;
    if (progress.kind === 'step') told = [...told, `${progress.host}: ${progress.step}`];
    if (progress.kind !== 'checking') return undefined;
    expect(await rules('edge')).toContain('sallyport');
    expect(await files()).not.toBe(before.files);
    worker.kill('SIGKILL');
    return undefined;
  });
  expect(said).toBeUndefined();
  expect(told.filter((step) => step.includes('accept in')).length).toBeGreaterThan(1);
  for (const host of ['edge', 'node'] as const) await far.untilNotPending(host, 10_000 + LATE_MS);
  expect(await files()).toBe(before.files);
  const clean = (text: string): string => text.replaceAll(/^#.*\n|\[\d+:\d+\]/gm, '');
  expect(clean(await rules('edge'))).toBe(clean(before.edge));
  expect(await rules('node')).not.toMatch(/sp-[a-z]|51820/);
}, 180_000);
