/**
 * Changes over ssh that go wrong, drawn from a seed: from one state of the hosts to another, with something hostile in the plan, or something
 * that befalls apply, the line, or the edge at any moment of it; or both.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { patient } from '../../lab/index.ts';
import { type At, type Ended, type Far, type FarEdge, hosts, startFarEdge } from './far-edge.ts';
import type { Job } from './far-worker.ts';
import type { Hostile } from './hostile.ts';
import { randomFrom } from './random.ts';

/** How many ports are forwarded; of none, nothing of ours stands. */
type State = 0 | 1 | 2;
const WAYS = [
  [0, 1],
  [1, 2],
  [2, 1],
  [1, 0],
  [0, 2],
] as const satisfies readonly (readonly [State, State])[];

export const FAULTS = [
  'nothing',
  'apply is killed',
  'apply is stopped for a while',
  'Ctrl-C',
  'its sessions on the edge are killed',
  'who waits on the edge is killed',
  'a command on the edge is killed',
  'the line is cut',
  'the line is cut there',
  'the line is cut back',
  'sshd is stopped',
  'sshd and its sessions end',
  'its name is not known any more',
  'the disk of the hosts is full',
  'the clock jumps a day ahead',
  'the clock jumps a day back',
  'a second apply',
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Case {
  readonly from: State;
  readonly to: State;
  readonly fault: Fault;
  /** When: of what is told on the way, this part has been told, from 0 to 1. */
  readonly at: number;
  readonly hostile?: { readonly what: Hostile; readonly first: boolean };
}

export type Found = { readonly back: boolean; readonly on: boolean };

/** What came of it. */
export interface Outcome {
  /** Where the hosts were found in the end: in both, where a host is the same in both. */
  readonly edge: Found;
  readonly node: Found;
  readonly said: string | undefined;
  /** Between the moment the edge last heard of us, at the latest, and the end of the way back: of what leaves it alone. */
  readonly lateMs?: number;
}

export const printCase = ({ from, to, fault, at, hostile }: Case): string =>
  `from ${from} ports to ${to}, ${fault} at ${at.toFixed(3)}${hostile === undefined ? '' : `, ${hostile.what}${hostile.first ? ' first' : ''}`}`;

export function drawCase(seed: number): Case {
  const random = randomFrom(seed);
  const pick = <T>(from: readonly T[]): T => {
    const picked = from[Math.floor(random() * from.length)];
    if (picked === undefined) throw new TypeError('nothing to pick');
    return picked;
  };
  const [from, to] = pick(WAYS);
  const fault = pick(FAULTS);
  const at = random();
  const isHostile = fault === 'nothing' || random() < 0.4;
  const what = pick<Hostile>([
    'all of ssh is dropped',
    'only connections that stand are let through',
    'the default route is gone',
    ...Array.from({ length: 5 }, (): Hostile => `ruleset ${Math.floor(random() * 2 ** 31)}`),
  ]);
  return { from, to, fault, at, ...(isHostile && { hostile: { what, first: random() < 0.3 } }) };
}

/** Each moment of an apply and of a destroy, for what is killed or cut there: nothing is drawn. */
export const everyStep = (): readonly Case[] =>
  AT_EVERY_STEP.flatMap((fault) =>
    ([[0, 1, MOMENTS.apply], [1, 0, MOMENTS.destroy]] as const).flatMap(([from, to, count]) =>
      Array.from({ length: count }, (_, index): Case => ({ from, to, fault, at: (index + 0.5) / count })),
    ),
  );

const AT_EVERY_STEP = [
  'apply is killed',
  'its sessions on the edge are killed',
  'who waits on the edge is killed',
  'a command on the edge is killed',
  'the line is cut',
] as const satisfies readonly Fault[];

/** How much is told of each, about: of two or three more, some moments fall together. */
const MOMENTS = { apply: 24, destroy: 27 } as const;

/** What a host waits for a word of us. */
export const WINDOW_MS = 2_000;
/** Beyond it, on a machine that has other work: how many came within two seconds is counted. */
const LATE_MS = 20_000;

/** From here on nobody can reach the edge, and it is left to itself. */
const LEAVES_ALONE: readonly Fault[] = [
  'apply is killed',
  'apply is stopped for a while',
  'the line is cut',
  'sshd and its sessions end',
];

/** What is done to the lab at that moment; gives what takes that back. */
type Injure = (far: FarEdge, at: At) => Promise<() => unknown> | (() => unknown);

const nothing = (): void => {};
const cut =
  (ways: 'both' | 'there' | 'back'): Injure =>
  (far) => {
    far.cut(ways);
    return () => far.mend();
  };
const kill =
  (signal: NodeJS.Signals): Injure =>
  (_, { worker }) => {
    worker.kill(signal);
    return nothing;
  };
const inLab =
  (text: string): Injure =>
  async ({ cli, pendingOn }) => {
    await cli.lab.run(['sh', '-c', text, 'sh', pendingOn('edge')], { allowFailure: true });
    return nothing;
  };

const KILL_SESSIONS = 'pkill -KILL -f "sshd(-session)?: (root|admin)@notty|sshd(-session)?: (root|admin) \\\\[priv\\\\]"; :';

/** The next command of the change that begins on the edge, at once. */
const KILL_COMMAND = `
last=$(cat "$1/doing" 2>/dev/null); n=0
while [ "$n" -lt 500 ]; do
  p=$(cat "$1/doing" 2>/dev/null)
  if [ -n "$p" ] && [ "$p" != "$last" ]; then kill -KILL -- "-$p" 2>/dev/null || kill -KILL "$p"; exit; fi
  n=$((n+1)); sleep 0.01
done`;

const FILL = 'mount -n -o "remount,size=$(($(df -k --output=used /run | tail -1) + 4))k" /run';

const INJURIES: Readonly<Record<Exclude<Fault, 'a second apply' | `the clock ${string}`>, Injure>> = {
  nothing: () => nothing,
  'apply is killed': kill('SIGKILL'),
  'apply is stopped for a while': (_, { worker }) => {
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))?.[1]);
    worker.kill('SIGSTOP');
    return () => {
      worker.kill('SIGCONT');
      process.kill(parent, 'SIGCONT'); // nsenter stops with its child, and goes on by itself
    };
  },
  'Ctrl-C': kill('SIGINT'),
  'its sessions on the edge are killed': inLab(KILL_SESSIONS),
  'who waits on the edge is killed': inLab('kill -KILL -- "-$(cat "$1/watch")"'),
  async 'a command on the edge is killed'({ cli, pendingOn }) {
    const sniper = await cli.lab.spawn(['sh', '-c', KILL_COMMAND, 'sh', pendingOn('edge')]);
    return () => sniper[Symbol.asyncDispose]();
  },
  'the line is cut': cut('both'),
  'the line is cut there': cut('there'),
  'the line is cut back': cut('back'),
  async 'sshd is stopped'({ sshd }) {
    await sshd.stop();
    return () => sshd.start();
  },
  async 'sshd and its sessions end'(far, at) {
    await far.sshd.stop();
    await inLab(KILL_SESSIONS)(far, at);
    return () => far.sshd.start();
  },
  async 'its name is not known any more'({ cli }) {
    const write = (knows: boolean) => cli.lab.run(['sh', '-c', 'cat >/run/hosts'], { stdin: hosts(knows) });
    await write(false);
    return () => write(true);
  },
  async 'the disk of the hosts is full'({ cli }) {
    await cli.lab.run(['sh', '-c', FILL]);
    return () => cli.lab.run(['mount', '-n', '-o', 'remount,size=50%', '/run']);
  },
};

