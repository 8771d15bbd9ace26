/** Userspace WireGuard: what the kernel's does for itself must here be done by processes and sockets that several namespaces share a machine with. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Namespace, startNamespace } from '../../lab/index.ts';
import { type Endpoint, parseEndpoint, parseInterfaceAddress, parsePrefix } from '../../net/index.ts';
import { type HostChange, undo } from '../../plan/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import type { PublicKey } from '../../wireguard/index.ts';
import { linuxDriver } from '../index.ts';

const never = new AbortController().signal;
const LINK = 'sp-wg51820';

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a constant of the test is wrong');
  return value;
}

/** `edge` and `node`, side by side on one wire, and a driver for each that believes the kernel has no WireGuard. */
async function startPair() {
  const lab = await startNamespace();
  await lab.run([
    'sh',
    '-ec',
    `
    ip netns add edge; ip netns add node
    ip link add e netns edge type veth peer name n netns node
    for each in edge/e/192.0.2.1 node/n/192.0.2.2; do
      ns=\${each%%/*}; rest=\${each#*/}; link=\${rest%%/*}; address=\${rest#*/}
      ip -n $ns link set lo up; ip -n $ns link set dev $link up; ip -n $ns addr add $address/24 dev $link
    done`,
  ]);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const host = (name: string) => {
    const transport = namespaceTransport(name, name, { entry });
    return { transport, driver: linuxDriver(transport) };
  };
  return { lab, edge: host('edge'), node: host('node'), [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

interface End {
  readonly inner: string;
  readonly peer: PublicKey;
  readonly endpoint?: Endpoint;
}

/** One end of a tunnel, all of it. */
const end = ({ inner, peer, endpoint }: End): readonly HostChange[] => [
  {
    action: 'add',
    after: { kind: 'link', link: { name: LINK, kind: 'wireguard', mtu: 1420, up: true, alias: 'a tunnel' } },
  },
  { action: 'add', after: { kind: 'device', device: { link: LINK, listenPort: 51820 } } },
  {
    action: 'add',
    after: {
      kind: 'peer',
      link: LINK,
      peer: {
        publicKey: peer,
        allowedIps: [must(parsePrefix('10.90.0.0/30'))],
        ...(endpoint && { endpoint }),
      },
    },
  },
  {
    action: 'add',
    after: { kind: 'address', address: { link: LINK, address: must(parseInterfaceAddress(inner)), scope: 'global' } },
  },
];

/** Waits until so many run: one that has ended is counted until it was reaped. */
async function running(lab: Namespace, wanted: number): Promise<void> {
  const count = async (): Promise<number> =>
    Number((await lab.run(['pgrep', '-xc', 'wireguard-go'], { allowFailure: true })).stdout);
  for (const stop = Date.now() + 5_000; (await count()) !== wanted; await sleep(10))
    if (Date.now() > stop) throw new Error(`${await count()} wireguard-go run, not ${wanted}`);
}

test('both ends bear one name on one machine, carry traffic, are seen as WireGuard, and end with their links', async () => {
  await using pair = await startPair();
  const { lab, edge, node } = pair;
  const keys = async ({ driver }: typeof edge) => must((await driver.makeKeys([LINK], never)).get(LINK));
  const [edgeKey, nodeKey] = await Promise.all([keys(edge), keys(node)]);
  const plans = [
    [edge, end({ inner: '10.90.0.1/30', peer: nodeKey })],
    [node, end({ inner: '10.90.0.2/30', peer: edgeKey, endpoint: must(parseEndpoint('192.0.2.1:51820')) })],
  ] as const;
  await Promise.all(plans.map(([{ driver }, changes]) => driver.apply(changes, { signal: never })));
  await lab.run(['ip', 'netns', 'exec', 'node', 'ping', '-c', '1', '-W', '5', '10.90.0.1']);
  const facts = await edge.driver.observe(never);
  expect(facts.state.links.find(({ name }) => name === LINK)).toMatchObject({
    kind: 'wireguard',
    mtu: 1420,
    up: true,
    alias: 'a tunnel',
  });
  expect(facts.state.devices).toMatchObject([
    { link: LINK, publicKey: edgeKey, listenPort: 51820, peers: [{ publicKey: nodeKey }] },
  ]);
  expect((await node.driver.observe(never)).state.devices).toMatchObject([{ link: LINK, publicKey: nodeKey }]);
  if (facts.wireguard === 'userspace') await running(lab, 2);

  await edge.driver.apply(undo(plans[0][1]), { signal: never });
  if (facts.wireguard === 'userspace') await running(lab, 1);
  expect((await edge.driver.observe(never)).state.devices).toEqual([]);
  expect((await node.driver.observe(never)).state.devices.length).toBe(1);
  // The same link once more, at once: what the first left must not be taken for it.
  await edge.driver.apply(plans[0][1], { signal: never });
  expect((await edge.driver.observe(never)).state.devices.length).toBe(1);
  for (const [{ driver }, changes] of plans) {
    await driver.apply(undo(changes), { signal: never });
    await driver.forget(never);
  }
  await running(lab, 0);
  expect(
    (await lab.run(['find', '/run/sallyport', '/run/wireguard', '-type', 'f,s'], { allowFailure: true })).stdout,
  ).toBe('');
});

test('wireguard-go lives in a session of its own: the end of the process that started it is not its end', async () => {
  await using pair = await startPair();
  const { lab, edge } = pair;
  if ((await edge.driver.observe(never)).wireguard !== 'userspace') return; // the kernel's has no process
  const key = must((await edge.driver.makeKeys([LINK], never)).get(LINK));
  await edge.driver.apply(end({ inner: '10.90.0.1/30', peer: key }).slice(0, 2), { signal: never });
  const { stdout } = await lab.run(['ps', '-o', 'pid=,sid=,tty=', '-C', 'wireguard-go']);
  const [pid, session, terminal] = stdout.trim().split(/ +/);
  expect(Number(session)).not.toBe(process.pid);
  expect(terminal).toBe('?');
  expect((await lab.run(['ps', '-o', 'pid=', '-p', must(session)], { allowFailure: true })).stdout.trim()).toMatch(
    new RegExp(`^(${pid})?$`),
  );
});

test('a wireguard-go that was killed leaves a host that can be observed, and its link can be made anew', async () => {
  await using pair = await startPair();
  const { lab, edge } = pair;
  const key = must((await edge.driver.makeKeys([LINK], never)).get(LINK));
  const changes = end({ inner: '10.90.0.1/30', peer: key }).slice(0, 2);
  await edge.driver.apply(changes, { signal: never });
  if ((await edge.driver.observe(never)).wireguard !== 'userspace') return;
  await lab.run(['pkill', '-KILL', '-x', 'wireguard-go']);
  const gone = async () => (await edge.driver.observe(never)).state.links.every(({ name }) => name !== LINK);
  for (const stop = Date.now() + 5_000; !(await gone()); await sleep(20))
    if (Date.now() > stop) throw new Error('the link stays');
  expect((await edge.driver.observe(never)).state.devices).toEqual([]);
  await edge.driver.apply(changes, { signal: never });
  expect((await edge.driver.observe(never)).state.devices).toMatchObject([{ link: LINK, listenPort: 51820 }]);
});

test('a host that can make no WireGuard link says so, and names what would help', async () => {
  await using pair = await startPair();
  const { lab, edge } = pair;
  if ((await edge.driver.observe(never)).wireguard !== 'userspace') return;
  await lab.run([
    'sh',
    '-ec',
    'mkdir /run/upper /run/work; mount -n -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/upper,workdir=/run/work /usr/bin; rm /usr/bin/wireguard-go',
  ]);
  const driver = linuxDriver(edge.transport);
  expect((await driver.observe(never)).wireguard).toBe('absent');
  const link = end({ inner: '10.90.0.1/30', peer: must((await driver.makeKeys([LINK], never)).get(LINK)) }).slice(0, 1);
  await expect(driver.apply(link, { signal: never })).rejects.toThrow(
    /^edge: WireGuard is not supported by this host: .*Debian package wireguard-go/,
  );
});
