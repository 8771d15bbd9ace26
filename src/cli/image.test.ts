/** The container image, as far as it can be known without building it, and the pod of `generate nlb` in it: its own arguments, rights and mounts. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab, type Topology } from '../lab/index.ts';
import { inCheckout, layRoot, packagesOf, readRecipe } from './testdata/image.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const recipe = readRecipe();
let folder: string;
const root = (): string => join(folder, 'root');
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sp-image-'));
  mkdirSync(root());
  layRoot(root(), recipe);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the recipe', () => {
  test('has only instructions that there are, and begins with the Node of this checkout', () => {
    const known = ['FROM', 'WORKDIR', 'COPY', 'RUN', 'USER', 'ENTRYPOINT', 'CMD'];
    for (const { word, line } of recipe) expect(known, `line ${line}`).toContain(word);
    const node = readFileSync(inCheckout('.node-version'), 'utf8').trim();
    expect(recipe[0]?.words).toEqual([`node:${node}-bookworm-slim`, 'AS', 'build']);
  });

  test('what it copies is there: in the checkout and not ignored, or made by the build', () => {
    const ignore = readFileSync(inCheckout('.dockerignore'), 'utf8').split('\n');
    const copies = recipe.filter(({ word }) => word === 'COPY');
    expect(copies.length).toBeGreaterThan(4);
    for (const { options, words, line } of copies)
      for (const source of words.slice(0, -1)) {
        const built = options.includes('--from=build');
        if (built && source === '/usr/local/bin/node') continue;
        expect(existsSync(inCheckout(source.replace(/^\/build\//, ''))), `line ${line}: ${source}`).toBe(true);
        if (!built) expect(ignore, `line ${line}`).toContain(`!${source.replace(/\/$/, '')}`);
      }
  });

  test('its packages are Debian packages', () => {
    const packages = packagesOf(recipe);
    expect(packages).toContain('nftables');
    const said = execFileSync('apt-cache', ['policy', ...packages], { encoding: 'utf8' });
    for (const name of packages)
      expect(said).toMatch(new RegExp(`^${name.replaceAll('+', '\\+')}:\\n(?: .*\\n)*? {2}Candidate: \\d`, 'm'));
  });
});

test('the program is one file: it runs from an empty folder, with Node and nothing else', () => {
  const alone = join(folder, 'alone');
  mkdirSync(alone);
  copyFileSync(inCheckout('dist/sallyport.js'), join(alone, 'sallyport.mjs'));
  const said = execFileSync('env', ['-i', process.execPath, 'sallyport.mjs', '--version'], {
    cwd: alone,
    encoding: 'utf8',
  });
  expect(said.trim()).toBe(JSON.parse(readFileSync(inCheckout('package.json'), 'utf8')).version);
});

describe('what stays resident in a pod', () => {
  const help = (file: string): string =>
    execFileSync(process.execPath, [inCheckout(file), 'wireguard', 'run', '--help'], { encoding: 'utf8' });
  test('is a file of its own, small, that answers as the whole program does', () => {
    expect(help('bin/sallyport')).toBe(help('dist/sallyport.js'));
    const [own, whole] = ['dist/wireguard.js', 'dist/sallyport.js'].map((file) => statSync(inCheckout(file)).size);
    expect(own).toBeLessThan((whole ?? 0) / 4);
  });

  test("answers without HTTP's client", () => {
    const ask = `import { nodeHttp, nodeHttps } from '${inCheckout('src/cli/http.ts')}';
nodeHttp().createServer(); nodeHttps().createServer();
console.log(process.moduleLoadList.filter((name) => name.includes('undici')).length);`;
    const argv = ['--experimental-strip-types', '--no-warnings', '--input-type=module', '-e', ask];
    expect(execFileSync(process.execPath, argv, { encoding: 'utf8' })).toBe('0\n');
  });
});

describe('a root of the named packages', () => {
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const inRoot = (...argv: readonly string[]): string =>
    execFileSync('unshare', [...asRoot, 'chroot', root(), 'env', '-i', `PATH=${PATH}`, ...argv], { encoding: 'utf8' });
  test.each([
    [['sallyport', '--version'], /^\d+\.\d+\.\d+/],
    [['ip', '-V'], /iproute2/],
    [['nft', '--version'], /nftables v1/],
    [['wg', '--version'], /wireguard-tools/],
    [['wireguard-go', '--version'], /wireguard-go/],
    [['sleep', '0'], /^$/],
  ])('%j', (argv, says) => expect(inRoot(...argv)).toMatch(says));
});

/** Debian's images. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const LOOSE = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.default.rp_filter': '0' };
/** The pod, and who asks for its health from beyond a router. */
const TOPOLOGY: Topology = {
  name: 'pod-image',
  hosts: [
    { name: 'prober', sysctls: LOOSE, routes: [{ to: 'default', via: '10.0.9.1' }] },
    { name: 'router', sysctls: { 'net.ipv4.ip_forward': '1', ...LOOSE } },
    {
      name: 'pod',
      sysctls: { ...LOOSE, 'net.ipv4.conf.all.src_valid_mark': '0' },
      routes: [{ to: 'default', via: '10.0.1.1' }],
    },
  ],
  switches: [],
  cables: [
    {
      ends: [
        { at: 'prober', interface: 'eth0', addresses: ['10.0.9.7/24'] },
        { at: 'router', interface: 'far0', addresses: ['10.0.9.1/24'] },
      ],
    },
    {
      ends: [
        { at: 'pod', interface: 'eth0', addresses: ['10.0.1.5/24'] },
        { at: 'router', interface: 'pods0', addresses: ['10.0.1.1/24'] },
      ],
    },
  ],
};

