/** Connections over a slim edge that is re-applied again and again: what becomes of those that stand, and of new ones. */
import { carryOut, type ManagedHost, needsWork, observeAll, prepare } from '../../apply/index.ts';
import { linuxDriver } from '../../drivers/index.ts';
import type { HostFacts } from '../../host/index.ts';
import type { Activity, FlowsReport, Lab, RepeatReport } from '../../lab/index.ts';
import { loadResources } from '../../resources/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { aimOfSet } from '../aims.ts';
import { slimEdgeDocuments, startCliLab } from './cli-lab.ts';

export interface ReapplyOptions {
  /** TCP connections held open, half by IPv4 and half by IPv6, with an echo now and then. */
  readonly flows: number;
  /** Between two echoes of one connection. */
  readonly intervalMs: number;
  readonly times: number;
  /** Goes on re-applying until this many connections were opened meanwhile. */
  readonly connections: number;
  /** Each so many-th re-apply is by the command line, the others by the same functions in this process. */
  readonly byCommandEvery: number;
  /** From 0 to 1, by chance: what a re-apply changes beside the forward in use. */
  readonly random: () => number;
  readonly onRound?: (round: number, opened: number) => void;
}

export interface ReapplyReport {
  readonly flows: FlowsReport;
  readonly connections: RepeatReport;
  /** How long each re-apply in this process took. */
  readonly milliseconds: readonly number[];
  readonly byCommand: number;
  /** TCP segments the client had to send again meanwhile: above 0 also where nothing was lost but time. */
  readonly sentAgain: number;
}

const WEB = '{ protocol: TCP, port: 80, targetPort: 8080 }';
const ADDRESSES = ['198.51.100.10', '2001:db8:e::10'] as const;
/** Longer than a busy machine lets an echo wait; what is cut off is refused or silent for ever. */
const PATIENCE_MS = 10_000;
/** Between two connections of a family: about a hundred for each re-apply; more would leave it no processor. */
const PAUSE_MS = 10;

/** Applies, connects, and applies `times` again, each time to something else. */
export async function reapplyUnderTraffic(options: ReapplyOptions): Promise<ReapplyReport> {
  await using cli = await startCliLab();
  const { lab } = cli;
  const byCommand = async (...argv: readonly string[]): Promise<void> => {
    const { status, stderr } = await cli.sallyport(...argv);
    if (status !== 0) throw new Error(`sallyport ${argv.join(' ')}: status ${status}: ${stderr}`);
  };
  await using _server = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const first = await cli.documents('0.yaml', documentsOf(0, options.random));
  await byCommand('apply', '--yes', '-f', first);
  await byCommand('status', '--wait', '20s', '-f', first);

  const applyHere = openHosts(lab);
  const before = await sentAgain(lab);
  await using traffic = new AsyncDisposableStack();
  const flows: Activity<FlowsReport>[] = [];
  const connections: Activity<RepeatReport>[] = [];
  for (const address of ADDRESSES) {
    const to = { protocol: 'tcp', to: address, port: 80, timeoutMs: PATIENCE_MS } as const;
    const count = options.flows / ADDRESSES.length;
    flows.push(traffic.use(await lab.holdFlows('client', { ...to, count, intervalMs: options.intervalMs })));
    connections.push(traffic.use(await lab.keepConnecting('client', { ...to, pauseMs: PAUSE_MS })));
  }
  const milliseconds: number[] = [];
  let commands = 0;
  for (let round = 1, opened = 0; round <= options.times || opened < options.connections; round++) {
    const text = documentsOf(round, options.random);
    if (round % options.byCommandEvery === 0) {
      await byCommand('apply', '--yes', '-f', await cli.documents(`${round}.yaml`, text));
      commands += 1;
    } else {
      const began = performance.now();
      await applyHere(text);
      milliseconds.push(performance.now() - began);
    }
    opened = (await reportsOf(connections)).reduce(addConnections).succeeded;
    options.onRound?.(round, opened);
  }
  const ended = await Promise.all(connections.map((activity) => activity.stop()));
  return {
    flows: (await reportsOf(flows)).reduce(addFlows),
    connections: ended.reduce(addConnections),
    milliseconds,
    byCommand: commands,
    sentAgain: (await sentAgain(lab)) - before,
  };
}

/** The forward in use and, beside it, one that no other round has and others by chance: ports, a range, a hidden client, the tunnel's MTU. */
function documentsOf(round: number, random: () => number): string {
  const oneIn = (count: number): boolean => random() * count < 1;
  const some = Array.from({ length: Math.floor(random() * 20) }, () => 10_000 + Math.floor(random() * 10_000));
  const ports = [
    WEB,
    `{ protocol: TCP, port: ${30_000 + (round % 30_000)} }`,
    ...[...new Set(some)].map((port) => `{ protocol: UDP, port: ${port}, targetPort: ${port + 1} }`),
    ...(oneIn(3) ? ['{ protocol: TCP, port: 7000-7100 }'] : []),
  ];
  const text = slimEdgeDocuments({ ports, extra: oneIn(3) ? HIDDEN : '' });
  return oneIn(5) ? text.replace('  type: WireGuard\n', '  type: WireGuard\n  mtu: 1380\n') : text;
}

const HIDDEN = `---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: hidden }
spec:
  at: { hosts: [edge] }
  ports: [{ protocol: TCP, port: 6000 }]
  to: [{ host: node, via: edge-node }]
  clientAddress: Masquerade
`;

const reportsOf = <Report>(activities: readonly Activity<Report>[]): Promise<readonly Report[]> =>
  Promise.all(activities.map((activity) => activity.report()));

const addFlows = (left: FlowsReport, right: FlowsReport): FlowsReport => ({
  open: left.open + right.open,
  lost: left.lost + right.lost,
  echoes: left.echoes + right.echoes,
  errors: addErrors(left.errors, right.errors),
});

const addConnections = (left: RepeatReport, right: RepeatReport): RepeatReport => ({
  succeeded: left.succeeded + right.succeeded,
  failed: left.failed + right.failed,
  errors: addErrors(left.errors, right.errors),
});

const addErrors = (left: FlowsReport['errors'], right: FlowsReport['errors']): FlowsReport['errors'] =>
  Object.fromEntries(
    [...new Set([...Object.keys(left), ...Object.keys(right)])].map((code) => [
      code,
      (left[code] ?? 0) + (right[code] ?? 0),
    ]),
  );

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
