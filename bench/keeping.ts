/**
 * How soon `sallyport run` sends clients elsewhere when a target is gone, by fault kind, and puts a flushed ruleset back: from the moment that the
 * command which does the harm is started to the first new connection that is answered again, by the other target or through the table that
 * stands again. A client opens one every 5 ms, and gives each 100 ms.
 */
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type Lab,
  powerOff,
  powerOn,
  RACK_EDGE,
  type RunningCommand,
  rack,
  rackAddress,
  startLab,
} from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import type { Line } from './measure.ts';

const NODES = ['n1', 'n2'] as const;
type Node = (typeof NODES)[number];

/** Issue 6: p50 and p99 of a target that is replaced, p99 of a flush that is repaired. */
const GOALS = { p50: 500, p99: 1_000 } as const;

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
  to: [${NODES.map((_, place) => `{ address: ${rackAddress(place)} }`).join(', ')}]
  health: { tcp: 8080, interval: 200ms, failures: 3 }
`;

const SERVER = `require('node:net').createServer((s) => s.on('error', () => {}).end(process.argv[1])).listen(8080, () => console.log('up'));`;

/** Of each line of stdin, names with spaces between: asks until one of them answers, and says which. */
const CLIENT = `const net = require('node:net');
const ask = (names) => { let heard = '', over = false; const s = net.connect(80, '${RACK_EDGE}');
  const next = () => { if (over) return; over = true; clearTimeout(late); s.destroy(); if (names.includes(heard)) console.log(heard); else setTimeout(ask, 5, names); };
  const late = setTimeout(next, 100); s.on('data', (d) => { heard += d; }).on('error', next).on('end', next); };
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => ask(line.split(' '))); console.log('up');`;

interface Place {
  readonly lab: Lab;
  readonly servers: Map<Node, RunningCommand>;
}

interface Fault {
  readonly harm: (place: Place, node: Node) => Promise<unknown>;
  readonly heal: (place: Place, node: Node) => Promise<unknown>;
}

const dropping = (hook: string, priority: number): Fault => ({
  harm: ({ lab }, node) =>
    lab
      .host(node)
      .run([
        'nft',
        `add table inet t; add chain inet t c { type filter hook ${hook} priority ${priority}; policy drop; }`,
      ]),
  heal: ({ lab }, node) => lab.host(node).run(['nft', 'delete', 'table', 'inet', 't']),
});

const FAULTS: Readonly<Record<string, Fault>> = {
  'power-off': {
    harm: ({ lab }, node) => powerOff(lab, node),
    heal: async (place, node) => {
      await powerOn(place.lab, node);
      await serve(place, node);
    },
  },
  'process killed': { harm: async ({ servers }, node) => servers.get(node)?.kill('SIGKILL'), heal: serve },
  'link cut': {
    harm: ({ lab }, node) => lab.host(node).run(['ip', 'link', 'set', 'priv0', 'down']),
    heal: async ({ lab }, node) => {
      await lab.host(node).run(['ip', 'link', 'set', 'priv0', 'up']);
      await lab.host(node).run(['ip', 'route', 'add', 'default', 'via', '172.31.0.1']);
    },
  },
  blackhole: dropping('prerouting', -400),
  'one-way loss': dropping('output', 400),
};

async function serve({ lab, servers }: Place, node: Node): Promise<void> {
  const server = await lab.host(node).spawn([process.execPath, '-e', SERVER, node]);
  servers.set(node, server);
  await once(server.stdout, 'data');
}

/** Milliseconds from the harm to the first answer of one of `names`, and who gave it. */
type Client = (names: readonly string[], harm?: () => Promise<unknown>) => Promise<readonly [ms: number, who: string]>;

function asks({ stdin }: RunningCommand, answers: Interface): Client {
  return async (names, harm = async () => undefined) => {
    const began = performance.now();
    await harm();
    const answer = once(answers, 'line');
    stdin.write(`${names.join(' ')}\n`);
    const [who] = await answer;
    return [performance.now() - began, String(who)];
  };
}

async function startRun(lab: Lab, sallyport: string, file: string): Promise<RunningCommand> {
  const run = await lab.spawn([process.execPath, sallyport, 'run', '-f', file, '--every', '10m']);
  run.stdout.resume();
  const lines = createInterface({ input: run.stderr });
  await new Promise<void>((resolve) => {
    lines.on('line', (line) => line.includes('the documents hold') && resolve());
  });
  return run;
}

/** A probe a second is told of at least, and a server that came back has answered one by then. */
const SETTLED_MS = 1_200;

/** So many flushes are repaired at once before it waits (`keep`): then another run goes on. */
const FLUSHES_A_RUN = 4;

/** `rounds` of each fault, and of a flush. */
export async function measureKeeping(sallyport: string, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  await using lab = await startLab(rack(NODES, 'by the edge'));
  const file = await folder.write('web.yaml', DOCUMENTS);
  const place: Place = { lab, servers: new Map() };
  for (const node of NODES) await serve(place, node);
  await lab.run([process.execPath, sallyport, 'apply', '--yes', '-f', file]);
  await using client = await lab.host('client').spawn([process.execPath, '-e', CLIENT]);
  const answers = createInterface({ input: client.stdout });
  await once(answers, 'line');
  const ask = asks(client, answers);
  const taken = new Map<string, number[]>();
  const note = (what: string, ms: number): unknown => taken.set(what, [...(taken.get(what) ?? []), ms]);
  {
    await using _ = await startRun(lab, sallyport, file);
    await pause(SETTLED_MS);
    for (let round = 0; round < rounds; round++)
      for (const [what, { harm, heal }] of Object.entries(FAULTS)) {
        const [, who] = await ask(NODES);
        const [now, other]: readonly [Node, Node] = who === 'n1' ? ['n1', 'n2'] : ['n2', 'n1'];
        const [ms] = await ask([other], () => harm(place, now));
        note(`a target is replaced, 3 x 200 ms: ${what}`, ms);
        await heal(place, now);
        await pause(SETTLED_MS);
      }
  }
  for (let round = 0; round < rounds; ) {
    await using _ = await startRun(lab, sallyport, file);
    await pause(SETTLED_MS);
    for (let flush = 0; flush < FLUSHES_A_RUN && round < rounds; flush++, round++) {
      const [ms] = await ask(NODES, () => lab.host('edge').run(['nft', 'flush', 'ruleset']));
      note('a foreign flush is repaired', ms);
      await pause(2 * SETTLED_MS);
    }
  }
  return [...taken].flatMap(([what, ms]) => linesOf(what, ms));
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
