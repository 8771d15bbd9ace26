/** `wireguard run` in a pod, on a real kernel: probers on its subnet and beyond a router are answered while all it sends itself goes by the tunnel. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, makeTunnel, onTunnel, startLab, type Topology, withSockets } from '../lab/index.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';
import { type RunningWireguard, startWireguard } from './testdata/wireguard-run.ts';

const LOOSE = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.default.rp_filter': '0' };
const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1', ...LOOSE };
const POD = { 4: '10.0.1.5', 6: 'fd01::5' } as const;
const ways = (last: string) => [
  { to: 'default', via: `10.0.${last}.1` },
  { to: 'default', via: `fd0${last}::1` },
];
const end = (at: string, link: string, ...addresses: readonly string[]) => ({ at, interface: link, addresses });
const port = (number: number) => ({ at: 'subnet', interface: `port${number}` });

/** client - prober - router - the pod's subnet. */
const TOPOLOGY: Topology = {
  name: 'pod-tunnel',
  hosts: [
    { name: 'client', sysctls: LOOSE, routes: [{ to: 'default', via: '203.0.113.1' }] },
    { name: 'prober', sysctls: FORWARDS, routes: ways('9') },
    { name: 'router', sysctls: FORWARDS, routes: [{ to: '203.0.113.0/24', via: '10.0.9.7' }] },
    { name: 'near', sysctls: LOOSE, routes: ways('1') },
    { name: 'pod', sysctls: { ...LOOSE, 'net.ipv4.conf.all.src_valid_mark': '0' }, routes: ways('1') },
  ],
  switches: [{ name: 'subnet' }],
  cables: [
    { ends: [end('client', 'eth0', '203.0.113.7/24'), end('prober', 'net0', '203.0.113.1/24')] },
    { ends: [end('prober', 'eth0', '10.0.9.7/24', 'fd09::7/64'), end('router', 'far0', '10.0.9.1/24', 'fd09::1/64')] },
    { ends: [end('router', 'pods0', '10.0.1.1/24', 'fd01::1/64'), port(1)] },
    { ends: [end('near', 'eth0', '10.0.1.9/24', 'fd01::9/64'), port(2)] },
    { ends: [end('pod', 'eth0', `${POD[4]}/24`, `${POD[6]}/64`), port(3)] },
  ],
};

let lab: Lab;
let folder: string;
let clientKey: string;
let podKey: string;
const conf = (): string => join(folder, 'wg0.conf');

const written = (more = ''): string => `[Interface]
PrivateKeyFile = ${folder}/pod.key
Address = 10.11.0.1/16, fd11::1/64
ListenPort = 51820
${more}
[Peer]
PublicKey = ${clientKey}
AllowedIPs = 0.0.0.0/0, ::/0
`;

/** Its settings come with its first rule, on a kernel that did not have it: before anything is compared. */
const TRACKS = `add table inet first; add chain inet first c { type filter hook input priority 0; };
add rule inet first c ct state new; delete table inet first`;

