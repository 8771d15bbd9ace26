import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../lab/index.ts';
import { type HostRecord, RECORD_FORMAT } from './record.ts';
import { undoScript } from './undo-script.ts';

const record = (sysctlsBefore: Readonly<Record<string, string>>): HostRecord => ({
  format: RECORD_FORMAT,
  version: '0.1.0',
  sets: new Map(),
  numbers: { mark: { value: 0x10000, mask: 0xff0000 }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(Object.entries(sysctlsBefore)),
});

const FOREIGN = `
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad # a link-local address that is tentative comes into the table a second later
ip link add v0 type veth peer name v1
ip link set v0 up; ip link set v1 up
ip addr add 10.0.0.1/24 dev v0; ip -6 addr add fd00::1/64 dev v0 nodad
ip route add 10.7.0.0/16 via 10.0.0.2
ip -6 route add fd07::/64 via fd00::2
ip rule add priority 6000 lookup 77; ip -6 rule add priority 6000 lookup 77
nft 'add table inet others; add chain inet others c { type filter hook input priority 0; }'
echo 2 >/proc/sys/net/ipv4/conf/v0/rp_filter`;

const OURS = `
ip link add sp-tunnel type vxlan id 7 dstport 4789
ip link set sp-tunnel up; ip addr add 10.90.0.1/30 dev sp-tunnel
ip route add 192.168.1.20 dev sp-tunnel proto 83
ip route add 10.9.0.0/16 via 10.0.0.2 proto 83
ip -6 route add fd09::/64 via fd00::2 proto 83
ip route add default via 10.0.0.2 table 5001 proto 83
ip -6 route add unreachable default table 5001 proto 83
for f in -4 -6; do
  ip $f rule add priority 5000 lookup main suppress_prefixlength 0 protocol 83
  ip $f rule add priority 5001 fwmark 0x10000/0xff0000 lookup 5001 protocol 83
done
nft 'add table inet sallyport; add chain inet sallyport sp_pre { type nat hook prerouting priority -100; }'
echo 1 >/proc/sys/net/ipv4/conf/v0/forwarding
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 2 >/proc/sys/net/ipv6/conf/v0/accept_ra`;

const BEFORE = record({
  'net/ipv4/conf/sp-gone/rp_filter': '0',
  'net/ipv4/conf/v0/forwarding': '0',
  'net/ipv6/conf/all/forwarding': '0',
  'net/ipv6/conf/v0/accept_ra': '1',
  'net/ipv6/conf/v1/forwarding': '1', // another's, and `all` changes it on its way back
});

/** A namespace `edge` with things of others in it, and what it takes to look at it. */
async function startEdge() {
  const lab = await startNamespace();
  await lab.run(['ip', 'netns', 'add', 'edge']);
  const inside = (text: string) => lab.run(['nsenter', '--net=/run/netns/edge', 'sh', '-ec', text]);
  await inside(FOREIGN);
  await inside('echo 1 >/proc/sys/net/ipv6/conf/v1/forwarding');
  const inode = (await lab.run(['stat', '-L', '-c', '%i', '/run/netns/edge'])).stdout.trim();
  const dump = async () =>
    (
      await inside(
        'nft -s list ruleset; ip -br link; ip -br addr; for f in -4 -6; do ip $f rule; ip $f route show table all; done; grep -r "" /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null || :',
      )
    ).stdout;
  return {
    lab,
    inside,
    dump,
    folder: `/run/sallyport/netns/${inode}`,
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

async function put(lab: Namespace, folder: string, text: string): Promise<void> {
  await lab.run(['mkdir', '-p', `${folder}/keys`]);
  await lab.run(['sh', '-c', 'cat >"$1"', 'sh', `${folder}/undo.sh`], { stdin: text });
}

test('takes back everything that is ours and nothing else, from outside the namespace', async () => {
  await using edge = await startEdge();
  const { lab, folder } = edge;
  const before = await edge.dump();
  await edge.inside(OURS);
  expect(await edge.dump()).not.toBe(before);
  await put(lab, folder, undoScript(BEFORE, folder, 'edge'));
  const { stdout, stderr } = await lab.run(['sh', `${folder}/undo.sh`]);
  expect(stdout + stderr).toBe('');
  expect(await edge.dump()).toBe(before);
  expect((await lab.run(['ls', '/run/sallyport/netns'])).stdout).toBe('');
});

test('is content where nothing of ours is left', async () => {
  await using edge = await startEdge();
  const before = await edge.dump();
  await put(edge.lab, edge.folder, undoScript(record({}), edge.folder, 'edge'));
  const { stdout, stderr } = await edge.inside(`sh ${edge.folder}/undo.sh`);
  expect(stdout + stderr).toBe('');
  expect(await edge.dump()).toBe(before);
});

test('refuses to run in another namespace than its own, and touches nothing', async () => {
  await using edge = await startEdge();
  const { lab, folder } = edge;
  await lab.run(['sh', '-ec', FOREIGN + OURS]);
  const rules = await lab.run(['ip', 'rule']);
  for (const text of [undoScript(BEFORE, folder), undoScript(BEFORE, folder, "o'ther")]) {
    await put(lab, folder, text);
    const { status, stderr } = await lab.run(['sh', `${folder}/undo.sh`], { allowFailure: true });
    expect(status).toBe(1);
    expect(stderr).toBe(`undo: run this in the network namespace with inode ${folder.split('/').at(-1)}\n`);
    expect(await lab.run(['ip', 'rule'])).toEqual(rules);
  }
});

test('goes on after a step that fails, keeps the state folder, and says so', async () => {
  await using edge = await startEdge();
  const { lab, folder } = edge;
  await edge.inside(OURS);
  await put(
    lab,
    folder,
    undoScript(record({ 'net/ipv4/conf/v0/forwarding': 'none', 'net/ipv4/conf/v0/rp_filter': '2' }), folder, 'edge'),
  );
  const { status, stderr } = await lab.run(['sh', `${folder}/undo.sh`], { allowFailure: true });
  expect(status).toBe(1);
  expect(stderr).toContain('undo: failed: put net/ipv4/conf/v0/forwarding none\n');
  expect((await edge.inside('ip rule; nft list tables; ip -br link')).stdout).not.toMatch(/sallyport|sp-|500[01]:/);
  expect((await lab.run(['ls', folder])).stdout).toBe('keys\nundo.sh\n');
});

test('no text of the record is run by the shell', async () => {
  await using edge = await startEdge();
  const { lab, folder } = edge;
  const evil = `$(touch /run/pwned)'; touch /run/pwned; '`;
  const text = undoScript({ ...record({ [`net/${evil}`]: evil }), version: `0\ntouch /run/pwned\n` }, folder, 'edge');
  await put(lab, folder, text);
  await lab.run(['sh', `${folder}/undo.sh`]);
  expect((await lab.run(['ls', '/run'])).stdout).not.toContain('pwned');
});
