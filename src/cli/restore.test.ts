/** What a host has of ours goes with a boot, and its files bring it back without us: the same, to the byte. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { carryOut, type ManagedHost, observeAll, prepare } from '../apply/index.ts';
import { linuxDriver } from '../drivers/index.ts';
import { DAEMON_FILES, type HostFacts } from '../host/index.ts';
import { type Lab, patient, type RunResult, slimEdge } from '../lab/index.ts';
import { loadResources } from '../resources/index.ts';
import { namespaceTransport } from '../transport/index.ts';
import { aimOfSet } from './aims.ts';
import { withoutChance } from './testdata/cli-lab.ts';
import { CLOUD_IMAGE, NFT } from './testdata/firewalls.ts';
import { DIRECT, documents, PORTS, type Story, startStory, VXLAN, WIREGUARD } from './testdata/story.ts';

const HOSTS = ['edge', 'node'];
const FORWARD = `${PORTS}\n  to:\n    - { host: node, via: edge-node }`;

async function stateOf(lab: Lab, host: string): Promise<string> {
  return `/run/sallyport/netns/${(await lab.run(['stat', '-L', '-c', '%i', `/run/netns/${host}`])).stdout.trim()}`;
}

/** As the shell of the host itself, in its state folder, with the sockets of its own wireguard-go. */
async function inside(lab: Lab, host: string, text: string): Promise<RunResult> {
  const folder = await stateOf(lab, host);
  const sockets = `mkdir -p ${folder}/wireguard /run/wireguard && mount -n --bind ${folder}/wireguard /run/wireguard && cd ${folder}`;
  const argv = ['nsenter', `--net=/run/netns/${host}`, 'unshare', '--mount', 'sh', '-c', `${sockets} && { ${text}\n}`];
  return lab.run(argv, { allowFailure: true });
}

const well = { status: 0, stderr: '' };

/** As a boot leaves it: nothing of ours in the kernel, no process, each setting as it was before us; and the files. */
async function turnOff(lab: Lab, host: string): Promise<void> {
  const folder = await stateOf(lab, host);
  const kept = `${folder}.kept`;
  const text = `[ ! -e pending/watch ] || kill -- "-$(cat pending/watch)"; cp -a . ${kept} && rm -f ${kept}/wireguard/* && sh undo.sh && mv ${kept} ${folder}`;
  expect(await inside(lab, host, text)).toMatchObject(well);
}

/** What the unit at boot runs, in this host's folder. */
const atBoot = (folder: string): string => {
  const unit = DAEMON_FILES.find(({ path }) => path.endsWith('/sallyport-boot.service'))?.content ?? '';
  const line = /^ExecStart=\/bin\/sh -c '(.*)'$/m.exec(unit)?.[1] ?? '';
  expect(line).toContain('cd /etc/sallyport ');
  return `( ${line.replace('/etc/sallyport', folder)} )`;
};

async function turnOn(lab: Lab, host: string): Promise<void> {
  const folder = await stateOf(lab, host);
  expect(await inside(lab, host, atBoot(folder))).toMatchObject(well);
  expect(await inside(lab, host, '[ ! -e restore.sh ] || sh restore.sh online')).toMatchObject(well);
}

