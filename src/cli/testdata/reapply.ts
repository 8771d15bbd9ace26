/** Connections over a slim edge that is re-applied again and again: what becomes of those that stand, and of new ones. */
import { carryOut, type ManagedHost, needsWork, observeAll, prepare } from '../../apply/index.ts';
import { linuxDriver } from '../../drivers/index.ts';
import type { HostFacts } from '../../host/index.ts';
import type { FlowsReport, Lab, RepeatReport } from '../../lab/index.ts';
import { loadResources } from '../../resources/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { aimOfSet } from '../aims.ts';
import { slimEdgeDocuments, startCliLab } from './cli-lab.ts';

export interface ReapplyOptions {
  /** TCP connections held open, with an echo now and then. */
  readonly flows: number;
  readonly times: number;
  /** Each so many-th re-apply is by the command line, the others by the same functions in this process. */
  readonly byCommandEvery: number;
}

export interface ReapplyReport {
  readonly flows: FlowsReport;
  readonly connections: RepeatReport;
  /** How long each re-apply in this process took. */
  readonly milliseconds: readonly number[];
  /** TCP segments the client had to send again meanwhile: above 0 also where nothing was lost but time. */
  readonly sentAgain: number;
}

const WEB = '{ protocol: TCP, port: 80, targetPort: 8080 }';
const ADDRESS = '198.51.100.10';
/** Longer than a busy machine lets an echo wait; what is cut off is refused or silent for ever. */
const PATIENCE_MS = 10_000;

/** Applies, connects, and applies `times` again: each takes one forward away and adds another beside the one in use. */
export async function reapplyUnderTraffic(options: ReapplyOptions): Promise<ReapplyReport> {
  await using cli = await startCliLab();
  const { lab } = cli;
  const textOf = (round: number): string =>
    slimEdgeDocuments({ ports: [WEB, `{ protocol: TCP, port: ${9000 + round} }`] });
  const byCommand = async (...argv: readonly string[]): Promise<void> => {
    const { status, stderr } = await cli.sallyport(...argv);
    if (status !== 0) throw new Error(`sallyport ${argv.join(' ')}: status ${status}: ${stderr}`);
  };
  await using _server = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const first = await cli.documents('0.yaml', textOf(0));
  await byCommand('apply', '--yes', '-f', first);
  await byCommand('status', '--wait', '20s', '-f', first);

  const applyHere = openHosts(lab);
  const before = await sentAgain(lab);
  const to = { protocol: 'tcp', to: ADDRESS, port: 80, timeoutMs: PATIENCE_MS } as const;
  await using flows = await lab.holdFlows('client', { ...to, count: options.flows, intervalMs: 250 });
  await using connections = await lab.keepConnecting('client', to);
  const milliseconds: number[] = [];
  for (let round = 1; round <= options.times; round++) {
    if (round % options.byCommandEvery === 0) {
      await byCommand('apply', '--yes', '-f', await cli.documents(`${round}.yaml`, textOf(round)));
      continue;
    }
    const began = performance.now();
    await applyHere(textOf(round));
    milliseconds.push(performance.now() - began);
  }
  return {
    flows: await flows.report(),
    connections: await connections.stop(),
    milliseconds,
    sentAgain: (await sentAgain(lab)) - before,
  };
}

/** What `sallyport apply --yes` does, in this process, on edge and node of the lab. */
function openHosts(lab: Lab): (text: string) => Promise<void> {
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const managed = ['edge', 'node'].map((name): ManagedHost => {
    const transport = namespaceTransport(name, name, { entry });
    return { name, transport, driver: linuxDriver(transport) };
  });
  const { signal } = new AbortController();
  return async (text) => {
    const { set, problems } = loadResources([{ name: 'reapply.yaml', text }]);
    if (set === undefined) throw new Error(problems.map(({ what }) => what).join('\n'));
    const facts = new Map<string, HostFacts>();
    for (const [name, seen] of await observeAll(managed, signal)) {
      if (seen.kind === 'unreachable') throw new Error(`${name}: ${seen.reason}`);
      facts.set(name, seen.facts);
    }
    const aimFor = aimOfSet(set, 'default');
    const plan = prepare(facts, aimFor, 'add');
    if (!plan.hosts.every(needsWork)) throw new Error('a host has nothing to change: no re-apply was tried');
    await carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: false });
  };
}

/** RetransSegs of the client's /proc/net/snmp (RFC 4022, tcpRetransSegs). */
async function sentAgain(lab: Lab): Promise<number> {
  const { stdout } = await lab.host('client').run(['cat', '/proc/net/snmp']);
  const [names = [], values = []] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('RetransSegs')]);
}
