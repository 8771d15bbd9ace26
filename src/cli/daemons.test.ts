import { expect, test } from 'vitest';
import { type Machine, machineProblem, startMachine } from '../lab/index.ts';
import { sallyportPath } from './testdata/cli-lab.ts';

/** `eth0` as the machine's own network daemon is told to set it up. */
const networkd = {
  '/etc/systemd/network/50-eth0.network': `[Match]
Name=eth0
[Network]
Address=192.0.2.20/24
Address=2001:db8:2::20/64
Gateway=192.0.2.1
Gateway=2001:db8:2::1
IPv6AcceptRA=no
`,
};

/** The machine is the node; the edge and its client are network namespaces in it. */
const network = `
mkdir -p /run/netns
for name in edge client; do
  ip netns add $name; ip -n $name link set lo up
done
echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
ip link add eth0 type veth peer name lan0 netns edge
ip -n edge link add eth0 type veth peer name eth0 netns client
ip -n edge addr add 192.0.2.1/24 dev lan0; ip -n edge addr add 2001:db8:2::1/64 dev lan0 nodad
ip -n edge addr add 198.51.100.10/24 dev eth0; ip -n edge addr add 2001:db8:e::10/64 dev eth0 nodad
ip -n client addr add 198.51.100.1/24 dev eth0; ip -n client addr add 2001:db8:e::1/64 dev eth0 nodad
ip -n edge link set lan0 up; ip -n edge link set eth0 up; ip -n client link set eth0 up
ip -n edge route add default via 198.51.100.1; ip -n edge route add default via 2001:db8:e::1`;

/** The machine's own part where no daemon makes it. */
const byHand = `${network}
ip addr add 192.0.2.20/24 dev eth0; ip addr add 2001:db8:2::20/64 dev eth0 nodad; ip link set eth0 up
ip route add default via 192.0.2.1; ip route add default via 2001:db8:2::1`;

const documents = `
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: node }
spec: { access: { local: {} } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec:
  access: { netns: { name: edge } }
  interfaces: [{ name: eth0, zone: public }, { name: lan0, zone: private }]
---
apiVersion: sallyport.dev/v1alpha1
kind: Tunnel
metadata: { name: edge-node }
spec:
  type: WireGuard
  ends:
    - { host: edge, addresses: [10.90.0.1/30, "fd90::1/64"], endpoint: "198.51.100.10:51820" }
    - { host: node, addresses: [10.90.0.2/30, "fd90::2/64"] }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec:
  at: { hosts: [edge] }
  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]
  to: [{ host: node, via: edge-node }]
`;

const DROP_IN = '/etc/systemd/networkd.conf.d/90-sallyport.conf';
const UNMANAGED = '/etc/systemd/network/00-sallyport.network';
const NM_FILE = '/etc/NetworkManager/conf.d/90-sallyport.conf';

const DUMP = `
nft -s list ruleset; ip -br link; ip -br addr
for f in -4 -6; do ip $f rule; ip $f route show table all; done
grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward || :
find /etc/systemd/network* /etc/NetworkManager /etc/sallyport 2>/dev/null -printf '%p %m\\n'`;

