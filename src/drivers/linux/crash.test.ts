/** kill -9 of the process that applies: what it leaves can be observed, gone on with, and taken back by undo.sh. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { serialize } from 'node:v8';
import { expect, test } from 'vitest';
import { RECORD_FORMAT, undoScript } from '../../host/index.ts';
import { startNamespace } from '../../lab/index.ts';
import { parseInterfaceAddress, parsePrefix } from '../../net/index.ts';
import { accept, baseChain, type RulesetObject, rule } from '../../nftables/index.ts';
import type { HostChange, HostObject } from '../../plan/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { linuxDriver } from '../index.ts';

const never = new AbortController().signal;

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a constant of the test is wrong');
  return value;
}

const add = (after: HostObject): HostChange => ({ action: 'add', after });
const nft = (object: RulesetObject): HostChange => add({ kind: 'nft', object });
const sallyport = { family: 'inet', table: 'sallyport' } as const;

/** A step each, but for the table and its chain: they are one transaction. */
const plan: readonly HostChange[] = [
  add({ kind: 'link', link: { name: 'sp-x', kind: 'wireguard', mtu: 1420, up: true } }),
  add({ kind: 'device', device: { link: 'sp-x', listenPort: 51820 } }),
  add({
    kind: 'address',
    address: { link: 'sp-x', address: must(parseInterfaceAddress('10.90.0.1/30')), scope: 'global' },
  }),
  {
    action: 'change',
    before: { kind: 'sysctl', path: 'net/ipv4/conf/v0/forwarding', value: '0' },
    after: { kind: 'sysctl', path: 'net/ipv4/conf/v0/forwarding', value: '1' },
  },
  add({
    kind: 'route',
    route: {
      table: 254,
      destination: must(parsePrefix('192.168.1.20/32')),
      type: 'unicast',
      link: 'sp-x',
      metric: 0,
      protocol: 83,
    },
  }),
  nft({ kind: 'table', ...sallyport }),
  nft({
    kind: 'chain',
    ...sallyport,
    chain: baseChain('sp_in', { type: 'filter', hook: 'input', priority: 10 }, rule(accept)),
  }),
  add({
    kind: 'accept',
    accept: {
      place: { kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'FORWARD', behind: 1 },
      traffic: [
        { kind: 'link', link: 'sp-x', direction: 'in' },
        { kind: 'link', link: 'sp-x', direction: 'out' },
      ],
    },
  }),
];
const STEPS = 7;

const APPLY = `
import { deserialize } from 'node:v8';
import { linuxDriver } from '${new URL('../index.ts', import.meta.url).href}';
import { namespaceTransport } from '${new URL('../../transport/index.ts', import.meta.url).href}';
const { plan, entry, last } = deserialize(Buffer.from(process.env.WORK, 'base64'));
const driver = linuxDriver(namespaceTransport('edge', 'edge', { entry }));
console.log('ready');
let steps = 0;
const onStep = () => { if (++steps === last) process.kill(process.pid, 'SIGKILL'); };
await driver.apply(plan, { signal: new AbortController().signal, onStep });
`;

async function startEdge() {
  const lab = await startNamespace();
  await lab.run([
    'sh',
    '-ec',
    'ip netns add edge; ip -n edge link add v0 type veth peer name v1; ip -n edge link set dev v0 up; ip netns exec edge iptables-nft -A FORWARD -i v0 -j ACCEPT; ip netns exec edge iptables-nft -P FORWARD DROP',
  ]);
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const transport = namespaceTransport('edge', 'edge', { entry });
  const driver = linuxDriver(transport);
  const dump = async () => {
    const text =
      'nft -s list ruleset; ip -br -4 addr; ip -4 route; ip rule; cat /proc/sys/net/ipv4/conf/v0/forwarding; wg show all | grep -v key';
    return (await transport.run({ argv: ['sh', '-c', text] })).stdout;
  };
  /** Applies the plan in another process, which is killed after `last` steps or after `killAfterMs`. */
  const applyAndDie = async (last: number, killAfterMs?: number): Promise<void> => {
    const env = { ...process.env, WORK: serialize({ plan, entry, last }).toString('base64') };
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', APPLY], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    if (killAfterMs !== undefined) {
      await sleep(killAfterMs);
      child.kill('SIGKILL');
    }
    await ended;
    // What it had started comes to its end by itself.
    for (const end = Date.now() + 10_000; Date.now() < end; await sleep(20)) {
      const { stdout } = await lab.run(['ps', '-eo', 'comm=']);
      if (!/^(sh|ip|nft|wg|setsid|mkdir|sleep|unshare|mount|cat)$/m.test(stdout.replace(/^cat$/m, ''))) return;
    }
    throw new Error('the commands of the killed process do not end');
  };
  return { lab, transport, driver, dump, applyAndDie, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

test('after each step: what stands is observed, and the rest of the plan brings the host to the same state', async () => {
  await using whole = await startEdge();
  await whole.driver.makeKeys(['sp-x'], never);
  await whole.driver.apply(plan, { signal: never });
  const expected = await whole.dump();
  for (let last = 1; last <= STEPS; last++) {
    await using edge = await startEdge();
    await edge.driver.makeKeys(['sp-x'], never);
    await edge.applyAndDie(last);
    const { state } = await edge.driver.observe(never);
    expect(state.links.find(({ name }) => name === 'sp-x')).toMatchObject({ kind: 'wireguard', up: true });
    expect(state.routes.filter(({ protocol }) => protocol === 83).length).toBe(last >= 5 ? 1 : 0);
    expect(state.tables.length).toBe(last >= 6 ? 2 : 1);
    expect(state.accepts.length).toBe(last >= 7 ? 1 : 0);
    await edge.driver.apply(plan.slice(last >= 6 ? last + 1 : last), { signal: never });
    expect(await edge.dump()).toBe(expected);
  }
});

test('at any moment: what stands is observed, and undo.sh takes it back', async () => {
  await using edge = await startEdge();
  const { lab, transport, driver, dump } = edge;
  const before = await dump();
  const folder = await transport.stateFolder();
  const record = {
    format: RECORD_FORMAT,
    version: '0.1.0',
    sets: new Map(),
    numbers: { mark: { value: 0x10000, mask: 0xff0000 }, suppressPriority: 5000, tunnels: new Map() },
    sysctlsBefore: new Map([['net/ipv4/conf/v0/forwarding', '0']]),
  };
  for (const killAfterMs of [0, 5, 15, 30, 50, 80, 120, 200]) {
    await driver.makeKeys(['sp-x'], never);
    await transport.writeFile(`${folder}/undo.sh`, undoScript(record, folder, 'edge'), 0o700);
    await edge.applyAndDie(STEPS, killAfterMs);
    await driver.observe(never);
    await lab.run(['sh', `${folder}/undo.sh`]);
    expect(await dump()).toBe(before);
  }
});