/** Which address of its own a new Ethernet link has is chance as well, and what the kernel makes of it, once it has looked for another's. */
async function dumps(lab: Lab): Promise<string> {
  const look = async (): Promise<string> => (await Promise.all(HOSTS.map((host) => lab.dump(host)))).join('\n');
  let all = await look();
  for (const end = Date.now() + patient(10_000); all.includes('"tentative":true') && Date.now() < end; await sleep(200))
    all = await look();
  const own = [...all.matchAll(/"ifname":"sp-[^\n]*?"address":"([0-9a-f:]{17})"/g)].map(([, mac = '']) => mac);
  return withoutChance(own.reduce((text, mac) => text.replaceAll(mac, 'CHANCE'), all));
}

/** Without what comes of sessions: times, counters, where the far end was heard last. */
const keysOf = async (lab: Lab, host: string): Promise<string> =>
  (await inside(lab, host, `wg show all private-key; wg show all allowed-ips; wg show all persistent-keepalive`))
    .stdout;

async function served(story: Story): Promise<void> {
  for (const end = Date.now() + patient(20_000); ; await sleep(200)) {
    const seen = await story.ask('client', { protocol: 'tcp', to: '198.51.100.10', port: 80 });
    if (seen === 'seen from 192.0.2.10') return;
    if (Date.now() > end) expect(seen).toBe('seen from 192.0.2.10');
  }
}

describe('all that an apply made comes back and serves', () => {
  for (const [name, tunnel] of [
    ['over WireGuard, let through by the firewalls of others', WIREGUARD],
    ['over a private network, whose link comes late', DIRECT],
  ] as const)
    test(name, async () => {
      const firewalls = async (lab: Lab): Promise<void> => {
        if (tunnel !== WIREGUARD) return;
        await lab.host('edge').run(['sh', '-ec', `${CLOUD_IMAGE}\n${NFT}`]);
        await lab.host('node').run(['sh', '-ec', CLOUD_IMAGE]);
      };
      await using story = await startStory(slimEdge({ privateLink: true }), firewalls);
      const { lab } = story;
      const text = documents({ tunnel, forward: FORWARD });
      await story.apply(text);
      await lab.serve('node', { protocol: 'tcp', port: 8080 });
      await served(story);
      const before = await dumps(lab);
      const keys = await Promise.all(HOSTS.map((host) => keysOf(lab, host)));
      for (const host of HOSTS) await turnOff(lab, host);
      expect(await dumps(lab)).not.toContain('table inet sallyport');
      if (tunnel === DIRECT) {
        const edge = lab.host('edge');
        await edge.run(['ip', 'link', 'set', 'priv0', 'name', 'late0']);
        expect(await inside(lab, 'edge', atBoot(await stateOf(lab, 'edge')))).toMatchObject({
          ...well,
          stdout: expect.stringMatching(
            /^left for later: (?:.*: net\/ipv.*\/priv0\/.* is not there\n|.*: .*priv0.*\n)+$/,
          ),
        });
        const online = inside(lab, 'edge', 'echo began >began; sh restore.sh online');
        for (const folder = await stateOf(lab, 'edge'); ; await sleep(50))
          if ((await lab.run(['ls', folder])).stdout.includes('began')) break;
        await edge.run(['ip', 'link', 'set', 'late0', 'name', 'priv0']);
        expect(await online).toMatchObject(well);
        await inside(lab, 'edge', 'rm began');
        await turnOn(lab, 'node');
      } else for (const host of HOSTS) await turnOn(lab, host);
      expect(await dumps(lab)).toBe(before);
      expect(await Promise.all(HOSTS.map((host) => keysOf(lab, host)))).toEqual(keys);
      await served(story);
      expect(await story.sallyport(['plan', '-f', '-', '--detailed-exitcode'], text)).toMatchObject({ status: 0 });
      // By hand, on a host where all of it stands: no more than that.
      expect(await inside(lab, 'edge', 'sh restore.sh')).toMatchObject(well);
      expect(await dumps(lab)).toBe(before);
      await story.destroy(text);
    });
});

describe('a reboot while a change is pending', () => {
  const managedIn = (lab: Lab): readonly ManagedHost[] => {
    const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
    return HOSTS.map((name) => {
      const transport = namespaceTransport(name, name, { entry });
      return { name, transport, driver: linuxDriver(transport) };
    });
  };

  /** Applies, and when all is changed and checked the hosts are rebooted in the place of a confirmation. */
  async function applyAndReboot(lab: Lab, text: string): Promise<void> {
    const { set, problems } = loadResources([{ name: 'edge.yaml', text }]);
    if (set === undefined) throw new Error(JSON.stringify(problems));
    const { signal } = new AbortController();
    const managed = managedIn(lab);
    const facts = new Map<string, HostFacts>();
    for (const [name, seen] of await observeAll(managed, signal))
      if (seen.kind === 'observed') facts.set(name, seen.facts);
    const aimFor = aimOfSet(set, 'default');
    const reboot = async (): Promise<boolean> => {
      for (const host of HOSTS) await turnOff(lab, host);
      for (const host of HOSTS)
        expect(await inside(lab, host, atBoot(await stateOf(lab, host)))).toMatchObject({ status: 0 });
      return false;
    };
    const plan = prepare(facts, aimFor, 'add');
    await expect(
      carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: false, windowMs: 600_000, confirm: reboot }),
    ).rejects.toThrow(/^not confirmed; node and edge are as they were$/);
  }

  test('the host is as it was before that, the record too; where nothing of ours stood, nothing does', async () => {
    await using story = await startStory(slimEdge({ privateLink: true }));
    const { lab } = story;
    const bare = await dumps(lab);
    await applyAndReboot(lab, documents({ tunnel: WIREGUARD, forward: FORWARD }));
    expect(await dumps(lab)).toBe(bare);

    const text = documents({ tunnel: VXLAN, forward: FORWARD });
    await story.apply(text);
    const before = await dumps(lab);
    const files = async (): Promise<readonly string[]> =>
      Promise.all(
        HOSTS.map(async (host) => (await inside(lab, host, 'find . ! -type d -exec sha256sum {} + | sort')).stdout),
      );
    const kept = await files();
    await applyAndReboot(lab, documents({ tunnel: DIRECT, forward: FORWARD }));
    expect(await dumps(lab)).toBe(before);
    expect(await files()).toEqual(kept);
    expect(await story.sallyport(['destroy', '--yes', '-f', '-'], text)).toMatchObject({ status: 0 });
  });
});