/** What a container runtime does of a pod: ROOT, CONF, the folders to write, the capabilities; then the command. */
const CONTAINER = `
root=$1 conf=$2 writable=$3 capabilities=$4; shift 4   # writable: paths with spaces between
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net"
for each in null zero full random urandom net/tun; do : >"$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"; done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
mount --bind "$conf" "$root/etc/wireguard"
mount -o remount,bind,ro "$root/etc/wireguard"
for each in $writable; do mount -t tmpfs tmpfs "$root$each"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --no-new-privs --bounding-set=-all,"$capabilities" --inh-caps=-all,"$capabilities" \\
  env -i PATH=${PATH} "$@"`;

interface PodSpec {
  readonly containers: readonly [
    {
      readonly command: readonly string[];
      readonly args: readonly string[];
      readonly volumeMounts: readonly { readonly mountPath: string; readonly readOnly?: boolean }[];
      readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } };
    },
  ];
}

test('the pod of generate nlb becomes well with the rights and mounts that it has, answers who is beyond the router, and leaves nothing', async () => {
  const conf = join(folder, 'conf');
  mkdirSync(conf);
  const key = execFileSync('wg', ['genkey'], { encoding: 'utf8' }).trim();
  const file = join(conf, 'wg0.conf');
  const peer = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
  writeFileSync(
    file,
    `[Interface]\nPrivateKey = ${key}\nAddress = 10.11.0.1/16\nListenPort = 51820\n[Peer]\nPublicKey = ${peer}\nAllowedIPs = 0.0.0.0/0\n`,
    { mode: 0o400 },
  );
  const printed = execFileSync(
    process.execPath,
    [SALLYPORT, 'generate', 'nlb', file, '--image', 'x', '--tun', 'host', '--json'],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const { items } = JSON.parse(printed) as {
    readonly items: readonly { kind: string; spec: { template: { spec: PodSpec } } }[];
  };
  const [container] =
    items.find(({ kind }) => kind === 'Deployment')?.spec.template.spec.containers ?? expect.fail('no pod');
  const writable = container.volumeMounts
    .filter(({ readOnly, mountPath }) => readOnly !== true && !mountPath.startsWith('/dev/'))
    .map(({ mountPath }) => mountPath);
  const capabilities = container.securityContext.capabilities.add.map((each) => `+${each.toLowerCase()}`).join(',');

  await using lab: Lab = await startLab(TOPOLOGY);
  const before = await lab.dump('pod');
  const argv = [...container.command, ...container.args];
  const outer = await lab
    .host('pod')
    .spawn([
      'unshare',
      '--mount',
      '--pid',
      '--fork',
      'sh',
      '-ec',
      CONTAINER,
      'sh',
      root(),
      conf,
      writable.join(' '),
      capabilities,
      ...argv,
    ]);
  let said = '';
  outer.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  outer.stdout.resume();
  try {
    let isOver = false;
    void outer.exited.then(() => {
      isOver = true;
    });
    const asked = (path: string) =>
      lab.host('prober').run(['curl', '-sf', `http://10.0.1.5:9001/${path}`], { allowFailure: true });
    await waitFor('the pod well', async () => said.includes('wg0 is up') || isOver);
    expect(isOver, said).toBe(false);
    await waitFor('it ready', async () => (await asked('readyz')).status === 0);
    for (const path of ['startupz', 'livez']) expect((await asked(path)).status, path).toBe(0);
    expect(await lab.host('prober').run(['nc', '-z', '-w', '2', '10.0.1.5', '9000'])).toMatchObject({ status: 0 });
    const first = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim();
    process.kill(Number(first), 'SIGTERM');
    expect(await outer.exited, said).toBe(0);
    expect(await lab.dump('pod')).toBe(before);
  } finally {
    await outer[Symbol.asyncDispose]();
  }
});
