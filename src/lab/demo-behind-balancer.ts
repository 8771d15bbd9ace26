import { balancerState, CHECK_MS, eventually, udpTargets } from './balancer.ts';
import {
  BALANCER,
  BEHIND,
  behindBalancer,
  CHECKER,
  dial,
  endSidecar,
  HEALTH_PORT,
  INNER,
  STORY_CONF,
  startBehindBalancer,
  startSidecar,
  TUNNEL_PORT,
  WORLD,
} from './behind-balancer.ts';
import type { RunningCommand } from './command.ts';
import { onTunnel, withSockets } from './faults/fault.ts';
import { type Lab, startLab } from './lab.ts';
import { printPacket } from './packet.ts';
import { showNetwork } from './show-network.ts';
import { type DemoOptions, examplePath, openTelling } from './telling.ts';
import { needTools } from './tools.ts';

const [POD] = BEHIND;
const WORLD_PORT = 7_000;

/** Tells the story of a tunnel in a pod behind a balancer: by wg-quick, then by `wireguard run`. Throws where anything of it does not hold. */
export async function demoBehindBalancer(options: DemoOptions): Promise<void> {
  const { out } = options;
  needTools(['ip', 'nft', 'wg', 'wg-quick', 'haproxy', 'conntrack', 'tcpdump']);
  const topology = behindBalancer();
  await using lab = await startLab(topology);
  const { step, sallyport, asItWas, end } = openTelling(lab, options);
  const hosts = examplePath('wireguard-behind-lb/hosts.yaml');
  const explain = async (isBroken: boolean): Promise<void> => {
    const status = isBroken ? 1 : 0;
    out(await sallyport(['doctor', '--netns', 'pod'], status));
    const question = ['--from', `${CHECKER[4]}@balancer`, '--to', `${POD[4]}:${HEALTH_PORT}/tcp`];
    out(await sallyport(['trace', '--live', '-f', hosts, ...question], status));
  };

  step('The network, each machine a namespace of this kernel');
  out(showNetwork(topology));
  await startBehindBalancer(lab);
  await startSidecar(lab, 'pod');
  await lab.serve('client', { protocol: 'tcp', port: WORLD_PORT });
  out(`  haproxy asks the pod by TCP at port ${HEALTH_PORT}; UDP port ${TUNNEL_PORT} goes on to it while it answers\n`);

  step('Before the tunnel: a sidecar answers, and the target is healthy');
  await showTarget(lab, 'UP', out);

  step('wg-quick brings up the tunnel, AllowedIPs = 0.0.0.0/0, ::/0');
  const [outside, inside] = [await lab.capture('pod', 'eth0', HEALTH), await quickly(lab, out)];
  await showTarget(lab, 'DOWN', out);
  await nearIsAnswered(lab, out);
  await reached(lab, false, out);
  for (const [link, packets] of [
    ['eth0', await outside.stop()],
    ['wg0', await inside.stop()],
  ] as const) {
    const [packet] = packets.filter(({ source, destination }) => [source, destination].includes(CHECKER[4])).slice(-1);
    if (packet === undefined) throw new Error(`nothing of the checks is seen on ${link}`);
    out(`  on ${link} of the pod: ${printPacket(packet)}\n`);
  }

  step('Why');
  await explain(true);
  await onTunnel(lab, 'pod', `wg-quick down ${STORY_CONF} 2>&1`);
  await endSidecar(lab, 'pod');
  const before = await lab.dump('pod');

  step('The same file by sallyport wireguard run, which answers the checks itself');
  await using running = await run(lab, options);
  const began = performance.now();
  await showTarget(lab, 'UP', out);
  out(
    `  ${Math.round(performance.now() - began)} ms after the tunnel was up; the balancer asks every ${CHECK_MS} ms\n`,
  );
  await nearIsAnswered(lab, out);
  await dial(lab);
  await reached(lab, true, out);
  await leavesByTunnel(lab, out);
  await explain(false);

  step('The tunnel goes: so does the target');
  running.kill('SIGTERM');
  const status = await running.exited;
  if (status !== 0) throw new Error(`wireguard run ended with ${status}`);
  await showTarget(lab, 'DOWN', out);
  await asItWas('pod', before);
  end();
}

