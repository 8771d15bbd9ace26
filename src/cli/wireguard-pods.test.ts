/** `wireguard run` in pods that lack something, or were asked for more, on a real kernel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cable, type Lab, makeTunnel, network, onTunnel, plug, startLab, withSockets } from '../lab/index.ts';
import { askingDns, DNS_NAME, startDns } from './testdata/dns.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';
import { startWireguard } from './testdata/wireguard-run.ts';

const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } as const;
const POD = { 4: '10.0.1.5', 6: 'fd01::5' } as const;
const ways = (last: string) => [
  { to: 'default', via: `10.0.${last}.1` },
  { to: 'default', via: `fd0${last}::1` },
];

/** peer - router - the subnet with the pod, one without IPv6, and a neighbour. */
const TOPOLOGY = network(
  'pods',
  [
    { name: 'peer', routes: ways('9') },
    { name: 'router', sysctls: FORWARDS },
    { name: 'near', routes: ways('1') },
    { name: 'pod', routes: ways('1') },
    { name: 'old', ipv6: false, routes: ways('1').slice(0, 1) },
  ],
  [
    cable(
      plug('peer', 'eth0', '10.0.9.7/24', '10.0.9.8/24', 'fd09::7/64'),
      plug('router', 'far0', '10.0.9.1/24', 'fd09::1/64'),
    ),
    cable(plug('router', 'pods0', '10.0.1.1/24', 'fd01::1/64'), plug('subnet', 'port1')),
    cable(plug('near', 'eth0', '10.0.1.9/24', 'fd01::9/64'), plug('subnet', 'port2')),
    cable(plug('pod', 'eth0', `${POD[4]}/24`, `${POD[6]}/64`), plug('subnet', 'port3')),
    cable(plug('old', 'eth0', '10.0.1.8/24'), plug('subnet', 'port4')),
  ],
  [{ name: 'subnet' }],
);

let lab: Lab;
let folder: string;
let peerKey: string;
let podKey: string;

const written = (allowed: string, more = ''): string => `[Interface]
PrivateKeyFile = ${folder}/pod.key
Address = 10.11.0.1/16, fd11::1/64
ListenPort = 51820

[Peer]
PublicKey = ${peerKey}
AllowedIPs = ${allowed}
${more}`;
const ALL = '0.0.0.0/0, ::/0';

