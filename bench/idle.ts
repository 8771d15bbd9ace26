/** What `sallyport run` takes where nothing happens: memory of it, and of its listeners, which are the hosts' own; processor time of all of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type RunningCommand, startLab, type Topology } from '../src/lab/index.ts';
import { makeFolder } from './documents.ts';
import { atMost, type Line } from './measure.ts';

/** Issue 6. */
const MOST_MIB = 150;
const MOST_PERCENT = 2;

export interface IdleSize {
  /** Half of them edges, each with a node of its own behind it. */
  readonly hosts: number;
  readonly forwards: number;
}

/** What is looked at, in milliseconds; and so long before that it rests from its start. */
const LOOK_MS = 60_000;
const REST_MS = 60_000;

/** Measured with the hosts as namespaces of this machine, so that what runs on them counts too. */
export async function measureIdle(sallyport: string, { hosts, forwards }: IdleSize): Promise<readonly Line[]> {
  const pairs = Math.floor(hosts / 2);
  await using folder = await makeFolder();
  await using lab = await startLab(network(pairs));
  const file = await folder.write('idle.yaml', documents(pairs, Math.floor(forwards / pairs)));
  await lab.run([process.execPath, sallyport, 'apply', '--yes', '--confirm-timeout', '10m', '-f', file], {
    timeoutMs: 600_000,
  });
  // As the examples of a service start it.
  const env = { MALLOC_ARENA_MAX: '1' };
  await using run = await lab.spawn([process.execPath, sallyport, 'run', '-f', file], { env });
  run.stdout.resume();
  await said(run, 'the documents hold');
  // Every host was looked at, and is listened to.
  await pause(REST_MS);
  const before = processorMs(run.pid);
  const began = performance.now();
  await pause(LOOK_MS);
  const share = (100 * (processorMs(run.pid) - before)) / (performance.now() - began);
  const mib = residentKiB([run.pid]) / 1024;
  const listening = residentKiB(family(run.pid).filter((one) => one !== run.pid)) / 1024;
  const what = `run idle, ${hosts} hosts and ${forwards} forwards`;
  return [
    { what: `${what}: memory of run (PSS)`, value: mib, unit: 'MiB', goal: atMost(MOST_MIB, 'MiB', mib) },
    { what: `${what}: memory of what listens on all the hosts (PSS)`, value: listening, unit: 'MiB' },
    {
      what: `${what}: of a core, over ${LOOK_MS / 1_000} s`,
      value: share,
      unit: '%',
      goal: { text: `at most ${MOST_PERCENT} %`, met: share <= MOST_PERCENT },
    },
  ];
}

const said = (run: RunningCommand, what: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let log = '';
    run.stderr.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-10_000);
      if (log.includes(what)) resolve();
    });
    void run.exited.then((status) => reject(new Error(`run ended (${status}): ${log}`)));
  });

/** A process and all below it. */
function family(pid: number): readonly number[] {
  const parents = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(Number(name));
    if (fields === undefined) continue;
    const parent = Number(fields[1]);
    parents.set(parent, [...(parents.get(parent) ?? []), Number(name)]);
  }
  const below = (one: number): readonly number[] => [one, ...(parents.get(one) ?? []).flatMap(below)];
  return below(pid);
}

/** What /proc/PID/stat says after the name: state, parent, ... (proc(5)); undefined where it is gone. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** A tick of /proc, in milliseconds (USER_HZ, time(7)). */
const TICK_MS = 10;

/** utime, stime and those of children that were waited for, of all that run now. */
const processorMs = (pid: number): number =>
  family(pid).reduce(
    (sum, one) => sum + (statOf(one) ?? []).slice(11, 15).reduce((ticks, each) => ticks + Number(each), 0) * TICK_MS,
    0,
  );

const residentKiB = (pids: readonly number[]): number =>
  pids.reduce((sum, one) => {
    try {
      return sum + Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      return sum;
    }
  }, 0);

function network(pairs: number): Topology {
  const numbers = Array.from({ length: pairs }, (_, index) => index);
  return {
    name: 'idle',
    hosts: numbers.flatMap((index) => [
      { name: `edge${index}` },
      { name: `node${index}`, routes: [{ to: 'default', via: `172.31.${index}.1` }] },
    ]),
    switches: [{ name: 'internet' }],
    cables: numbers.flatMap((index): Topology['cables'] => [
      {
        ends: [
          { at: `edge${index}`, interface: 'eth0', addresses: [`198.51.100.${10 + index}/24`] },
          { at: 'internet', interface: `port${index}` },
        ],
      },
      {
        ends: [
          { at: `edge${index}`, interface: 'priv0', addresses: [`172.31.${index}.1/24`] },
          { at: `node${index}`, interface: 'priv0', addresses: [`172.31.${index}.2/24`] },
        ],
      },
    ]),
  };
}

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

const documents = (pairs: number, forwards: number): string =>
  Array.from({ length: pairs }, (_, pair) => [
    resource(
      'Host',
      `edge${pair}`,
      `{ access: { netns: { name: edge${pair} } }, interfaces: [{ name: eth0, zone: public }, { name: priv0, zone: private }] }`,
    ),
    resource('Host', `node${pair}`, `{ access: { netns: { name: node${pair} } } }`),
    resource(
      'Tunnel',
      `pair${pair}`,
      `{ type: Direct, ends: [{ host: edge${pair}, addresses: [172.31.${pair}.1] }, { host: node${pair}, addresses: [172.31.${pair}.2] }] }`,
    ),
    ...Array.from({ length: forwards }, (_, index) =>
      resource(
        'PortForward',
        `forward-${pair}-${index}`,
        `{ at: { hosts: [edge${pair}] }, ports: [{ protocol: TCP, port: ${1024 + index}, targetPort: ${20_000 + index} }], to: [{ host: node${pair}, via: pair${pair} }] }`,
      ),
    ),
  ])
    .flat()
    .join('---\n');
