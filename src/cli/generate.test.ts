/** `sallyport generate nlb`, as it is typed. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '../manifests/index.ts';
import { UsageError } from './exit.ts';
import { type GenerateNlbFlags, readNlbFlags } from './generate/nlb-flags.ts';
import { SALLYPORT } from './testdata/story.ts';

const folder = mkdtempSync(join(tmpdir(), 'sp-generate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PRESHARED = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';
const PUBLIC = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const CONF = `[Interface]
PrivateKey = ${PRIVATE}
Address = 10.11.0.1/16
ListenPort = 443
DNS = 10.0.0.53, corp.example.com
PostUp = iptables -t nat -A POSTROUTING -j MASQUERADE

[Peer]
PublicKey = ${PUBLIC}
PresharedKey = ${PRESHARED}
AllowedIPs = 10.11.0.2/32
`;

function conf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

interface Said {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}
const generate = (...args: readonly string[]): Promise<Said> => generateKind('nlb', ...args);
const generateKind = (...args: readonly string[]): Promise<Said> =>
  new Promise((resolve) => {
    const argv = [SALLYPORT, 'generate', ...args];
    execFile(process.execPath, argv, (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
const KINDS = ['ServiceAccount', 'NetworkPolicy', 'Deployment', 'PodDisruptionBudget', 'Service'];
const IMAGE = ['--image', 'registry.example.com/sallyport:0.1.0'];

describe('from a wg-quick file', () => {
  test('port, DNS and the way to the Secret come out of it; no key does', async () => {
    const path = conf('wg7.conf', CONF);
    const { status, stdout, stderr } = await generate(path, ...IMAGE, '--namespace', 'vpn');
    expect(status, stderr).toBe(0);
    for (const key of [PRIVATE, PRESHARED, PUBLIC]) expect(stdout + stderr).not.toContain(key);
    expect(stdout).toContain(`kubectl create secret generic wireguard-conf -n vpn --from-file=${path}`);
    expect(stderr).toContain('--from-file=');
    expect(stderr).toContain('line 6: PostUp is not run without --allow-hooks');
    const objects = parseAllDocuments(stdout).map((each) => each.toJS() as KubernetesObject);
    expect(objects.map(({ kind }) => kind)).toEqual(KINDS);
    const text = JSON.stringify(objects);
    expect(text).toContain('"wireguard","run","/etc/wireguard/wg7.conf"');
    expect(text).toContain('{"name":"wireguard","protocol":"UDP","port":443,"targetPort":"wireguard"}');
    expect(text).toContain('"dnsConfig":{"nameservers":["10.0.0.53"],"searches":["corp.example.com"]}');
    expect(text).toContain('{"name":"net.ipv4.ip_unprivileged_port_start","value":"0"}');
  });

  test('--json is a List, and -o json the same', async () => {
    const path = conf('wg0.conf', CONF);
    const [flag, option] = await Promise.all([
      generate(path, ...IMAGE, '--json'),
      generate(path, ...IMAGE, '-o', 'json'),
    ]);
    expect(flag.stdout).toBe(option.stdout);
    const { kind, items } = JSON.parse(flag.stdout) as {
      readonly kind: string;
      readonly items: readonly KubernetesObject[];
    };
    expect(kind).toBe('List');
    expect(items.map((each) => each.kind)).toEqual(KINDS);
  });

  test('a broken one is named with line and column, and nothing is printed', async () => {
    const path = conf('wg1.conf', CONF.replace('ListenPort = 443', 'ListenPrt = 443'));
    const { status, stdout, stderr } = await generate(path, ...IMAGE);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`${path}:4:1: `);
    expect(stderr).toContain('did you mean "ListenPort"?');
  });

  test.each([
    ['a port by chance', CONF.replace('ListenPort = 443\n', ''), 'ListenPort = 51820'],
    ['no key', CONF.replace(/PrivateKey.*\n/, ''), 'has no PrivateKey'],
    ['a key elsewhere', CONF.replace(/PrivateKey.*/, 'PrivateKeyFile = /root/wg.key'), '/etc/wireguard'],
  ])('%s is refused', async (_, text, what) => {
    const { status, stdout, stderr } = await generate(conf('wg2.conf', text), ...IMAGE);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(what);
  });

  test('a key in a file beside it is part of the Secret', async () => {
    const path = conf('wg3.conf', CONF.replace(/PrivateKey.*/, 'PrivateKeyFile = /etc/wireguard/wg3.key'));
    const { stdout } = await generate(path, ...IMAGE);
    expect(stdout).toContain('--from-file=wg3.key');
    expect(stdout).toContain('- key: wg3.key');
  });
});