beforeAll(async () => {
  lab = await startLab(TOPOLOGY);
  folder = mkdtempSync(join(tmpdir(), 'sp-pods-'));
  const keys = `umask 077; wg genkey >${folder}/pod.key; wg pubkey <${folder}/pod.key`;
  podKey = (await lab.run(['sh', '-ec', keys])).stdout.trim();
  peerKey = await makeTunnel(lab, 'peer', 'wg0', 51_821);
  await onTunnel(
    lab,
    'peer',
    'ip address add 10.11.0.2/16 dev wg0; ip address add fd11::2/64 dev wg0; ip link set wg0 up',
  );
  for (const host of ['pod', 'old']) await lab.serve(host, { protocol: 'tcp', port: 9000 });
  for (const host of ['near', 'peer']) await lab.serve(host, { protocol: 'tcp', port: 7000 });
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** `wireguard run` of the text in a file, up when this returns. */
function startRun(host: string, text: string, flags: readonly string[] = [], within: readonly string[] = []) {
  writeFileSync(join(folder, 'wg0.conf'), text, { mode: 0o600 });
  return startWireguard(lab, host, ['run', join(folder, 'wg0.conf'), ...flags], 'wg0 is up', within);
}

/** The pod's peer, which forgets what it knew. */
const dial = (allowed: string, to: string = POD[4]): Promise<string> =>
  onTunnel(
    lab,
    'peer',
    `wg set wg0 peer ${podKey} remove; wg set wg0 peer ${podKey} endpoint ${to}:51820 allowed-ips ${allowed} persistent-keepalive 1`,
  );

const answered = async (host: string, to: string, port = 9000): Promise<boolean> =>
  (await lab.connect(host, { protocol: 'tcp', to, port, timeoutMs: 2_000 })).ok;
/** Whom the neighbour saw asking. */
async function seenBy(host: string, to: string, sourceAddress?: string): Promise<string | undefined> {
  const asked = await lab.connect(host, { protocol: 'tcp', to, port: 7000, ...(sourceAddress && { sourceAddress }) });
  return asked.ok ? asked.saw?.client.address : asked.error;
}

/** /proc/sys as a pod has it, and iptables that tell of being called. */
const BARE = [
  ...['unshare', '--mount', 'sh', '-ec'],
  `mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys
printf '#!/bin/sh\\ntouch /run/iptables-called\\nexit 1\\n' >/run/no-iptables; chmod 755 /run/no-iptables
for each in iptables iptables-restore ip6tables ip6tables-restore; do mount --bind /run/no-iptables "$(readlink -f "$(command -v $each)")"; done
exec "$@"`,
  'sh',
];

test('a read-only /proc/sys with a strict rp_filter, and no iptables', async () => {
  await onTunnel(lab, 'pod', 'sysctl -qw net.ipv4.conf.eth0.rp_filter=1');
  const before = await lab.dump('pod');
  const running = await startRun('pod', written(ALL), [], BARE);
  expect(running.said()).toContain('rp_filter is strict and /proc/sys is read-only');
  expect([await answered('peer', POD[4]), await answered('peer', POD[6]), await answered('near', POD[4])]).toEqual([
    true,
    true,
    true,
  ]);
  expect(await running.end('SIGTERM')).toBe(0);
  expect(await lab.dump('pod')).toBe(before);
  expect((await lab.run(['ls', '/run'])).stdout).not.toContain('iptables-called');
  await onTunnel(lab, 'pod', 'sysctl -qw net.ipv4.conf.eth0.rp_filter=0');
});

test('src_valid_mark that is set already stays so, where rp_filter is strict too', async () => {
  await onTunnel(lab, 'pod', 'sysctl -qw net.ipv4.conf.all.src_valid_mark=1 net.ipv4.conf.eth0.rp_filter=1');
  const before = await lab.dump('pod');
  const running = await startRun('pod', written(ALL));
  expect(running.said()).not.toMatch(/warn|src_valid_mark/);
  expect(await answered('peer', POD[4])).toBe(true);
  expect(await running.end('SIGTERM')).toBe(0);
  expect(await lab.dump('pod')).toBe(before);
  await onTunnel(lab, 'pod', 'sysctl -qw net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.eth0.rp_filter=0');
});

test('IPv6 that is off is said once, and IPv4 works', async () => {
  const before = await lab.dump('old');
  const running = await startRun('old', written(ALL));
  expect(running.said().match(/IPv6 is off here/g)).toHaveLength(1);
  expect(await answered('peer', '10.0.1.8')).toBe(true);
  expect(await running.end('SIGTERM')).toBe(0);
  expect(await lab.dump('old')).toBe(before);
});

test('without NET_ADMIN it says what to set, and health that it cannot read the tunnel', async () => {
  const less = [
    'setpriv',
    '--bounding-set=-net_admin',
    '--inh-caps=-net_admin',
    process.execPath,
    SALLYPORT,
    'wireguard',
  ];
  writeFileSync(join(folder, 'wg0.conf'), written(ALL), { mode: 0o600 });
  const tried = await lab
    .host('pod')
    .run(withSockets([...less, 'run', join(folder, 'wg0.conf')]), { allowFailure: true });
  expect(tried).toMatchObject({
    status: 1,
    stderr:
      'sallyport: CAP_NET_ADMIN is missing: in the pod securityContext.capabilities.add: [NET_ADMIN], with docker --cap-add NET_ADMIN\n',
  });
  await lab.host('pod').run(['ip', 'link', 'add', 'wg0', 'type', 'veth']);
  await using _ = await startWireguard(
    lab,
    'pod',
    ['health', '--listen', 'http://127.0.0.1:9002'],
    'wg0 is there, and wg cannot read it',
  );
  await lab.host('pod').run(['ip', 'link', 'delete', 'wg0']);
});

test('masquerade is for what peers send, and for nobody else', async () => {
  const before = await lab.dump('pod');
  const running = await startRun('pod', written('10.11.0.2/32, fd11::2/128'), ['--masquerade']);
  await dial('0.0.0.0/0,::/0');
  await onTunnel(lab, 'peer', 'ip route add 10.0.1.9 dev wg0; ip route add fd01::9 dev wg0');
  await onTunnel(
    lab,
    'near',
    'ip route add 10.0.9.0/24 via 10.0.1.5; ip route add 10.11.0.0/16 via 10.0.1.5; ip address add 10.0.7.7/32 dev lo',
  );
  await onTunnel(lab, 'router', 'ip route add 10.0.7.7 via 10.0.1.9');
  try {
    await waitFor('the peer through the tunnel', () => answered('peer', '10.11.0.1'));
    expect([await seenBy('peer', '10.0.1.9'), await seenBy('peer', 'fd01::9')]).toEqual([POD[4], POD[6]]);
    // Through the pod into the tunnel, and by it elsewhere: as they were sent.
    expect(await seenBy('near', '10.11.0.2')).toBe('10.0.1.9');
    expect(await seenBy('near', '10.0.9.8', '10.0.7.7')).toBe('10.0.7.7');
  } finally {
    await onTunnel(lab, 'peer', 'ip route del 10.0.1.9 dev wg0; ip -6 route del fd01::9 dev wg0');
    await onTunnel(lab, 'near', 'ip route del 10.0.9.0/24; ip route del 10.11.0.0/16');
  }
  expect(await running.end('SIGTERM')).toBe(0);
  expect(await lab.dump('pod')).toBe(before);
});

test('a name that leads elsewhere is followed where the peer is silent, and one that lives stays where it has come to', async () => {
  await using dns = await startDns(lab, { at: 'near', address: '10.0.1.9', asker: 'pod' });
  await dns.mean('10.0.9.77');
  await onTunnel(
    lab,
    'peer',
    `wg set wg0 peer ${podKey} remove; wg set wg0 peer ${podKey} allowed-ips 10.11.0.1/32 persistent-keepalive 1`,
  );
  const text = written('10.11.0.2/32', `Endpoint = ${DNS_NAME}:51821\nPersistentKeepalive = 1\n`);
  const running = await startRun('pod', text, [], askingDns);
  const endpoint = async (): Promise<string | undefined> =>
    (await onTunnel(lab, 'pod', `wg show wg0 endpoints | grep -F ${peerKey}`)).trim().split('\t')[1];
  expect(await endpoint()).toBe('10.0.9.77:51821');
  await dns.mean('10.0.9.7');
  writeFileSync(join(folder, 'wg0.conf'), `# looked at again\n${text}`);
  await waitFor('the name followed', async () => running.said().includes(`${DNS_NAME} is at 10.0.9.7:51821 now`));
  await waitFor('the tunnel', () => answered('pod', '10.11.0.2', 7000));
  // The peer is seen at another address of its own now, as behind a NAT that has changed; the name goes on saying the first.
  const roam = 'ip saddr 10.0.9.7 udp sport 51821 ip saddr set 10.0.9.8';
  await lab
    .host('router')
    .run(['nft', `table ip roam { chain c { type filter hook prerouting priority -300; ${roam}; }; }`]);
  await waitFor('the peer at its other address', async () => (await endpoint()) === '10.0.9.8:51821');
  const other = (await lab.run(['sh', '-c', 'wg genkey | wg pubkey'])).stdout.trim();
  writeFileSync(join(folder, 'wg0.conf'), `${text}[Peer]\nPublicKey = ${other}\n`);
  await waitFor('the other peer', async () => (await onTunnel(lab, 'pod', 'wg show wg0 peers')).includes(other));
  expect(await endpoint()).toBe('10.0.9.8:51821');
  expect(await running.end('SIGTERM')).toBe(0);
});