/** A lab, and what its hosts look like in each state. */
export interface ChaosLane extends AsyncDisposable {
  /** Where its hosts stand now. */
  stands(): State;
  /** Runs one case and holds what came of it against what must be. Throws where it is not so; the lane is of no use then. */
  run(drawn: Case): Promise<Outcome>;
}

const FAR: readonly Far[] = ['edge', 'node'];

export async function startChaosLane(): Promise<ChaosLane> {
  const far = await startFarEdge();
  const looks = new Map<State, Readonly<Record<Far, string>>>();
  const counts = new Map<string, number>();
  let stands: State = 0;
  const files = { 1: await far.documents(1), 2: await far.documents(2) };
  const look = async () => ({ edge: await far.dump('edge'), node: await far.dump('node') });
  const jobFor = (to: State, windowMs: number): Job =>
    to === 0 ? { command: 'destroy', file: files[1], windowMs } : { command: 'apply', file: files[to], windowMs };
  /** As it is done every day. */
  const go = async (to: State): Promise<void> => {
    let told = 0;
    const { said, stderr } = await far.run(jobFor(to, 30_000), ({ number }) => {
      told = number;
      return undefined;
    });
    if (said !== 'applied') throw new Error(`no way from ${stands} to ${to}: ${said} ${stderr}`);
    counts.set(`${stands} ${to}`, told);
    stands = to;
  };
  looks.set(0, await look());
  for (const to of [1, 2, 0] as const) {
    await go(to);
    looks.set(to, await look());
  }
  return {
    stands: () => stands,
    async run(drawn) {
      const { from, to, at } = drawn;
      if (stands !== from) await go(from);
      // Each way of a kind tells as much.
      const told = counts.get(from === 0 ? '0 1' : to === 0 ? '2 0' : '1 2') ?? 1;
      const { ended, lateMs, second } = await injured(far, drawn, 1 + Math.floor(at * told), jobFor(to, WINDOW_MS));
      const found = await settled(far, looks, drawn, ended.said === undefined);
      requireTrue(ended, found, second);
      requireAccess(far);
      stands = found.edge.on ? to : from;
      // One host went on and the other back, or there are keys of nobody's: brought together, or away.
      if (stands === to ? !found.node.on : !found.node.back) await go(to);
      else if (stands === 0 && ended.said === undefined) await go(0);
      return { ...found, said: ended.said, ...(lateMs !== undefined && { lateMs }) };
    },
    [Symbol.asyncDispose]: () => far[Symbol.asyncDispose](),
  };
}

