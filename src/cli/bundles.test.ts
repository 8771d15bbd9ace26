/** Hosts as they were collected are the hosts as they stand: the same traces, and no key. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { linuxDriver } from '../drivers/index.ts';
import { type Lab, startLab, startNamespace, type Topology } from '../lab/index.ts';
import { bundleTransport, readBundle, type Transport } from '../transport/index.ts';
import { LOOK_COMMANDS } from '../verify/index.ts';
import { collector } from './bundles.ts';
import { findSettings } from './causes.ts';
import { sightAll } from './sightings.ts';
import { type Run, SALLYPORT } from './testdata/story.ts';

const NAMES = ['client', 'gw', 'server'] as const;

const WALK: Topology = {
  name: 'bundles',
  hosts: [
    { name: 'client', routes: [{ to: 'default', via: '10.1.0.1' }] },
    { name: 'gw', sysctls: { 'net.ipv4.ip_forward': '1' } },
    { name: 'server', routes: [{ to: 'default', via: '10.2.0.1' }] },
  ],
  switches: [],
  cables: [cable('client', 'c0', 1), cable('server', 's0', 2)],
};

function cable(at: string, gateway: string, net: number): Topology['cables'][number] {
  return {
    ends: [
      { at, interface: 'eth0', addresses: [`10.${net}.0.2/24`] },
      { at: 'gw', interface: gateway, addresses: [`10.${net}.0.1/24`] },
    ],
  };
}

/** As Docker writes them: a published port, and a policy that drops all else. */
const DOCKER = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.2.0.0/24 ! -o s0 -j MASQUERADE
-A DOCKER ! -i s0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.2.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o s0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o s0 -j DOCKER
-A FORWARD -i s0 ! -o s0 -j ACCEPT
-A DOCKER -d 10.2.0.2/32 ! -i s0 -o s0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
`;

const HOSTS = NAMES.map(
  (name) =>
    `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
).join('---\n');

