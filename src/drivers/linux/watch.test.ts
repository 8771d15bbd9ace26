/** What a host tells of itself, on a real kernel; with perl, and on a host that has none. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Notice } from '../../apply/index.ts';
import { type Namespace, patient, startNamespace } from '../../lab/index.ts';
import { localTransport } from '../../transport/index.ts';
import { watch } from './watch.ts';

let space: Namespace;
beforeAll(async () => {
  space = await startNamespace();
  await space.run(['ip', 'link', 'set', 'lo', 'up']);
});
afterAll(() => space[Symbol.asyncDispose]());

/** Listens, until it is disposed of; `heard` waits for a notice that came after those counted before. */
async function listen() {
  const entry = ['nsenter', '-t', String(space.pid), '--mount', '--pid', '--net'];
  const stop = new AbortController();
  const notices: Notice[] = [];
  const watching = watch(localTransport('edge', { entry }), (notice) => notices.push(notice), stop.signal, 1).catch(
    (error: unknown) => error,
  );
  const heard = (kinds: readonly string[], from: number): Promise<Notice> =>
    vi.waitFor(() => notices.slice(from).find(({ kind }) => kinds.includes(kind)) ?? expect.fail(`no ${kinds}`), {
      timeout: patient(15_000),
      interval: 20,
    });
  await heard(['listening'], 0);
  const dispose = async (): Promise<void> => {
    stop.abort(new Error('enough'));
    await watching;
    await vi.waitFor(async () => expect((await left()).stdout).toBe(''), { timeout: patient(5_000), interval: 50 });
  };
  return { notices, heard, [Symbol.asyncDispose]: dispose };
}

const left = () => space.run(['pgrep', '-a', 'nft|ip|perl'], { allowFailure: true });

const CHANGES: readonly (readonly [string, readonly string[]])[] = [
  ['network', ['ip', 'link', 'add', 'v0', 'type', 'veth']],
  ['network', ['ip', 'addr', 'add', '10.0.0.1/24', 'dev', 'lo']],
  ['network', ['ip', 'route', 'add', '10.1.0.0/24', 'dev', 'lo']],
  ['network', ['ip', '-6', 'route', 'add', 'fd00:1::/64', 'dev', 'lo']],
  ['network', ['ip', 'rule', 'add', 'pref', '99', 'table', '7']],
  ['network', ['ip', '-6', 'rule', 'add', 'pref', '99', 'table', '7']],
  ['network', ['sysctl', '-qw', 'net.ipv4.conf.lo.forwarding=1']],
  ['ruleset', ['nft', 'add table inet t; add chain inet t c']],
  ['ruleset', ['nft', 'add rule inet t c counter']],
  ['ruleset', ['nft', 'flush ruleset']],
];
const undo = [
  'sh',
  '-c',
  'ip link del v0; ip addr del 10.0.0.1/24 dev lo; ip route del 10.1.0.0/24; ip -6 route del fd00:1::/64; for f in -4 -6; do ip "$f" rule del pref 99; done; sysctl -qw net.ipv4.conf.lo.forwarding=0',
];

describe('told at once, and by nothing that is left behind', () => {
  test('by perl, and who changed the ruleset', async () => {
    await using listening = await listen();
    expect((await left()).stdout).toMatch(/^\d+ perl [^\n]*\n$/s);
    for (const [kind, argv] of CHANGES) {
      const from = listening.notices.length;
      await space.run(argv);
      const notice = await listening.heard([kind], from);
      if (kind === 'ruleset') expect(notice).toEqual({ kind, by: { pid: expect.any(Number), name: 'nft' } });
    }
    await space.run(undo);
  });

  test('settings that the kernel tells nobody of, a while later', async () => {
    await using listening = await listen();
    const from = listening.notices.length;
    await space.run(['sysctl', '-qw', 'net.ipv4.conf.lo.accept_local=1']);
    await listening.heard(['settings'], from);
    expect(listening.notices.slice(from)).toEqual([{ kind: 'settings' }]);
  });

  test("WireGuard's peers, of which it tells nobody either", async () => {
    await space.run(['wireguard-go', 'sp-x']);
    const peer = ['wg', 'set', 'sp-x', 'peer', 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw='];
    await space.run([...peer, 'allowed-ips', '10.9.0.0/24']);
    await using listening = await listen();
    const from = listening.notices.length;
    await space.run([...peer, 'remove']);
    await listening.heard(['peers'], from);
    await space.run(['ip', 'link', 'del', 'sp-x']);
  });

  test('by the monitors, where there is no perl', async () => {
    await space.run(['sh', '-c', 'for f in $(which -a perl); do mount -n --bind /dev/null "$f"; done']);
    await using listening = await listen();
    for (const [, argv] of CHANGES) {
      const from = listening.notices.length;
      await space.run(argv);
      await listening.heard(['network', 'ruleset'], from);
    }
    await vi.waitFor(() =>
      expect(listening.notices).toContainEqual({ kind: 'ruleset', by: { pid: expect.any(Number), name: 'nft' } }),
    );
    await space.run(undo);
  });
});