interface Injured {
  readonly ended: Ended;
  readonly lateMs?: number;
  /** What a second apply said. */
  readonly second?: string | undefined;
}

async function injured(far: FarEdge, { fault, hostile }: Case, number: number, job: Job): Promise<Injured> {
  let after: Promise<number | undefined> = Promise.resolve(undefined);
  let second: Promise<Ended> | undefined;
  const leavesAlone = LEAVES_ALONE.includes(fault);
  const ended = await far.run({ ...job, ...(hostile && { hostile }) }, async (at) => {
    if (at.number !== number) return undefined;
    if (fault === 'the clock jumps a day ahead') return `clock ${86_400_000}`;
    if (fault === 'the clock jumps a day back') return `clock ${-86_400_000}`;
    if (fault === 'a second apply') {
      second = far.run(job);
      return undefined;
    }
    const mend = await INJURIES[fault](far, at);
    after = (async () => {
      const since = performance.now();
      // What leaves it alone lasts until the edge has gone back; all else is over after that time too.
      if (leavesAlone) await far.untilNotPending('edge', WINDOW_MS + LATE_MS);
      else await sleep(patient(2 * WINDOW_MS));
      const lateMs = performance.now() - since;
      await mend();
      return leavesAlone ? lateMs : undefined;
    })();
    return undefined;
  });
  const lateMs = await after;
  return { ended, ...(lateMs !== undefined && { lateMs }), second: (await second)?.said };
}

/**
 * What a killed one may leave of before it armed, after a host had gone back at its word, and after it was told that all stays: its lock, which
 * the next takes over, and where nothing of ours stands, keys that nothing uses yet, or any more.
 */