describe('three hosts, one with the rules of Docker', () => {
  let lab: Lab;
  let folder: string;
  const file = (name: string): string => join(folder, `${name}.bundle`);
  beforeAll(async () => {
    [lab, folder] = await Promise.all([startLab(WALK), mkdtemp(join(tmpdir(), 'bundles-'))]);
    await lab.serve('server', { protocol: 'tcp', port: 80 });
    await lab.host('gw').run(['iptables-restore'], { stdin: DOCKER });
    await Promise.all(
      NAMES.map(async (name) => {
        const { stdout } = await lab.host(name).run(['dash', '-s'], { stdin: collector() });
        await writeFile(file(name), stdout);
      }),
    );
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const sallyport = (args: readonly string[], stdin = ''): Promise<Run> =>
    lab.run([process.execPath, SALLYPORT, ...args], { stdin, allowFailure: true, timeoutMs: 60_000 });
  const ALL = (): readonly string[] => NAMES.flatMap((name) => ['--bundle', file(name)]);

  for (const [name, question, verdict] of [
    ['the published port', ['--from', '10.1.0.2', '--to', '10.1.0.1:8080/tcp'], 'delivered'],
    ['a port that is dropped', ['--from', '10.1.0.2', '--to', '10.2.0.2:81/tcp'], 'dropped'],
    ['outwards', ['--from', '10.2.0.2', '--to', '10.1.0.2/icmp'], 'delivered'],
  ] as const)
    test(`${name}: traced from bundles as live`, async () => {
      const [live, collected] = await Promise.all([
        sallyport(['trace', '--live', '-f', '-', ...question, '-o', 'json'], HOSTS),
        sallyport(['trace', ...ALL(), ...question, '-o', 'json']),
      ]);
      expect(collected.stderr).toBe('');
      expect(JSON.parse(collected.stdout).traces).toMatchObject([{ verdict }]);
      expect(collected).toEqual(live);
    });

  test('a host that is called otherwise, of documents, and drawn', async () => {
    const drawn = await sallyport(
      ['trace', '--live', '-f', '-', ...ALL(), '--from', '10.1.0.2', '--to', '10.1.0.1:8080/tcp', '-o', 'svg'],
      HOSTS,
    );
    expect(drawn).toMatchObject({ status: 0, stderr: '' });
    expect(drawn.stdout).toContain('<svg');
    const alone = ['--bundle', `left=${file('client')}`, '--from', '10.1.0.2', '--to', '10.1.0.1:8080/tcp'];
    expect((await sallyport(['trace', ...alone])).stdout).toContain('● left');
  });

  test('what is wrong with them is said, with status 2', async () => {
    const cut = join(folder, 'cut.bundle');
    await writeFile(cut, 'sallyport-bundle 1 0.1.0\nhost x\n');
    const ask = ['--from', '10.1.0.2', '--to', '10.1.0.1:8080/tcp'];
    const cases = [
      [
        ['trace', '--bundle', cut, ...ask],
        `sallyport: ${cut}:3: the bundle is cut off here: collect it again, or copy the whole file\n`,
      ],
      [
        ['doctor', '--bundle', cut],
        `sallyport: ${cut}:3: the bundle is cut off here: collect it again, or copy the whole file\n`,
      ],
      [
        ['trace', '--bundle', file('gw'), '--bundle', file('gw'), ...ask],
        `are both of a host "gw": write --bundle NAME=FILE\n`,
      ],
      [['trace', ...ask], 'of which hosts? Give -f PATH, or --bundle FILE\n'],
      [['trace', '--bundle', join(folder, 'none'), ...ask], 'ENOENT'],
      [['doctor', '--collect', '--netns', 'gw'], '--collect prints a script to run on the host itself'],
    ] as const;
    const runs = await Promise.all(cases.map(([args]) => sallyport(args)));
    for (const [index, { status, stdout, stderr }] of runs.entries()) {
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toContain(cases[index]?.[1]);
    }
  });

  test('doctor finds in them what it finds live', async () => {
    const [live, collected] = await Promise.all([
      sallyport(['doctor', '-f', '-', '-o', 'json'], HOSTS),
      sallyport(['doctor', ...ALL(), '-o', 'json']),
    ]);
    expect(collected.stderr).toBe('');
    expect(JSON.parse(collected.stdout)).toMatchObject({ unreachable: [], findings: expect.any(Array) });
    expect(collected).toEqual(live);
  });

  test('everything that is asked is in the script, and what is not there is not known', async () => {
    const { stdout } = await lab.host('gw').run(['cat', file('gw')]);
    const bundle = readBundle('gw', Buffer.from(stdout));
    const whole = bundleTransport('gw', bundle);
    const asked: (readonly string[])[] = [];
    const noting = (transport: Transport): Transport => ({
      ...transport,
      runAll: (commands, signal) => {
        asked.push(...commands.map(({ argv }) => argv));
        return transport.runAll(commands, signal);
      },
    });
    const signal = new AbortController().signal;
    const support = Promise.resolve({ wireguard: 'unknown', vxlan: 'unknown', flowtables: 'unknown' } as const);
    const observe = (transport: Transport) => linuxDriver(transport, { support }).observe(signal);
    const facts = await observe(noting(whole));
    expect(facts.state.tables.map(({ name, origin }) => `${name} ${origin}`)).toEqual([
      'nat iptables-nft',
      'filter iptables-nft',
    ]);
    await whole.runAll(LOOK_COMMANDS.map((argv) => ({ argv })));
    await findSettings(whole, signal);
    expect((await sightAll([{ name: 'gw', transport: whole, driver: linuxDriver(whole) }], signal)).size).toBe(1);
    // Take away any one of them: the host is not known, never empty.
    expect(asked.length).toBeGreaterThan(20);
    for (const gone of asked) {
      const missing: Transport = {
        ...whole,
        runAll: (commands, given) =>
          bundleTransport(
            'gw',
            commands.some(({ argv }) => argv === gone || argv.join() === gone.join())
              ? { ...bundle, outputs: new Map() }
              : bundle,
          ).runAll(commands, given),
      };
      await expect(observe(missing)).rejects.toThrow('gw: not in the bundle: ');
    }
  });
});

const KEYS = {
  private: 'QUNhbmFyeVRoYXRTaG91bGROb3RMZWF2ZVRoZUhvc3Q=',
  preshared: 'UHJlc2hhcmVkQ2FuYXJ5TmV2ZXJTZWVuQW55d2hlcmU=',
  file: 'SW5BRmlsZU9mV2dRdWlja0Fsb25lQnV0UHJpdmF0ZTE=',
} as const;

/** A `wg` that tells canary keys: what the real one would print of a link with one peer. */
const WG = `#!/bin/sh
case "$*" in
  'show all dump') printf 'wg0\\t${KEYS.private}\\tPUBLIC=\\t51820\\toff\\nwg0\\tPEER=\\t${KEYS.preshared}\\t192.0.2.1:51820\\t10.0.0.0/8\\t0\\t0\\t0\\toff\\n' ;;
  'show all private-key') printf 'wg0\\t${KEYS.private}\\n' ;;
  'show all preshared-keys') printf 'wg0\\tPEER=\\t${KEYS.preshared}\\n' ;;
esac
`;

for (const shell of [['dash'], ['busybox', 'sh']] as const)
  test(`no private or preshared key is in a bundle, wherever it stands on the host (${shell.join(' ')})`, async () => {
    await using kernel = await startNamespace();
    const prepare = `
mkdir -p /run/bin /etc/wireguard && mount -t tmpfs tmpfs /etc/wireguard || exit 1
cat >/run/bin/wg && chmod 755 /run/bin/wg
printf '[Interface]\\nPrivateKey = %s\\n[Peer]\\nPublicKey = PEER=\\nPresharedKey=%s\\nEndpoint = %s:1\\n' '${KEYS.file}' '${KEYS.preshared}' '${KEYS.file}' >/etc/wireguard/wg0.conf
`;
    await kernel.run(['sh', '-c', prepare], { stdin: WG });
    await kernel.run(['nft', '-f', '-'], {
      stdin: `table inet t {\n${Object.values(KEYS)
        .map((key, index) => `chain c${index} { counter comment "x${key}y ${key}"; }`)
        .join('\n')}\n}`,
    });
    const { stdout } = await kernel.run(['env', 'PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...shell, '-s'], {
      stdin: collector(),
    });
    expect(readBundle('b', Buffer.from(stdout)).outputs.size).toBeGreaterThan(40);
    // They were there to be found: the rules and the link were listed.
    expect(stdout).toContain('x(hidden)y (hidden)');
    expect(stdout).toContain('wg0\t(hidden)\tPUBLIC=');
    expect(stdout).toContain('PEER=\t(hidden)\t192.0.2.1:51820');
    for (const key of Object.values(KEYS)) expect(stdout).not.toContain(key.slice(0, 12));
  });

test('where nft cannot list all tables at once, each is collected by itself', async () => {
  await using kernel = await startNamespace();
  await kernel.run(['nft', 'add table ip a; add table inet b; add chain inet b c']);
  const nft =
    '#!/bin/sh\ncase "$*" in "-j list ruleset") echo cannot >&2; exit 1 ;; esac\nPATH=/usr/sbin:/sbin exec nft "$@"\n';
  await kernel.run(['sh', '-c', 'mkdir /run/bin && cat >/run/bin/nft && chmod 755 /run/bin/nft'], { stdin: nft });
  const { stdout } = await kernel.run(['env', 'PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'dash', '-s'], {
    stdin: collector(),
  });
  const transport = bundleTransport('b', readBundle('b', Buffer.from(stdout)));
  const support = Promise.resolve({ wireguard: 'unknown', vxlan: 'unknown', flowtables: 'unknown' } as const);
  const { state } = await linuxDriver(transport, { support }).observe(new AbortController().signal);
  expect(state.tables.map(({ family, name, chains }) => [family, name, chains.length])).toEqual([
    ['ip', 'a', 0],
    ['inet', 'b', 1],
  ]);
});