async function start(
  units: readonly string[],
  files: Readonly<Record<string, string>>,
  wiring = network,
  text = documents,
) {
  const machine: Machine = await startMachine({
    units: ['dbus.service', ...units],
    files: { ...files, '/root/edge.yaml': text },
    network: wiring,
  });
  const sh = async (text: string) => (await machine.run(['sh', '-ec', text], { timeoutMs: 300_000 })).stdout;
  const sallyport = (...argv: readonly string[]) =>
    machine.run([process.execPath, sallyportPath, ...argv, '-f', '/root/edge.yaml'], {
      allowFailure: true,
      timeoutMs: 300_000,
    });
  return {
    sh,
    sallyport,
    spawn: machine.spawn,
    dump: () => sh(`${DUMP} || :`),
    async apply() {
      const { status, stderr, stdout } = await sallyport('apply', '--yes');
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout;
    },
    /** The lines of `status` on the machine, once its tunnel is up. */
    async status() {
      const { stdout, status } = await sallyport('status', '--wait', '60s');
      return { status, node: /^node: .*$/m.exec(stdout)?.[0] ?? stdout, stdout };
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

/** What makes networkd set its links up anew, by whoever asks it to. */
const occasions = [
  [
    'its .network file was written anew and it is told to reload',
    'touch /etc/systemd/network/50-eth0.network; networkctl reload',
  ],
  ['networkctl reconfigure', 'networkctl reconfigure eth0'],
  ['a restart', 'systemctl restart systemd-networkd'],
  ['a link that goes down and comes up', 'ip link set eth0 down; ip link set eth0 up'],
  [
    'a new .network file for a whole class of links',
    "printf '[Match]\\nName=s*\\n[Network]\\nAddress=10.66.0.1/24\\n' >/etc/systemd/network/70-all.network; networkctl reload",
  ],
] as const;
const settled = '/lib/systemd/systemd-networkd-wait-online -i eth0 --timeout=90';

const problem = machineProblem();
const where = problem === undefined ? '' : ` (not here: ${problem})`;

test.skipIf(problem !== undefined)(`systemd-networkd leaves what is ours alone${where}`, async () => {
  await using node = await start(['systemd-networkd.service'], networkd);
  await node.sh(settled);
  const before = await node.dump();
  await node.apply();
  const well = { status: 0, node: expect.stringMatching(/^node: in sync, edge-node up/) };
  // It is set up from the file again, and then started anew.
  await node.sh(`networkctl reconfigure eth0; systemctl restart systemd-networkd; ${settled}`);
  expect(await node.status()).toMatchObject(well);
  await node.sallyport('destroy', '--yes');
  await node.sh(settled);
  expect(await node.dump()).toBe(before);
});

test.skipIf(problem !== undefined)(
  `systemd-networkd leaves what is ours alone, and takes it away where its drop-in is missing${where}`,
  async () => {
    await using node = await start(['systemd-networkd.service'], networkd);
    await node.sh(settled);
    const before = await node.dump();
    await using server = await node.spawn([
      process.execPath,
      '-e',
      'require("http").createServer((q, s) => s.end("you are " + q.socket.remoteAddress + "\\n")).listen(8080)',
    ]);
    expect(server.pid).toBeGreaterThan(0);
    const monitor = await node.spawn(['ip', 'monitor', 'address', 'route']);
    let moved = '';
    monitor.stdout.on('data', (chunk: Buffer) => {
      moved += chunk.toString();
    });
    const applied = await node.apply();
    for (const path of [DROP_IN, UNMANAGED]) expect(applied).toContain(`+ file    ${path}`);
    monitor.kill();
    await monitor.exited;
    // It was restarted, and what it looks after did not go for a moment.
    expect(moved).not.toMatch(/Deleted.*eth0/);
    expect(await node.sh(`stat -c '%a %U' ${DROP_IN} ${UNMANAGED}`)).toBe('644 root\n644 root\n');
    const well = { status: 0, node: expect.stringMatching(/^node: in sync, edge-node up/) };
    expect(await node.status()).toMatchObject(well);
    const asks = async () => {
      const answers: string[] = [];
      for (const at of ['198.51.100.10', '[2001:db8:e::10]'])
        answers.push(await node.sh(`ip netns exec client curl -sS --max-time 5 http://${at}/`));
      return answers.join('');
    };
    expect(await asks()).toBe('you are ::ffff:198.51.100.1\nyou are 2001:db8:e::1\n');
    expect(await node.sh('networkctl list --no-pager')).toMatch(/sp-edge-node.*unmanaged/);

    for (const [what, script] of occasions) {
      await node.sh(`${script} && ${settled}`);
      expect([what, await node.status()]).toEqual([what, expect.objectContaining(well)]);
    }
    expect(await asks()).toBe('you are ::ffff:198.51.100.1\nyou are 2001:db8:e::1\n');
    await node.sh('rm /etc/systemd/network/70-all.network; networkctl reload');

    // Without the drop-in, it does what it is there against.
    await node.sh(`rm ${DROP_IN}; systemctl restart systemd-networkd; networkctl reconfigure eth0; ${settled}`);
    expect(await node.sh('ip rule show; ip -6 rule show')).not.toMatch(/proto 83/);
    const robbed = await node.sallyport('status');
    expect(robbed.status).toBe(1);
    expect(robbed.stdout).toContain(`+ file    ${DROP_IN}`);
    expect(robbed.stdout).toMatch(/\+ rule {4}IPv4 5001/);
    await node.apply();
    await node.sh(`networkctl reconfigure eth0; ${settled}`);
    expect(await node.status()).toMatchObject(well);

    // What is gone of the two comes back, and the daemon has it.
    // As after a kill between the two: nobody knows whether the daemon has read the drop-in, so it is started anew.
    const pidBefore = await node.sh('systemctl show -P MainPID systemd-networkd');
    await node.sh(`rm ${UNMANAGED}; networkctl reload`);
    expect((await node.sallyport('status')).stdout).toContain(`+ file    ${UNMANAGED}`);
    await node.apply();
    expect((await node.sallyport('plan', '--detailed-exitcode')).status).toBe(0);
    expect(await node.sh('systemctl show -P MainPID systemd-networkd')).not.toBe(pidBefore);

    const destroyed = await node.sallyport('destroy', '--yes');
    expect(destroyed).toMatchObject({ status: 0, stderr: '' });
    await node.sh(settled);
    expect(await node.dump()).toBe(before);

    // And by undo.sh: rules of others that came meanwhile stay.
    await node.apply();
    await node.sh(
      'ip rule add priority 7000 lookup 77; sh /etc/sallyport/undo.sh; ip rule del priority 7000 lookup 77',
    );
    expect(await node.dump()).toBe(before);
  },
  600_000, // in the VM
);

test.skipIf(problem !== undefined)(
  `a file of somebody else's that has the name of ours stays as it is${where}`,
  async () => {
    const theirs = '# mine\n[Network]\nSpeedMeter=no\n';
    await using node = await start(['systemd-networkd.service'], { ...networkd, [DROP_IN]: theirs });
    await node.sh(settled);
    const before = await node.dump();
    const applied = await node.apply();
    expect(applied).toContain(`${DROP_IN} is somebody else's and stays as it is: systemd-networkd may take`);
    expect(applied).not.toContain(`file    ${DROP_IN}`);
    expect(await node.sh(`cat ${DROP_IN}`)).toBe(theirs);
    expect((await node.sallyport('destroy', '--yes')).status).toBe(0);
    await node.apply();
    await node.sh('sh /etc/sallyport/undo.sh');
    expect(await node.sh(`cat ${DROP_IN}`)).toBe(theirs);
    expect(await node.dump()).toBe(before);
  },
);

test.skipIf(problem !== undefined)(
  `a daemon that does not come back, and a kill at any step: the apply is taken back, or goes on${where}`,
  async () => {
    await using node = await start(['systemd-networkd.service'], networkd);
    await node.sh(settled);
    const before = await node.dump();
    const refuses = '/run/systemd/system/systemd-networkd.service.d/no.conf';
    await node.sh(
      `mkdir -p /run/systemd/system/systemd-networkd.service.d; printf '[Service]\\nExecStartPre=false\\n' >${refuses}; systemctl daemon-reload`,
    );
    const failed = await node.sallyport('apply', '--yes');
    expect(failed.status).toBe(1);
    expect(failed.stderr).toMatch(/node: files of systemd-networkd: .*failed.*; node and edge are as they were/s);
    await node.sh(
      `rm ${refuses}; systemctl daemon-reload; systemctl reset-failed; systemctl start systemd-networkd; ${settled}`,
    );
    expect(await node.dump()).toBe(before);

    // Killed at whatever moment, what is pending is taken back by the next apply or destroy, which goes on from there.
    for (const afterMs of [400, 800, 1_200]) {
      await node.sh(
        `timeout -s KILL ${afterMs / 1_000} ${process.execPath} ${sallyportPath} apply --yes -f /root/edge.yaml || :`,
      );
      if (afterMs === 800) await node.apply();
      expect(await node.sallyport('destroy', '--yes')).toMatchObject({ status: 0, stderr: '' });
      expect([afterMs, await node.dump()]).toEqual([afterMs, before]);
    }
  },
  600_000, // in the VM
);

/** The machine is an edge that lives on router advertisements, which its networkd takes, not the kernel. */
const advertised = {
  '/etc/systemd/network/50-eth0.network':
    '[Match]\nName=eth0\n[Network]\nAddress=198.51.100.10/24\nGateway=198.51.100.1\n',
  '/root/radvd.conf': `interface up0 {
  AdvSendAdvert on; AdvIntervalOpt on;
  MinRtrAdvInterval 0.3; MaxRtrAdvInterval 0.6; MinDelayBetweenRAs 0.05; AdvDefaultLifetime 2;
  prefix 2001:db8:e::/64 { AdvValidLifetime 600; AdvPreferredLifetime 600; };
};
`,
};
const behindRouter = `
mkdir -p /run/netns
for name in router node; do ip netns add $name; ip -n $name link set lo up; done
ip link add eth0 type veth peer name up0 netns router
ip -n router addr add 198.51.100.1/24 dev up0; ip -n router addr add 2001:db8:e::1/64 dev up0 nodad; ip -n router link set up0 up
ip netns exec router sysctl -qw net.ipv6.conf.all.forwarding=1
ip link add lan0 type veth peer name eth0 netns node
ip addr add 10.7.0.1/24 dev lan0; ip addr add fd07::1/64 dev lan0 nodad; ip link set lan0 up
ip -n node addr add 10.7.0.2/24 dev eth0; ip -n node addr add fd07::2/64 dev eth0 nodad; ip -n node link set eth0 up`;
const edgeDocuments = documents
  .replace(
    'metadata: { name: node }\nspec: { access: { local: {} } }',
    'metadata: { name: node }\nspec: { access: { netns: { name: node } } }',
  )
  .replace('access: { netns: { name: edge } }', 'access: { local: {} }')
  .replace('type: WireGuard', 'type: Direct')
  .replace(/\{ host: edge, .*\}/, '{ host: edge, addresses: [10.7.0.1, "fd07::1"] }')
  .replace(/\{ host: node, a.*\}/, '{ host: node, addresses: [10.7.0.2, "fd07::2"] }');

test.skipIf(problem !== undefined)(
  `where systemd-networkd listens to routers itself, its default route stays with IPv6 forwarding on${where}`,
  async () => {
    await using edge = await start(['systemd-networkd.service'], advertised, behindRouter, edgeDocuments);
    await using _radvd = await edge.spawn([
      'ip',
      'netns',
      'exec',
      'router',
      'radvd',
      '-n',
      '-m',
      'stderr',
      '-C',
      '/root/radvd.conf',
      '-p',
      '/run/radvd.pid',
    ]);
    const routers = async () =>
      (await edge.sh('ip -6 route show default proto ra dev eth0'))
        .split('\n')
        .filter((line) => /expires \d/.test(line));
    await expect.poll(routers, { timeout: 60_000 }).toHaveLength(1);
    expect(await edge.apply()).toContain('~ sysctl  net.ipv6.conf.all.forwarding: 0 -> 1');
    for (const script of [':', 'networkctl reconfigure eth0', 'systemctl restart systemd-networkd']) {
      await edge.sh(`${script}; ${settled}`);
      // Ten take more than a lifetime.
      await edge.sh("timeout 60 tcpdump -ni eth0 -c 10 'icmp6 and ip6[40] == 134' 2>/dev/null");
      expect([script, await routers()]).toEqual([script, [expect.stringMatching(/^default via fe80/)]]);
      expect(await edge.sh('cat /proc/sys/net/ipv6/conf/eth0/accept_ra')).toBe('0\n');
    }
    expect(await edge.sallyport('destroy', '--yes')).toMatchObject({ status: 0, stderr: '' });
  },
  600_000,
);

test.skipIf(problem !== undefined)(
  `NetworkManager leaves our links alone, beside the user's own list${where}`,
  async () => {
    const theirs = { '/etc/NetworkManager/conf.d/50-user.conf': '[keyfile]\nunmanaged-devices=interface-name:eth9\n' };
    await using node = await start(['NetworkManager.service'], theirs, byHand);
    const states = async () => (await node.sh('nmcli -t -f DEVICE,STATE device')).split('\n');
    const files = async () => await node.sh('find /etc/NetworkManager -type f');
    const before = await files();
    expect(await node.apply()).toContain(`+ file    ${NM_FILE}`);
    const well = { status: 0, node: expect.stringMatching(/^node: in sync, edge-node up/) };
    for (const script of [':', 'nmcli general reload', 'systemctl restart NetworkManager']) {
      await node.sh(script);
      expect(await states()).toContain('sp-edge-node:unmanaged');
      expect(await node.status()).toMatchObject(well);
    }
    expect(await node.sh('NetworkManager --print-config')).toContain('interface-name:eth9,interface-name:sp-*');
    expect(await node.sallyport('destroy', '--yes')).toMatchObject({ status: 0, stderr: '' });
    expect(await files()).toBe(before);
    // Without it, NetworkManager makes the link its own.
    await node.sh('ip link add sp-other type veth peer name sp-peer; ip link set sp-other up');
    await expect.poll(states, { timeout: 60_000 }).not.toContain('sp-other:unmanaged');
  },
);

test.skipIf(problem !== undefined)(`where no such daemon runs, none of its files is made${where}`, async () => {
  await using node = await start([], {}, byHand);
  expect(await node.apply()).not.toMatch(/file {4}\/etc\/(systemd\/network|NetworkManager)/);
});
