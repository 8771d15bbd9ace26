/** The slim edge over ssh: the edge behind a real sshd, the command line on the node, and what goes wrong between them and on the edge. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Progress } from '../../apply/index.ts';
import { labEntry, patient, type Runner, type RunningCommand, type Sshd, startSshd } from '../../lab/index.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './cli-lab.ts';
import type { Job, Told } from './far-worker.ts';
import { SSH_PORT } from './hostile.ts';

export type Far = 'edge' | 'node';

export const EDGE = '198.51.100.10';
const NAME = 'edge.example.test';
/** Half of the worker's work would be to read our TypeScript again. */
const compiled = fileURLToPath(new URL('../../../node_modules/.cache/far-worker', import.meta.url));
const worker = fileURLToPath(new URL('./far-worker.ts', import.meta.url));

/** A worker that has told something, and waits for a word. */
export interface At {
  readonly progress: Progress;
  /** Which of them that is, from 1. */
  readonly number: number;
  readonly worker: RunningCommand;
}

export interface Ended {
  /** `applied`, or the error; undefined of one that was killed. */
  readonly said: string | undefined;
  readonly stderr: string;
}

export interface FarEdge extends AsyncDisposable {
  readonly cli: CliLab;
  readonly sshd: Sshd;
  /** A file of documents that forward these many ports; `extra`: a line of the forward's beside. */
  documents(ports: number, extra?: string): Promise<string>;
  /** Runs a job to its end; of each thing that it tells it waits for what `onProgress` gives: a word for it, if any. */
  run(job: Job, onProgress?: (at: At) => Promise<string | undefined> | string | undefined): Promise<Ended>;
  /** As canonical text, without what chance gives. */
  dump(host: Far): Promise<string>;
  /** Where what is pending on a host lies, as the lab sees it. */
  pendingOn(host: Far): string;
  /** Whether a change is pending there, as its files say. */
  isPending(host: Far): boolean;
  /** Waits until none is; gives how long that took. Throws after `withinMs`, patient. */
  untilNotPending(host: Far, withinMs: number): Promise<number>;
  /** What is done to a host at once, while nothing of ours goes on. Gives what it says. */
  now(host: string, argv: readonly string[], stdin?: string): string;
  /** The line between them loses what goes to the edge, what comes from it, or both. */
  cut(ways: 'both' | 'there' | 'back'): void;
  mend(): void;
}

export interface FarOptions {
  /** Before sshd starts. */
  readonly prepare?: (cli: CliLab) => Promise<unknown>;
  /** Where sshd runs: the edge unless given. */
  readonly wrap?: (runner: Runner) => Runner;
  /** The login, of one that is not root; and beside ssh. */
  readonly login?: { readonly user: string; readonly become: 'sudo' };
}

export async function startFarEdge({ prepare, wrap = (runner) => runner, login }: FarOptions = {}): Promise<FarEdge> {
  const cli = await startCliLab();
  const { lab } = cli;
  await lab.run(['sh', '-ec', 'cat >/run/hosts; mount -n --bind /run/hosts /etc/hosts'], { stdin: hosts(true) });
  await prepare?.(cli);
  const sshd = await startSshd(wrap(lab.host('edge')), [`ListenAddress ${EDGE}`], SSH_PORT);
  const stat = await lab.run(['stat', '-L', '-c', '%i', '/run/netns/edge', '/run/netns/node']);
  const [edgeInode, nodeInode] = stat.stdout.split('\n');
  const pendingOn = (host: Far): string =>
    `/run/sallyport/netns/${host === 'edge' ? edgeInode : nodeInode}/pending`;
  const now: FarEdge['now'] = (host, argv, stdin = '') => {
    const [program = '', ...rest] = [...labEntry(lab), 'nsenter', `--net=/run/netns/${host}`, '--', ...argv];
    return execFileSync(program, rest, { input: stdin, encoding: 'utf8' });
  };
  const isPending = (host: Far): boolean => existsSync(`/proc/${lab.pid}/root${pendingOn(host)}`);
  return {
    ...{ cli, sshd, now, pendingOn, isPending },
    documents(ports, extra = '') {
      const { identityFile, hostKey, port } = sshd;
      const ssh = { address: NAME, port, identityFile, hostKey, ...(login && { user: login.user }) };
      const become = login === undefined ? '' : 'become: sudo, ';
      const list = Array.from(
        { length: ports },
        (_, index) => `{ protocol: TCP, port: ${80 + index}, targetPort: 8080 }`,
      );
      const text = slimEdgeDocuments({ ports: list, extra })
        .replace('{ netns: { name: edge } }', `{ ${become}ssh: ${JSON.stringify(ssh)} }`)
        .replace('{ netns: { name: node } }', '{ local: {} }');
      return cli.documents(`${ports}${extra === '' ? '' : '-more'}.yaml`, text);
    },
    async run(job, onProgress = () => undefined) {
      const argv = [process.execPath, worker, JSON.stringify(job)];
      await using running = await lab.host('node').spawn(argv, { env: { NODE_COMPILE_CACHE: compiled } });
      let [said, stderr, number]: [string | undefined, string, number] = [undefined, '', 0];
      running.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString('utf8');
      });
      for await (const line of createInterface({ input: running.stdout })) {
        const told: Told = JSON.parse(line);
        if ('end' in told) said = told.end;
        else number += 1;
        const word = 'end' in told ? '' : await onProgress({ progress: told.progress, number, worker: running });
        running.stdin.write(`${word ?? ''}\n`);
      }
      await running.exited;
      return { said, stderr };
    },
    dump: async (host) => withoutChance(await lab.dump(host)),
    async untilNotPending(host, withinMs) {
      const since = performance.now();
      for (; isPending(host); await sleep(10))
        if (performance.now() - since > patient(withinMs))
          throw new Error(`${host}: still pending after ${withinMs} ms`);
      return performance.now() - since;
    },
    cut(ways) {
      const there = `tcp dport ${SSH_PORT} drop`;
      const back = `tcp sport ${SSH_PORT} drop`;
      const rules = ways === 'both' ? `${there}; ${back}` : ways === 'there' ? there : back;
      const chain = `chain c { type filter hook forward priority -300; ${rules}; }`;
      now('internet', ['nft', '-f', '-'], `table inet cut { ${chain}; }`);
    },
    mend() {
      now('internet', ['nft', '-f', '-'], 'add table inet cut; delete table inet cut;');
    },
    async [Symbol.asyncDispose]() {
      await sshd[Symbol.asyncDispose]();
      await cli[Symbol.asyncDispose]();
    },
  };
}

/** What the lab reads as /etc/hosts; sudo asks for this machine. */
export const hosts = (knowsEdge: boolean): string => `127.0.0.1 localhost ${hostname()}\n${knowsEdge ? `${EDGE} ${NAME}\n` : ''}`;

/**
 * The kernel gives a link without an address of its own (a tun) a link-local one by chance, and another when it is made again; our own
 * clients of ssh stand on the node, and on the edge who is logged in.
 */
const withoutChance = (dump: string): string =>
  dump
    .split('\n')
    .filter((line) => !/^sshd?(-session|-auth)?$/.test(line) && !/"dst":"fe80::[0-9a-f:]{15,}","dev":"sp-/.test(line))
    .map((line) => (line.includes('sp-') ? line.replace(/fe80::[0-9a-f:]{15,}|stable_secret = .*/g, 'CHANCE') : line))
    .join('\n')
    .replaceAll(/\n{2,}/g, '\n\n');