const HEALTH = `tcp port ${HEALTH_PORT}`;

/** wg-quick up, with what it says of its commands; a capture of health checks on its link. */
async function quickly(lab: Lab, out: DemoOptions['out']) {
  const said = await onTunnel(lab, 'pod', `wg-quick up ${STORY_CONF} 2>&1`);
  for (const line of said.split('\n').filter((each) => each.startsWith('[#] '))) out(`  ${line}\n`);
  return await lab.capture('pod', 'wg0', HEALTH);
}

/** Waits until the balancer finds the pod so, by both families, and UDP goes on to it or not. */
async function showTarget(lab: Lab, status: 'UP' | 'DOWN', out: DemoOptions['out']): Promise<void> {
  await eventually(`the pod ${status} for the balancer`, async () => {
    const [states, targets] = [await balancerState(lab), await udpTargets(lab, 'balancer')];
    return states.every((each) => each.status === status) && targets.length === (status === 'UP' ? 2 : 0);
  });
  for (const each of await balancerState(lab))
    out(`  balancer: ${POD[each.family]} port ${HEALTH_PORT}: ${each.status}, ${each.check}\n`);
}

/** As a kubelet would ask: from the pod's own subnet. */
async function nearIsAnswered(lab: Lab, out: DemoOptions['out']): Promise<void> {
  for (const family of [4, 6] as const) {
    const asked = await lab.connect('node', { protocol: 'tcp', to: POD[family], port: HEALTH_PORT, answer: false });
    if (!asked.ok) throw new Error(`the node is not answered: ${asked.error}`);
  }
  out("  node, from the pod's own subnet: answered\n");
}

async function reached(lab: Lab, isReached: boolean, out: DemoOptions['out']): Promise<void> {
  const options = { protocol: 'tcp', to: INNER[4], port: HEALTH_PORT, answer: false, timeoutMs: 1_500 } as const;
  const asked = await lab.connect('client', options);
  if (asked.ok !== isReached) throw new Error(`the client through the tunnel: ${asked.ok ? 'answered' : asked.error}`);
  out(`  client through the tunnel, by ${BALANCER[4]}: ${asked.ok ? 'answered' : 'no answer'}\n`);
}

/** What the pod begins itself. */
async function leavesByTunnel(lab: Lab, out: DemoOptions['out']): Promise<void> {
  const asked = await lab.connect('pod', { protocol: 'tcp', to: WORLD, port: WORLD_PORT });
  const from = asked.ok ? asked.saw?.client.address : asked.error;
  if (from !== INNER[4]) throw new Error(`what the pod begins itself does not leave by the tunnel: ${from}`);
  out(`  pod to ${WORLD}, which lies behind the client: seen there from ${from}\n`);
}

/** `sallyport wireguard run`, which is up when this returns. */
async function run(lab: Lab, { sallyport, out, env }: DemoOptions): Promise<RunningCommand> {
  const argv = ['wireguard', 'run', STORY_CONF, '--health-listen', `[::]:${HEALTH_PORT}`];
  out(`$ sallyport ${argv.join(' ')}\n`);
  const running = await lab.host('pod').spawn(withSockets([...sallyport, ...argv]), env && { env });
  running.stdout.resume();
  let said = '';
  let isOver = false;
  running.stderr.on('data', (part: Buffer) => {
    said += part.toString();
  });
  void running.exited.then(() => {
    isOver = true;
  });
  await eventually('the tunnel up', async () => said.includes('wg0 is up') || isOver);
  for (const line of said.trimEnd().split('\n')) out(`  ${line}\n`);
  if (isOver) throw new Error('wireguard run ended');
  return running;
}
