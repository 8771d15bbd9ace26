/**
 * How soon `sallyport wireguard run` is healthy in a pod's namespace, above the tool's own start, and what it keeps in memory; beside wg-quick
 * bringing up the same file. The link is made by the kernel where it can, else by wireguard-go, for both.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Lab, onTunnel, POD, podNetwork, startLab, withSockets } from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import { atMost, type Line, median, timed } from './measure.ts';

/** Issue 7: milliseconds above the tool's own start, and MiB resident. */
const GOALS = { aboveMs: 500, residentMiB: 80 } as const;

const PEER = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';

export async function measureWireguard(sallyport: string, rounds: number): Promise<readonly Line[]> {
  await using lab = await startLab(podNetwork);
  await using folder = await makeFolder();
  const key = execFileSync('wg', ['genkey'], { encoding: 'utf8' }).trim();
  const conf = await folder.write(
    'wg0.conf',
    `[Interface]\nPrivateKey = ${key}\nAddress = 10.11.0.1/16\nListenPort = 51820\n[Peer]\nPublicKey = ${PEER}\nAllowedIPs = 0.0.0.0/0\n`,
  );
  chmodSync(conf, 0o600);
  const [starts, healthy, quick, resident]: number[][] = [[], [], [], []];
  for (let round = 0; round <= rounds; round++) {
    const start = await timed(() => lab.host('pod').run([process.execPath, sallyport, '--version']));
    const run = await runOnce(lab, sallyport, conf);
    const up = await timed(() =>
      onTunnel(lab, 'pod', `WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up ${conf} 2>/dev/null`),
    );
    await onTunnel(lab, 'pod', `wg-quick down ${conf} 2>/dev/null`);
    // The first has its files from disk.
    if (round === 0) continue;
    starts?.push(start);
    healthy?.push(run.healthyMs);
    quick?.push(up);
    resident?.push(run.residentMiB);
  }
  const [start, value] = [median(starts ?? []), median(healthy ?? [])];
  const memory = median(resident ?? []);
  return [
    {
      what: 'sallyport wireguard run: from start to healthy',
      ...{ value, unit: 'ms', beside: { what: 'sallyport --version', value: start } },
      goal: { text: `at most ${GOALS.aboveMs} ms above`, met: value - start <= GOALS.aboveMs },
    },
    { what: 'wg-quick up of the same file', value: median(quick ?? []), unit: 'ms' },
    {
      what: 'sallyport wireguard run: resident memory once healthy',
      ...{ value: memory, unit: 'MiB', goal: atMost(GOALS.residentMiB, 'MiB', memory) },
    },
  ];
}

async function runOnce(
  lab: Lab,
  sallyport: string,
  conf: string,
): Promise<{ readonly healthyMs: number; readonly residentMiB: number }> {
  const listen = ['--health-listen', `tcp://${POD}:9000`, '--log', 'json'];
  const began = performance.now();
  await using running = await lab
    .host('pod')
    .spawn(withSockets([process.execPath, sallyport, 'wireguard', 'run', conf, ...listen]));
  running.stdout.resume();
  const said: string[] = [];
  for await (const line of createInterface({ input: running.stderr })) {
    said.push(line);
    // What it fails of is no line of its log.
    if (!line.startsWith('{')) throw new Error(line);
    const { level, event } = JSON.parse(line) as { readonly level: string; readonly event: string };
    if (event !== 'health' || level !== 'info') continue;
    const healthyMs = performance.now() - began;
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1];
    running.kill('SIGTERM');
    running.stderr.resume();
    const status = await running.exited;
    if (status !== 0) throw new Error(`wireguard run ended with ${status}: ${said.join('\n')}`);
    return { healthyMs, residentMiB: Number(kibibytes) / 1024 };
  }
  throw new Error(`wireguard run is not healthy: ${said.join('\n')}`);
}