const FLAGS: GenerateNlbFlags = {
  ...{ output: 'yaml', image: 'registry.example.com/sallyport:0.1.0', cloud: 'aws', name: 'wireguard', replicas: 2 },
  ...{ workload: 'Deployment', healthPort: 9000, probePort: 9001, healthAddress: '0.0.0.0', healthProtocol: 'TCP' },
  ...{ healthInterval: 10_000, healthThreshold: 3, require: 'listening', targets: 'ip', tun: 'none' },
};

describe('what cannot be', () => {
  const said: readonly (readonly [Partial<GenerateNlbFlags>, string])[] = [
    [{ cloud: 'hetzner' }, 'no UDP'],
    [{ probePort: 9000 }, "the balancer's health port, which speaks TCP alone"],
    [{ targets: 'instance', cloud: 'azure' }, 'only AWS knows that'],
    [{ addressPool: 'public' }, 'only MetalLB knows that'],
    [{ cloud: 'digitalocean', port: 9000 }, 'one port cannot be both'],
    [{ cloud: 'azure', healthInterval: 60_000 }, 'less than 120 s'],
    [{ cloud: 'metallb', internal: true }, 'the address pool decides'],
    [{ healthInterval: 1_000 }, 'whole seconds from 5 to 300'],
    [{ healthInterval: 7_500 }, 'whole seconds from 5 to 300'],
    [{ healthThreshold: 1 }, '2 to 10'],
    [{ sourceRange: ['203.0.113.7/24'] }, '--source-range 203.0.113.7/24: a prefix'],
    [{ healthAddress: 'eth0' }, '0.0.0.0, or ::'],
    [{ name: 'Wire_Guard' }, 'lower-case letters'],
    [{ name: 'w'.repeat(53) }, 'at most 52 characters'],
    [{ image: 'a b' }, 'an image'],
    [{ secret: 'a/b c' }, 'a key'],
    [{ require: 'all' }, '--require all: listening'],
    [{ tun: 'yes' }, 'none, host, or a resource'],
  ];
  test.each(said)('%j', (flags, what) => {
    expect(() => readNlbFlags(undefined, { ...FLAGS, ...flags })).toThrow(UsageError);
    expect(() => readNlbFlags(undefined, { ...FLAGS, ...flags })).toThrow(what);
  });
  test('nothing is wrong with them as they stand', () => {
    expect(readNlbFlags(undefined, FLAGS)).toMatchObject({
      options: { port: 51_820, listenPort: 51_820 },
      warnings: [],
    });
  });
  test('a listen port that the file does not say', () => {
    const path = conf('wg4.conf', CONF);
    expect(() => readNlbFlags(path, { ...FLAGS, listenPort: 51_820 })).toThrow(`${path} says ListenPort = 443`);
    expect(readNlbFlags(path, { ...FLAGS, port: 51_820 }).options).toMatchObject({ port: 51_820, listenPort: 443 });
  });

  test.each([
    [[...IMAGE, '--cloud', 'gogle'], 'did you mean "google"?'],
    [[...IMAGE, '--port', '65536'], 'a port is a number from 1 to 65535'],
    [[], "required option '--image <image>'"],
  ])('typed: %j', async (args, what) => {
    const { status, stdout, stderr } = await generate(...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(what);
    expect(stderr).not.toContain('    at ');
  });
  test('a kind that is to come', async () =>
    expect(await generateKind('cilium')).toEqual({
      ...{ status: 2, stdout: '', stderr: 'not yet supported: generate cilium\n' },
    }));
});
