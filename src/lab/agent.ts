import { existsSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Runner } from './command.ts';
import type {
  ConnectOptions,
  ConnectResult,
  FlowsOptions,
  FlowsReport,
  RepeatOptions,
  RepeatReport,
  Request,
  Seen,
  ServeOptions,
} from './traffic.ts';

/** Something that goes on in a host until it is stopped; `report` tells what it has seen so far. */
export interface Activity<Report> extends AsyncDisposable {
  report(): Promise<Report>;
  /** Ends it; what it saw in all. */
  stop(): Promise<Report>;
}

export interface Server extends Activity<readonly Seen[]> {
  readonly port: number;
}

/** The servers and clients of one host: one process, started at the first need. */
export interface Traffic {
  /** An echo server that records its clients; it listens when this returns. */
  serve(options: ServeOptions): Promise<Server>;
  connect(options: ConnectOptions): Promise<ConnectResult>;
  /** Flows that stay open with an echo now and then; all have had their first one, or are lost, when this returns. */
  holdFlows(options: FlowsOptions): Promise<Activity<FlowsReport>>;
  /** New connections one after another. */
  keepConnecting(options: RepeatOptions): Promise<Activity<RepeatReport>>;
}

/**
 * The file to start with `node FILE`: `traffic.ts` beside this one, or `traffic.js` beside the bundle. From the sources the built one
 * too, unless they are younger: node takes three times as long to start where it must take the types out first.
 */
export function trafficProgram(): string {
  const [source, bundled, built] = ['./traffic.ts', './traffic.js', '../../dist/traffic.js'].map((name) => {
    const path = fileURLToPath(new URL(name, import.meta.url));
    return existsSync(path) ? { path, written: statSync(path).mtimeMs } : undefined;
  });
  if (source !== undefined) return built !== undefined && built.written >= source.written ? built.path : source.path;
  if (bundled !== undefined) return bundled.path;
  throw new Error(`neither traffic.ts nor traffic.js stands beside ${fileURLToPath(import.meta.url)}`);
}

/** The traffic of the host that `runner` runs in. */
export function createTraffic(runner: Runner): Traffic {
  let agent: Promise<Agent> | undefined;
  const ask = async <T>(request: Request): Promise<T> => {
    agent ??= startAgent(runner);
    return (await agent)<T>(request);
  };
  const activity = <Report>(id: number): Activity<Report> => {
    let last: Promise<Report> | undefined;
    const stop = (): Promise<Report> => {
      last ??= ask<Report>({ does: 'stop', activity: id });
      return last;
    };
    return {
      report: () => last ?? ask<Report>({ does: 'report', activity: id }),
      stop,
      async [Symbol.asyncDispose]() {
        await stop();
      },
    };
  };
  return {
    async serve(options) {
      const { activity: id, port } = await ask<{ activity: number; port: number }>({ does: 'serve', options });
      return { ...activity<readonly Seen[]>(id), port };
    },
    connect: (options) => ask({ does: 'connect', options }),
    async holdFlows(options) {
      return activity((await ask<{ activity: number }>({ does: 'flows', options })).activity);
    },
    async keepConnecting(options) {
      return activity((await ask<{ activity: number }>({ does: 'repeat', options })).activity);
    },
  };
}

type Agent = <T>(request: Request) => Promise<T>;

async function startAgent(runner: Runner): Promise<Agent> {
  const program = await runner.spawn([process.execPath, trafficProgram()]);
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let stderr = '';
  program.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  createInterface(program.stdout).on('line', (line) => {
    const reply: { id: number; result?: unknown; error?: string } = JSON.parse(line);
    const asker = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.error === undefined) asker?.resolve(reply.result);
    else asker?.reject(new Error(reply.error));
  });
  let ended: Error | undefined;
  void program.exited.then((status) => {
    ended = new Error(`the traffic program ended: status ${status}: ${stderr}`);
    for (const { reject } of waiting.values()) reject(ended);
  });
  let lastId = 0;
  return <T>(request: Request) =>
    new Promise<T>((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      lastId += 1;
      // Both ends are one program of ours: what a request is answered with is written in traffic.ts.
      waiting.set(lastId, { resolve: (value) => resolve(value as T), reject });
      program.stdin.write(`${JSON.stringify({ id: lastId, request })}\n`);
    });
}