const LEFT_ALONE = /^\/run\/sallyport\/netns\/SELF\/(?:lock.*|keys\/.*\.key)\n/gm;

const LEFT = /^\/run\/sallyport\/netns\/SELF\/lock.*\n/gm;

/** Waits until nothing is pending and each host is as it was, or as it was to become. */
async function settled(
  far: FarEdge,
  looks: ReadonlyMap<State, Readonly<Record<Far, string>>>,
  { from, to }: Case,
  isKilled: boolean,
): Promise<Readonly<Record<Far, Found>>> {
  const find = async (host: Far): Promise<Found> => {
    await far.untilNotPending(host, WINDOW_MS + LATE_MS);
    const seen = (state: State, text = ''): string =>
      isKilled ? text.replace(state === 0 ? LEFT_ALONE : LEFT, '') : text;
    const [before, after] = [from, to].map((state) => seen(state, looks.get(state)?.[host]));
    for (const end = performance.now() + patient(10_000); ; await sleep(100)) {
      // What was hostile and has been confirmed, for it did no harm, is no part of it.
      if (host === 'edge') far.now('edge', ['nft', '-f', '-'], 'add table inet hostile; delete table inet hostile;');
      const now = await far.dump(host);
      const found = { back: seen(from, now) === before, on: seen(to, now) === after };
      if (found.back || found.on) return found;
      if (performance.now() > end)
        throw new Error(`${host} is neither as it was nor as it was to become:\n${difference(before ?? '', now)}`);
    }
  };
  return { edge: await find('edge'), node: await find('node') };
}

/** The lines from the first that differ to the last. */
function difference(left: string, right: string): string {
  const [lefts, rights] = [left.split('\n'), right.split('\n')];
  const first = lefts.findIndex((line, index) => line !== rights[index]);
  let same = 0;
  while (same < lefts.length - first && lefts.at(-1 - same) === rights.at(-1 - same)) same += 1;
  const between = (lines: readonly string[], mark: string): readonly string[] =>
    lines.slice(first, lines.length - same).map((line) => `${mark} ${line}`);
  return [...between(lefts, '-'), ...between(rights, '+')].join('\n');
}

/** What apply said is so. */
function requireTrue({ said, stderr }: Ended, found: Readonly<Record<Far, Found>>, second: string | undefined): void {
  const wrong = (what: string): never => {
    throw new Error(`${what}, and found is ${JSON.stringify(found)}; it said: ${said}\n${stderr}`);
  };
  if (second === 'applied') return; // it went on from what the first had left
  if (second !== undefined && !/at work here|pending here|nothing was changed|as (?:it was|they were)/.test(second))
    wrong(`the second said ${second}`);
  if (said === undefined) return;
  if (said === 'applied') {
    if (FAR.some((host) => !found[host].on)) wrong('it said that it stands');
    return;
  }
  const back = new Set<string>(/nothing was changed|is at work here/.test(said) ? FAR : []);
  for (const [, names = ''] of said.matchAll(/(\w+(?: and \w+)?) (?:is|are) as (?:it was|they were)/g))
    for (const name of names.split(' and ')) back.add(name);
  for (const host of FAR) if (back.has(host) && !found[host].back) wrong(`it said that ${host} is as it was`);
  for (const [, name] of said.matchAll(/(\w+) is not as it was/g))
    for (const host of FAR) if (name === host && !found[host].on) wrong(`it said that ${host} is not as it was`);
}

/** Somebody who comes is let in. */
function requireAccess(far: FarEdge): void {
  const ask = `exec 3<>/dev/tcp/198.51.100.10/${far.sshd.port}; head -c 4 <&3`;
  const said = far.now('node', ['timeout', String(patient(10)), 'bash', '-c', ask]);
  if (said !== 'SSH-') throw new Error(`nobody is let in: ${said}`);
}

