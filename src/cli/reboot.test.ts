/** A machine whose process 1 is the real systemd goes off without a word and comes again with its files: the units bring back what stood. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Machine, machineProblem, patient, startMachine } from '../lab/index.ts';
import { sallyportPath } from './testdata/cli-lab.ts';

const problem = machineProblem();
const where = problem === undefined ? '' : ` (not here: ${problem})`;

/** The machine is the node, by one link; the edge is a network namespace in it. */
const network = `
mkdir -p /run/netns
ip netns add edge; ip -n edge link set lo up
echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
ip link add eth0 address 02:00:00:00:00:02 type veth peer name eth0 netns edge
ip -n edge addr add 198.51.100.10/24 dev eth0; ip -n edge link set eth0 up
ip addr add 198.51.100.20/24 dev eth0; ip link set eth0 up
ip route add default via 198.51.100.10`;

const documents = (targetPort: number): string => `
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
  interfaces: [{ name: eth0, zone: public }]
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
  ports: [{ protocol: TCP, port: 80, targetPort: ${targetPort} }]
  to: [{ host: node, via: edge-node }]
`;

const DUMP = `
nft -s list ruleset; ip link | sed 's/^[0-9]*: //'; ip addr | sed 's/^[0-9]*: //'
for f in -4 -6; do ip $f rule; ip $f route show table all | sort; done
wg show all private-key; wg show all allowed-ips; wg show all persistent-keepalive
grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward | grep -v stable_secret
grep -h generation /etc/sallyport/record.json; ls -A /etc/sallyport`;

const on = async (machine: Machine, text: string): Promise<string> =>
  (await machine.run(['sh', '-c', text], { timeoutMs: 300_000 })).stdout;

/** What the kernel chooses by chance for a tun is another one after each boot. */
const dump = async (machine: Machine): Promise<string> =>
  (await on(machine, DUMP)).replaceAll(/fe80::[0-9a-f:]{10,}/g, 'CHANCE');

/** The files of ours that lie on the disk, by path. */
async function filesOf(machine: Machine): Promise<Readonly<Record<string, string>>> {
  const paths = await on(
    machine,
    'find /etc/sallyport /etc/systemd/system/sallyport-* /etc/systemd/system/sysinit.target.d -type f',
  );
  const files: Record<string, string> = {};
  for (const path of paths.trim().split('\n')) files[path] = await on(machine, `cat '${path}'`);
  return files;
}

/** Another start of the machine that had these files. */
const startAgain = (files: Readonly<Record<string, string>>): Promise<Machine> =>
  startMachine({ units: ['dbus.service', 'basic.target', 'sallyport-boot.service'], files, network });

test.skipIf(problem !== undefined)(
  `applied, it stands after a reboot; pending, what stood before it does${where}`,
  async () => {
    const sallyport = [process.execPath, sallyportPath];
    let applied = '';
    let files: Readonly<Record<string, string>> = {};
    let pending: Readonly<Record<string, string>> = {};
    {
      await using machine = await startMachine({
        units: ['dbus.service', 'basic.target'],
        files: { '/root/edge.yaml': documents(8080), '/root/more.yaml': documents(8081) },
        network,
      });
      const apply = await machine.run([...sallyport, 'apply', '--yes', '-f', '/root/edge.yaml'], {
        allowFailure: true,
        timeoutMs: 300_000,
      });
      expect(apply).toMatchObject({ status: 0, stderr: '' });
      applied = await dump(machine);
      expect(applied).toContain('sp-edge-node');
      files = await filesOf(machine);
      // Stopped where the host is changed and nobody has confirmed it: so the power finds it.
      const again = `exec ${sallyport.join(' ')} apply --yes --confirm-timeout 10m -f /root/more.yaml`;
      await on(machine, `(sh -c 'echo $$ >/root/pid; ${again}' </dev/null >/root/said 2>&1 &)`);
      for (const end = Date.now() + patient(60_000); ; await sleep(50)) {
        const isChanged = 'nft list table inet sallyport | grep -q 8081 && [ -e /etc/sallyport/pending ]';
        if ((await on(machine, `if ${isChanged}; then kill -STOP $(cat /root/pid); echo yes; fi`)) !== '') break;
        if (Date.now() > end) expect(await on(machine, 'cat /root/said')).toBe('');
      }
      pending = await filesOf(machine);
    }
    expect(Object.keys(pending)).toContain('/etc/sallyport/pending/undo.sh');
    expect(pending['/etc/sallyport/record.json']).toContain('"generation": 2,');
    for (const [what, kept] of [
      ['applied', files],
      ['pending', pending],
    ] as const) {
      await using machine = await startAgain(kept);
      for (const end = Date.now() + patient(30_000); ; await sleep(100)) {
        const said = await on(machine, 'systemctl is-active sallyport-online || :');
        if (said === 'active\n') break;
        if (Date.now() > end)
          expect(await on(machine, 'systemctl --no-pager --full status "sallyport-*" || :')).toBe('');
      }
      // A link's carrier is noticed a moment after it was set up.
      for (const end = Date.now() + patient(10_000); (await dump(machine)) !== applied && Date.now() < end; )
        await sleep(100);
      expect(await dump(machine), what).toBe(applied);
    }
  },
);
