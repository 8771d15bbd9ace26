/**
 * How soon `sallyport run` sends clients elsewhere when a target is gone, by fault kind, and puts a flushed ruleset back: from the fault to the
 * first new connection that the other target answers, or to the table that stands again.
 */
import { type Lab, type RunningCommand, startLab, type Topology } from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import type { Line } from './measure.ts';

const EDGE = '198.51.100.10';
const NODES = ['n1', 'n2'] as const;
type Node = (typeof NODES)[number];

/** Issue 6: p50 and p99 of a target that is replaced, p99 of a flush that is repaired. */
const GOALS = { p50: 500, p99: 1_000 } as const;

const network: Topology = {
  name: 'keeping',
  hosts: [
    { name: 'client' },
    { name: 'edge' },
    ...NODES.map((name) => ({ name, routes: [{ to: 'default', via: '172.31.0.1' }] })),
  ],
  switches: [{ name: 'rack' }],
  cables: [
    {
      ends: [
        { at: 'client', interface: 'eth0', addresses: ['198.51.100.1/24'] },
        { at: 'edge', interface: 'eth0', addresses: [`${EDGE}/24`] },
      ],
    },
    ...['edge', ...NODES].map((at, index): Topology['cables'][number] => ({
      ends: [
        { at, interface: 'priv0', addresses: [`172.31.0.${1 + index}/24`] },
        { at: 'rack', interface: `to-${at}` },
      ],
    })),
  ],
};

const DOCUMENTS = `apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: edge }
spec: { access: { netns: { name: edge } }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }
---
apiVersion: sallyport.dev/v1alpha1
kind: PortForward
metadata: { name: web }
spec:
  at: { hosts: [edge] }
  ports: [{ protocol: TCP, port: 80, targetPort: 8080 }]
  to: [{ address: 172.31.0.2 }, { address: 172.31.0.3 }]
  health: { tcp: 8080, interval: 200ms, failures: 3 }
`;

/** A server that says its name, and a client that asks until it hears one, with a new connection each 100 ms at most; it prints how long that took. */
const SERVER = `require('node:net').createServer((s) => s.on('error', () => {}).end(process.argv[1])).listen(8080, () => console.log('up'));`;
const CLIENT = `const net = require('node:net'); const began = performance.now();
const ask = () => { let heard = ''; const s = net.connect(80, '${EDGE}'); const next = setTimeout(() => { s.destroy(); ask(); }, 100);
  s.on('data', (d) => { heard += d; }).on('error', () => {}).on('end', () => { if (heard === process.argv[1]) { console.log(performance.now() - began); process.exit(); } else { clearTimeout(next); setTimeout(ask, 5); } }); };
process.stdin.once('data', ask); console.log('up');`;

interface Place {
  readonly lab: Lab;
  readonly servers: Map<Node, RunningCommand>;
}

const drop = (hook: string, priority: number): string =>
  `add table inet t; add chain inet t c { type filter hook ${hook} priority ${priority}; policy drop; }`;
const nft = (hook: string, priority: number) => ({
  harm: ({ lab }: Place, node: Node) => lab.host(node).run(['nft', drop(hook, priority)]),
  heal: ({ lab }: Place, node: Node) => lab.host(node).run(['nft', 'delete', 'table', 'inet', 't']),
});

const FAULTS: Readonly<
  Record<
    string,
    {
      readonly harm: (place: Place, node: Node) => Promise<unknown>;
      readonly heal: (place: Place, node: Node) => Promise<unknown>;
    }
  >
> = {
  'process killed': {
    harm: async ({ servers }, node) => servers.get(node)?.kill('SIGKILL'),
    heal: serve,
  },
  'link cut': {
    harm: ({ lab }, node) => lab.host(node).run(['ip', 'link', 'set', 'priv0', 'down']),
    heal: async ({ lab }, node) => {
      await lab.host(node).run(['ip', 'link', 'set', 'priv0', 'up']);
      await lab.host(node).run(['ip', 'route', 'add', 'default', 'via', '172.31.0.1']);
    },
  },
  blackhole: nft('prerouting', -400),
  'one-way loss': nft('output', 400),
};

async function serve({ lab, servers }: Place, node: Node): Promise<void> {
  const server = await lab.host(node).spawn([process.execPath, '-e', SERVER, node]);
  servers.set(node, server);
  await firstLine(server);
}

const firstLine = (command: RunningCommand): Promise<string> =>
  new Promise((resolve) => command.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())));

/** What is logged until a line is so. */
function hear(run: RunningCommand): (isIt: (line: string) => boolean) => Promise<void> {
  let log = '';
  const waiting = new Set<() => void>();
  run.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
    for (const each of [...waiting]) each();
  });
  return (isIt) =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!log.split('\n').some(isIt)) return;
        waiting.delete(look);
        log = '';
        resolve();
      };
      waiting.add(look);
      look();
    });
}

/** `rounds` of each fault, the two targets in turns. */
export async function measureKeeping(sallyport: string, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  await using lab = await startLab(network);
  const file = await folder.write('web.yaml', DOCUMENTS);
  const place: Place = { lab, servers: new Map() };
  for (const node of NODES) await serve(place, node);
  await lab.run([process.execPath, sallyport, 'apply', '--yes', '-f', file]);
  await using run = await lab.spawn([process.execPath, sallyport, 'run', '-f', file, '--every', '10m']);
  run.stdout.resume();
  const heard = hear(run);
  await heard((line) => line.includes('the documents hold'));
  const taken = new Map<string, number[]>();
  let [now, other]: [Node, Node] = ['n1', 'n2'];
  for (let round = 0; round < rounds; round++)
    for (const [what, { harm, heal }] of Object.entries(FAULTS)) {
      await using client = await lab.host('client').spawn([process.execPath, '-e', CLIENT, other]);
      await firstLine(client);
      const answered = firstLine(client);
      await harm(place, now);
      client.stdin.write('go\n');
      taken.set(what, [...(taken.get(what) ?? []), Number(await answered)]);
      await heal(place, now);
      // A probe a second is told of at least, and a server that came back has answered one by then.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      [now, other] = [other, now];
    }
  return [...taken].flatMap(([what, ms]) => linesOf(`a target is replaced, 3 x 200 ms: ${what}`, ms));
}

function linesOf(what: string, ms: readonly number[]): readonly Line[] {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  return (['p50', 'p99'] as const).map((which) => {
    const value = at(which === 'p50' ? 0.5 : 0.99);
    return {
      what: `${what}, ${which} of ${ms.length}`,
      value,
      unit: 'ms',
      goal: { text: `at most ${GOALS[which]} ms`, met: value <= GOALS[which] },
    };
  });
}
