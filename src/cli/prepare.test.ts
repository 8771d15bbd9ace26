/** `host prepare` over a real sshd, with the real apt-get and dpkg, on a machine with the real systemd. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Machine, machineProblem, patient, type Sshd, startMachine, startSshd } from '../lab/index.ts';
import { atTerminal } from './testdata/at-terminal.ts';
import { sallyportPath } from './testdata/cli-lab.ts';
import { takeAway } from './testdata/repository.ts';

const problem = machineProblem();
const where = problem === undefined ? '' : ` (not here: ${problem})`;
const GONE = ['conntrack', 'nftables', 'wireguard-tools'];

describe.skipIf(problem !== undefined)(`on a machine with systemd${where}`, () => {
  let machine: Machine;
  let sshd: Sshd;
  beforeAll(async () => {
    machine = await startMachine({ units: ['basic.target'] });
    sshd = await startSshd(machine);
    const user =
      'for u in admin guest; do useradd -m -p "*" -s /bin/sh $u; done; echo "admin ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/admin';
    await machine.run(['sh', '-ec', `${user}; chmod 755 "$1"`, 'sh', sshd.folder]);
    await machine.run(['ln', '-sf', 'pts/ptmx', '/dev/ptmx']);
    // A server has none; a container's would hide what a package does to services.
    await machine.run(['rm', '-f', '/usr/sbin/policy-rc.d']);
    // Started once, it is started anew by each new version of its package, unless that is prevented: and then flushes all rules.
    await machine.run(['systemctl', 'start', 'nftables.service']);
    await machine.run(['nft', '-f', '-'], { stdin: 'table ip theirs { chain c { counter; }; }' });
    await takeAway(machine, '/srv/repository', GONE);
  });
  afterAll(async () => {
    await sshd[Symbol.asyncDispose]();
    await machine[Symbol.asyncDispose]();
  });

  const documents = (user: string): string => {
    const { port, identityFile, hostKey } = sshd;
    return `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec: { access: { ssh: ${JSON.stringify({ address: '127.0.0.1', user, port, identityFile, hostKey })} } }`;
  };
  const sallyport = (argv: readonly string[], user = 'root') =>
    machine.run([process.execPath, sallyportPath, ...argv, '-f', '-'], {
      ...{ stdin: documents(user), allowFailure: true, timeoutMs: 120_000 },
    });
  const installed = async (): Promise<readonly string[]> => {
    const { stdout } = await machine.run(['dpkg', '--get-selections']);
    return GONE.filter((name) => new RegExp(`^${name}\\s+install$`, 'm').test(stdout));
  };

  test('what is missing is named with its package, and nothing is asked or done without a terminal', async () => {
    const { status, stdout, stderr } = await sallyport(['host', 'prepare', 'edge']);
    expect(stdout).toMatch(/^edge: Debian GNU\/Linux .*, Linux \S+\n/);
    for (const line of [
      '  missing: nft (package nftables), wg (package wireguard-tools), conntrack (package conntrack)\n',
      '  to be run there:\n    apt-get install -y --no-install-recommends --no-upgrade --no-remove conntrack nftables wireguard-tools\n',
      '  nftables.service comes with nftables and is neither started nor enabled: it begins by flushing all rules of the host\n',
    ])
      expect(stdout).toContain(line);
    expect(stderr).toBe('sallyport: host prepare asks before it installs, and stdin is no terminal: give --yes\n');
    expect(status).toBe(2);
    expect(await installed()).toEqual([]);
  });

  test('doctor and plan name the same package', async () => {
    const { stdout, stderr, status } = await sallyport(['plan']);
    expect(stdout + stderr).toContain('edge: nft is missing: install the Debian package nftables');
    expect(status).toBe(1);
  });

  test('who cannot become root installs nothing, and it is said why', async () => {
    const { status, stderr } = await sallyport(['host', 'prepare', 'edge', '--yes'], 'guest');
    expect(stderr).toBe(
      'sallyport: edge: installing needs root, and guest cannot become it: sudo says: a password is required; nothing was installed\n',
    );
    expect(status).toBe(1);
    expect(await installed()).toEqual([]);
  });

  for (const [what, folder, options, fill, said] of [
    [
      'a disk that is full',
      '/var/lib/apt/lists',
      'size=4k',
      'head -c 4096 /dev/zero >"$1/x"',
      /No space left on device/,
    ],
    ['a file system that is read-only', '/var/lib/dpkg/updates', 'ro', ':', /Read-only file system/],
  ] as const)
    test(`${what}: apt-get says so, and nothing is left behind`, async () => {
      const left = async () => (await machine.run(['find', '/tmp', '/run', '-maxdepth', '1', '-name', 'tmp.*'])).stdout;
      await machine.run(['mkdir', '-p', folder]);
      await machine.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
      await machine.run(['sh', '-ec', fill, 'sh', folder]);
      const before = await left();
      const { status, stderr } = await sallyport(['host', 'prepare', 'edge', '--yes']);
      await machine.run(['umount', folder]);
      expect(stderr).toMatch(
        /^sallyport: edge: apt-get did not install conntrack, nftables, wireguard-tools:\n(?: {2}.*\n)+$/,
      );
      expect(stderr).toMatch(said);
      expect(status).toBe(1);
      expect(await left()).toBe(before);
      expect(await installed()).toEqual([]);
    });

  test('by sudo it is installed, the rules of the host stand, and nftables.service stays off', async () => {
    const { status, stdout, stderr } = await sallyport(['host', 'prepare', 'edge', '--yes'], 'admin');
    expect(stderr).toBe('');
    expect(stdout).toMatch(/edge: installed conntrack, nftables, wireguard-tools; nothing is missing\n$/);
    expect(status).toBe(0);
    expect(await installed()).toEqual(GONE);
    expect((await machine.run(['nft', 'list', 'tables'])).stdout).toContain('table ip theirs\n');
    const enabled = await machine.run(['systemctl', 'is-enabled', 'nftables.service'], { allowFailure: true });
    expect(enabled.stdout).toBe('disabled\n');
    const again = await sallyport(['host', 'prepare', 'edge', '-o', 'json'], 'admin');
    expect(JSON.parse(again.stdout)).toMatchObject({
      look: { missing: [], root: 'sudo' },
      packages: [],
      installed: false,
    });
    expect(again.status).toBe(0);
  });

  test('a connection that is lost meanwhile does not end the installation, and is told', async () => {
    await takeAway(machine, '/srv/lost', ['conntrack', 'wireguard-tools']);
    const preparing = sallyport(['host', 'prepare', 'edge', '--yes']);
    const installs = async () => (await machine.run(['pgrep', '-x', 'apt-get'], { allowFailure: true })).status === 0;
    await vi.waitUntil(installs, { timeout: patient(20_000), interval: 10 });
    await machine.run(['pkill', '-f', 'sshd: root@notty']);
    const { status, stderr } = await preparing;
    expect(stderr).toMatch(/edge: the connection was lost before the command had ended/);
    expect(status).toBe(1);
    await vi.waitFor(async () => expect(await installed()).toEqual(GONE), patient(30_000));
    await vi.waitUntil(async () => !(await installs()), patient(30_000));
    const again = await sallyport(['host', 'prepare', 'edge']);
    expect(again).toMatchObject({ status: 0, stderr: '' });
  });

  test('at a terminal it is asked; no leaves all as it was, yes installs', async () => {
    await takeAway(machine, '/srv/another', ['conntrack']);
    await machine.run(['tee', '/srv/edge.yaml'], { stdin: documents('root') });
    for (const [answer, status, packages] of [
      ['n', 1, ['nftables', 'wireguard-tools']],
      ['y', 0, GONE],
    ] as const) {
      const session = await atTerminal(machine, ['host', 'prepare', 'edge', '-f', '/srv/edge.yaml']);
      await session.until('Install this on edge? [y/N]');
      session.type(`${answer}\n`);
      expect(await session.terminal.exited).toBe(status);
      expect(await installed()).toEqual(packages);
    }
  });
});