beforeAll(async () => {
  lab = await startLab(TOPOLOGY);
  await lab.host('pod').run(['nft', '-f', '-'], { stdin: TRACKS });
  folder = mkdtempSync(join(tmpdir(), 'sp-pod-'));
  podKey = (
    await lab.host('pod').run(['sh', '-ec', `umask 077; wg genkey >${folder}/pod.key; wg pubkey <${folder}/pod.key`])
  ).stdout.trim();
  clientKey = await makeTunnel(lab, 'client', 'wg0', 51_821);
  await onTunnel(
    lab,
    'client',
    `ip address add 10.11.0.2/16 dev wg0; ip address add fd11::2/64 dev wg0; ip address add 198.51.100.1/32 dev lo
ip link set wg0 up`,
  );
  await lab.serve('pod', { protocol: 'tcp', port: 9000 });
  await lab.serve('pod', { protocol: 'udp', port: 9001 });
  await lab.serve('client', { protocol: 'tcp', port: 7000 });
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const hangUp = () => onTunnel(lab, 'client', `wg set wg0 peer ${podKey} remove`);
/** With a new handshake at once: one that knew the tunnel before its restart would go on with the old session for a quarter of a minute. */
const dial = () =>
  onTunnel(
    lab,
    'client',
    `wg set wg0 peer ${podKey} endpoint ${POD[4]}:51820 allowed-ips 10.11.0.1/32,fd11::1/128 persistent-keepalive 1`,
  );
const throughTheTunnel = async (): Promise<void> => {
  await hangUp();
  await dial();
  await waitFor('the client through the tunnel', () => answered('client', '10.11.0.1', 9000));
};

let running: RunningWireguard | undefined;
afterEach(async () => {
  await running?.end('SIGTERM');
  running = undefined;
});

/** `wireguard run` of the file, with these flags. */
function startRun(text: string, ...flags: readonly string[]): Promise<RunningWireguard> {
  writeFileSync(conf(), text, { mode: 0o600 });
  return start(['run', conf(), '--interval', '200ms', ...flags], 'wg0 is up');
}

async function start(args: readonly string[], ready: string): Promise<RunningWireguard> {
  running = await startWireguard(lab, 'pod', args, ready);
  return running;
}

const answered = async (host: string, to: string, port: number, protocol: 'tcp' | 'udp' = 'tcp') =>
  (await lab.connect(host, { protocol, to, port, timeoutMs: 2_000 })).ok;

describe('with a default route by the tunnel', () => {
  test('what came in by eth0 goes back by it, and what the pod begins goes by the tunnel', {
    tags: ['vm'],
  }, async () => {
    const before = await lab.dump('pod');
    const { said, end } = await startRun(written());
    expect(said()).not.toMatch(/warn|error/);
    for (const host of ['prober', 'near'])
      for (const family of [4, 6] as const) {
        expect(await answered(host, POD[family], 9000), `${host} IPv${family}, ${said()}`).toBe(true);
        expect(await answered(host, POD[family], 9001, 'udp'), `${host} IPv${family}, UDP`).toBe(true);
      }
    await throughTheTunnel();
    const saw = await lab.connect('pod', { protocol: 'tcp', to: '198.51.100.1', port: 7000, timeoutMs: 2_000 });
    expect(saw).toMatchObject({ ok: true, saw: { client: { address: '10.11.0.1' } } });
    expect(await end('SIGTERM')).toBe(0);
    expect(await lab.dump('pod')).toBe(before);
  });
});

describe('again', () => {
  test('after kill -9 a new start goes on from what stands, and takes all of it back', { tags: ['vm'] }, async () => {
    const before = await lab.dump('pod');
    const killed = await startRun(written());
    await throughTheTunnel();
    await killed.end('SIGKILL');
    const second = await startRun(written());
    expect(second.said()).not.toMatch(/link wg0 made|route add|rule add/);
    expect(await answered('client', '10.11.0.1', 9000)).toBe(true);
    expect(await answered('prober', POD[4], 9000)).toBe(true);
    expect(await second.end('SIGTERM')).toBe(0);
    expect(await lab.dump('pod')).toBe(before);
  });

  test('a changed file is taken up in place, a broken one is not, and no session ends', { tags: ['vm'] }, async () => {
    const { said } = await startRun(written());
    await throughTheTunnel();
    const handshake = () => onTunnel(lab, 'pod', 'wg show wg0 latest-handshakes | head -1');
    const first = await handshake();
    const other = (await lab.host('pod').run(['sh', '-c', 'wg genkey | wg pubkey'])).stdout.trim();
    writeFileSync(conf(), `${written()}[Peer]\nPublicKey = ${other}\nAllowedIPs = 10.99.0.0/16\n`);
    await waitFor('the new peer', async () => said().includes('in force'));
    expect(await onTunnel(lab, 'pod', 'wg show wg0 peers; ip route show table 51820')).toMatch(
      new RegExp(`${other.replaceAll('+', '\\+')}[^]*10\\.99\\.0\\.0/16 dev wg0`),
    );
    writeFileSync(conf(), written().replace('ListenPort = 51820', 'ListenPort = many'));
    await waitFor('the refusal', async () => said().includes('is no port: many'));
    expect(await onTunnel(lab, 'pod', 'wg show wg0 peers')).toContain(other);
    writeFileSync(conf(), written());
    await waitFor('the old one again', async () => !(await onTunnel(lab, 'pod', 'wg show wg0 peers')).includes(other));
    expect(await handshake()).toBe(first);
    expect(await onTunnel(lab, 'pod', 'ip route show table 51820')).not.toContain('10.99');
  });

  test('a Secret is taken up as the kubelet exchanges it: by one link to a whole folder', async () => {
    const secret = join(folder, 'secret');
    const lay = (name: string, text: string): void => {
      mkdirSync(join(secret, name), { recursive: true });
      writeFileSync(join(secret, name, 'wg0.conf'), text, { mode: 0o600 });
      symlinkSync(name, join(secret, '..data_tmp'));
      renameSync(join(secret, '..data_tmp'), join(secret, '..data'));
    };
    lay('..1', written());
    symlinkSync('..data/wg0.conf', join(secret, 'wg0.conf'));
    const { said, end } = await start(['run', join(secret, 'wg0.conf'), '--interval', '200ms'], 'wg0 is up');
    const other = (await lab.host('pod').run(['sh', '-c', 'wg genkey | wg pubkey'])).stdout.trim();
    lay('..2', `${written()}[Peer]\nPublicKey = ${other}\nAllowedIPs = 10.99.0.0/16\n`);
    await waitFor('the new peer', async () => said().includes('in force'));
    expect(await onTunnel(lab, 'pod', 'wg show wg0 peers')).toContain(other);
    expect(await end('SIGTERM')).toBe(0);
  });

  test('a link that another made is left alone, and named', async () => {
    await lab.host('pod').run(['ip', 'link', 'add', 'wg0', 'type', 'veth']);
    // As mend keeps one beside it.
    await lab.host('pod').run(['nft', 'add table inet sallyport-wg0']);
    writeFileSync(conf(), written());
    const argv = [process.execPath, SALLYPORT, 'wireguard', 'run', conf()];
    const { status, stderr } = await lab.host('pod').run(withSockets(argv), { allowFailure: true });
    expect([status, stderr]).toEqual([
      1,
      'sallyport: wg0 is there already, and was not made by sallyport wireguard run: ip link delete wg0 first, or keep it: sallyport wireguard mend wg0\n',
    ]);
    await lab.host('pod').run(['nft', 'delete table inet sallyport-wg0']);
    await lab.host('pod').run(['ip', 'link', 'delete', 'wg0']);
  });
});

test('as process 1 it takes in what its children leave behind, and ends as it is told to', async () => {
  writeFileSync(conf(), written('PostUp = (sleep 0.1 &); true'), { mode: 0o600 });
  const argv = [process.execPath, SALLYPORT, 'wireguard', 'run', conf(), '--allow-hooks'];
  const outer = await lab.host('pod').spawn(withSockets(['unshare', '--pid', '--fork', '--mount-proc', ...argv]));
  let said = '';
  outer.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  outer.stdout.resume();
  try {
    await waitFor('the tunnel up', async () => said.includes('wg0 is up'));
    const childrenOf = (pid: number): readonly number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    const [first = 0] = childrenOf(outer.pid);
    await waitFor('no child but sallyport itself', async () => childrenOf(first).length === 1);
    process.kill(first, 'SIGTERM');
    expect(await outer.exited, said).toBe(0);
    expect(said).toContain('wg0 is gone');
  } finally {
    await outer[Symbol.asyncDispose]();
  }
});

describe('beside wg-quick', () => {
  const up = () => {
    const plain = written(`PrivateKey = ${readFileSync(`${folder}/pod.key`, 'utf8').trim()}`).replace(
      /PrivateKeyFile.*\n/,
      '',
    );
    writeFileSync(join(folder, 'wg0.conf'), plain, { mode: 0o600 });
    return onTunnel(lab, 'pod', `WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up ${conf()} 2>&1`);
  };
  const down = () =>
    onTunnel(lab, 'pod', `wg-quick down ${conf()} 2>&1; sysctl -qw net.ipv4.conf.all.src_valid_mark=0`);
  const far = () => Promise.all(([4, 6] as const).map((family) => answered('prober', POD[family], 9000)));

  test('mend lets those beyond the router be answered, until SIGTERM', { tags: ['vm'] }, async () => {
    await up();
    try {
      expect(await far()).toEqual([false, false]);
      const before = await lab.dump('pod');
      const mending = await start(['mend', 'wg0'], 'answers leave');
      expect(await far(), mending.said()).toEqual([true, true]);
      expect(await answered('prober', POD[4], 9001, 'udp')).toBe(true);
      expect(await mending.end('SIGTERM')).toBe(0);
      expect(await lab.dump('pod')).toBe(before);
    } finally {
      await down();
    }
  });

  test('the lines that need no Sallyport do so for what answers from where it was asked', async () => {
    const { stdout } = await lab.host('pod').run([process.execPath, SALLYPORT, 'wireguard', 'mend', 'wg0', '--print']);
    await up();
    await down();
    const file = readFileSync(conf(), 'utf8').replace('[Peer]', `${stdout}[Peer]`);
    writeFileSync(conf(), file);
    const before = await lab.dump('pod');
    await onTunnel(lab, 'pod', `WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up ${conf()} 2>&1`);
    try {
      expect(await far()).toEqual([true, true]);
    } finally {
      await down();
    }
    // The tables of iptables stay, empty.
    const rules = (dump: string) =>
      dump.split('\n').filter((line) => !/^\s*(?:table|chain|type|\}|$)/.test(line) && !line.startsWith('#'));
    expect(rules(await lab.dump('pod'))).toEqual(rules(before));
  });
});

describe('health', () => {
  const ask = async (path: string, port = 8080) => {
    const argv = ['curl', '-s', '-m', '3', '-w', '\\n%{http_code}', `http://${POD[4]}:${port}${path}`];
    const lines = (await lab.host('prober').run(argv, { allowFailure: true })).stdout.split('\n');
    return { status: lines.at(-1), text: lines.slice(0, -1).join('\n') };
  };

  const connects = async (port: number): Promise<boolean> => {
    const argv = ['python3', '-c', `import socket; socket.create_connection(("${POD[4]}", ${port}), 2)`];
    return (await lab.host('prober').run(argv, { allowFailure: true })).status === 0;
  };

  test('a port that is closed while no peer is there, HTTP with the reason, metrics, and a handshake with itself', async () => {
    await hangUp();
    const flags = ['--health-listen', '0.0.0.0:9100', '--health-listen', 'http://0.0.0.0:8080'];
    const { said } = await startRun(written(), ...flags, '--require', 'any-handshake', '--self-probe');
    await waitFor('a look', async () => (await ask('/readyz')).text.includes('peersStale'));
    const why = await ask('/readyz');
    expect([why.status, JSON.parse(why.text)]).toEqual([
      '503',
      {
        healthy: false,
        cause: 'peersStale',
        reason: 'none of 1 peers had a handshake within 180 s',
        peers: 1,
        fresh: 0,
      },
    ]);
    expect(await connects(9100)).toBe(false);
    expect([(await ask('/startupz')).status, (await ask('/livez')).status]).toEqual(['200', '200']);
    await dial();
    await waitFor('health', async () => (await ask('/readyz')).status === '200');
    expect(await connects(9100), said()).toBe(true);
    expect((await ask('/', 9100)).status).toBe('200');
    expect((await ask('/metrics')).text).toMatch(/^sallyport_wireguard_healthy 1$/m);
    expect((await ask('/metrics')).text).toContain(
      `sallyport_wireguard_peer_handshake_age_seconds{peer="${clientKey}"}`,
    );
    // The throw-away peers are thrown away.
    expect((await onTunnel(lab, 'pod', 'wg show wg0 peers')).trim().split('\n').length).toBeLessThanOrEqual(2);
    await onTunnel(lab, 'pod', 'ip link set wg0 down');
    await waitFor('the link seen down', async () => JSON.parse((await ask('/readyz')).text).cause === 'linkDown');
    expect(await connects(9100)).toBe(false);
    await onTunnel(lab, 'pod', 'ip link set wg0 up');
  });

  test('HTTPS, and who sends a body, or nothing, does not hurt', async () => {
    const pair = ['-keyout', `${folder}/tls.key`, '-out', `${folder}/tls.crt`];
    const names = ['-subj', '/CN=pod', '-addext', `subjectAltName=IP:${POD[4]}`];
    await lab.run(['openssl', 'req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '1', ...pair, ...names]);
    const tls = [
      '--health-listen',
      'https://0.0.0.0:8443',
      '--tls-cert',
      `${folder}/tls.crt`,
      '--tls-key',
      `${folder}/tls.key`,
    ];
    await startRun(written(), '--health-listen', 'http://0.0.0.0:8080', ...tls);
    const safely = ['curl', '-s', '-m', '3', '--cacert', `${folder}/tls.crt`, `https://${POD[4]}:8443/readyz`];
    expect(JSON.parse((await lab.host('prober').run(safely)).stdout)).toMatchObject({ healthy: true });
    const big = [
      'sh',
      '-c',
      `head -c 1000000 /dev/zero | curl -s -m 3 -o /dev/null -w '%{http_code}' --data-binary @- http://${POD[4]}:8080/`,
    ];
    expect((await lab.host('prober').run(big, { allowFailure: true })).stdout).toBe('413');
    await using idle = await lab.host('prober').spawn(['python3', '-c', IDLE]);
    const tell = async (count: number): Promise<void> => {
      idle.stdin.write(`${count}\n`);
      await once(idle.stdout, 'data');
    };
    await tell(100);
    expect((await ask('/readyz')).status).toBe('200');
    // More than it takes: it lets nobody in any more, until those who say nothing are sent away.
    await tell(60);
    expect((await ask('/readyz')).status).toBe('000');
    await waitFor('an answer again', async () => (await ask('/readyz')).status === '200');
  }, 40_000);
});

const IDLE = `import socket, sys
s = []
for line in sys.stdin:
    for _ in range(int(line)):
        s.append(socket.create_connection(("${POD[4]}", 8080)))
        try: s[-1].send(b"GET / HT")
        except OSError: pass
    print("open", flush=True)`;
