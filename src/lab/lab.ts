import { readFileSync } from 'node:fs';
import { type Activity, createTraffic, type Server, type Traffic } from './agent.ts';
import { buildScript } from './build.ts';
import { type Capture, startCapture } from './capture.ts';
import { createRunner, type Runner, type RunningCommand } from './command.ts';
import { dumpScript, readDump } from './dump.ts';
import { entryOf, startHolder } from './holder.ts';
import { type Nginx, type NginxOptions, startNginx } from './nginx.ts';
import { needTools } from './tools.ts';
import type { Topology } from './topology.ts';
import type {
  ConnectOptions,
  ConnectResult,
  FlowsOptions,
  FlowsReport,
  RepeatOptions,
  RepeatReport,
  ServeOptions,
} from './traffic.ts';

export interface LabHost extends Runner {
  readonly name: string;
}

/** A network that runs. Its own `run` and `spawn` stand outside all hosts, where `ip netns list` names them. */
export interface Lab extends Runner, AsyncDisposable {
  /** The process that holds it all. */
  readonly pid: number;
  readonly topology: Topology;
  host(name: string): LabHost;
  /** All that "as it was" means on that host as canonical text, to be compared before and after. The lab's own programs are left out. */
  dump(host: string): Promise<string>;
  /** Records packets; it listens when this returns. `filter` as tcpdump takes it. */
  capture(host: string, device: string, filter?: string): Promise<Capture>;
  serve(host: string, options: ServeOptions): Promise<Server>;
  connect(host: string, options: ConnectOptions): Promise<ConnectResult>;
  holdFlows(host: string, options: FlowsOptions): Promise<Activity<FlowsReport>>;
  keepConnecting(host: string, options: RepeatOptions): Promise<Activity<RepeatReport>>;
  /** A real nginx; it answers when this returns. */
  nginx(host: string, options?: NginxOptions): Promise<Nginx>;
}

/** Starts the network in about 100 ms. All of it is gone with the disposal, or with the end of this process. */
export async function startLab(topology: Topology): Promise<Lab> {
  needTools(['nft']);
  const script = buildScript(topology);
  const holder = await startHolder();
  try {
    const lab = openLab(holder.pid, topology, async () => holder[Symbol.asyncDispose]());
    await lab.run(['sh', '-s'], { stdin: script });
    return lab;
  } catch (error) {
    await holder[Symbol.asyncDispose]();
    throw error;
  }
}

/** An argument vector that goes before a command of one's own: it then runs where the lab's own commands do, outside all hosts. */
export const labEntry = ({ pid }: Lab): readonly string[] => entryOf(pid);

/** The lab that the process `pid` holds; `dispose` is what its disposal does. */
export function openLab(pid: number, topology: Topology, dispose: () => Promise<void>): Lab {
  const own = new Set<number>();
  const hosts = new Map<string, LabHost>();
  const traffics = new Map<string, Traffic>();
  const outside = createRunner('lab', entryOf(pid));
  const remember = (process: RunningCommand): void => {
    const inner = innerPid(process.pid);
    own.add(inner);
    void process.exited.then(() => own.delete(inner));
  };
  const host = (name: string): LabHost => {
    const known = hosts.get(name);
    if (known !== undefined) return known;
    if (![...topology.hosts, ...topology.switches].some((spec) => spec.name === name)) {
      throw new Error(`${topology.name} has no host ${name}`);
    }
    const runner = createRunner(name, entryOf(pid, name));
    const made: LabHost = {
      name,
      run: runner.run,
      async spawn(argv, options) {
        const process = await runner.spawn(argv, options);
        remember(process);
        return process;
      },
    };
    hosts.set(name, made);
    return made;
  };
  const traffic = (name: string): Traffic => {
    const known = traffics.get(name);
    if (known !== undefined) return known;
    const made = createTraffic(host(name));
    traffics.set(name, made);
    return made;
  };
  return {
    ...outside,
    pid,
    topology,
    host,
    async dump(name) {
      const { stdout } = await outside.run(['sh', '-s'], { stdin: dumpScript(host(name).name) });
      return readDump(stdout, own);
    },
    capture: (name, device, filter) => startCapture(host(name), device, filter),
    serve: (name, options) => traffic(name).serve(options),
    connect: (name, options) => traffic(name).connect(options),
    holdFlows: (name, options) => traffic(name).holdFlows(options),
    keepConnecting: (name, options) => traffic(name).keepConnecting(options),
    nginx: (name, options) => startNginx(host(name), pid, traffic(name), options),
    [Symbol.asyncDispose]: dispose,
  };
}

/** The number a process has inside the lab: the last of NSpid (proc(5)). */
function innerPid(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const inner = /^NSpid:.*?(\d+)$/m.exec(status)?.[1];
  if (inner === undefined) throw new Error(`/proc/${pid}/status names no NSpid`);
  return Number(inner);
}
