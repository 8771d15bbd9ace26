import type { AimFor } from '../../apply/index.ts';
import type { TargetProbe } from '../../compile/index.ts';
import { type Endpoint, parseEndpoint } from '../../net/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { aimOfSet } from '../aims.ts';
import { DONE, UsageError } from '../exit.ts';
import { giveBack } from '../memory.ts';
import type { Output } from '../output.ts';
import { watchDocuments } from '../run/documents.ts';
import { type DocumentFlags, documentsInForce } from '../run/documents-in-force.ts';
import { startHealth } from '../run/health.ts';
import { type KeptHost, startKeeper } from '../run/keeper.ts';
import { listen } from '../run/listen.ts';
import { openLog } from '../run/log.ts';
import type { Standing } from '../run/metrics.ts';
import { partsOf } from '../run/parts.ts';
import type { AimedPart } from '../run/wanted.ts';

export interface RunFlags extends DocumentFlags {
  /** Milliseconds. */
  readonly every: number;
  readonly log: 'text' | 'json';
  /** Where metrics and readiness are asked. */
  readonly listen?: string;
}

/** What is under way at the end may take so long; then it ends by itself. Milliseconds. */
const LAST_WORK_MS = 800;

/** So long after something was thought over its garbage is given back; milliseconds. */
const QUIET_MS = 20_000;

/** Keeps the hosts as the documents say until SIGTERM or Ctrl-C, which leaves them as they stand. */
export async function run(output: Output, flags: RunFlags): Promise<number> {
  if (flags.file.includes('-')) throw new UsageError('run reads its documents again when they change: give files');
  const at = flags.listen === undefined ? undefined : readListen(flags.listen);
  const stop = new AbortController();
  const log = openLog(flags.log, output.say, Date.now);
  const onSignal = (): void => stop.abort(new Error('stopped'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const each of signals) process.on(each, onSignal);
  const { signal } = stop;
  const failed = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => signal.reason instanceof StartFailure && reject(signal.reason.cause));
  });
  const keeper = startKeeper({
    everyMs: flags.every,
    log,
    signal,
    onSeen: () => void documents.consider().catch((cause: unknown) => stop.abort(new StartFailure(cause))),
    onPlanned: () => {
      health.ask([...probes.values()].flat());
      quiet.refresh();
    },
  });
  const quiet = setTimeout(giveBack, QUIET_MS).unref();
  /** Of each part of the documents, of the last time that it was compiled. */
  let probes: ReadonlyMap<ResourceSet, readonly TargetProbe[]> = new Map();
  const health = startHealth({
    ...{ log, signal, transportOf: keeper.transportOf, onMove: keeper.moved },
    wasSilent: (probe) => wasSilent(keeper.hosts(), flags.set, probe),
  });
  const aim = (set: ResourceSet): readonly AimedPart[] => {
    const own = new Map<ResourceSet, readonly TargetProbe[]>();
    probes = own;
    return partsOf(set).map((part) => {
      const compiled = aimOfSet(part, flags.set, health.health);
      const aimFor: AimFor = (facts) => {
        const whole = compiled(facts);
        if (whole.problems.length === 0) own.set(part, whole.probes);
        return whole;
      };
      return { hosts: new Set(part.hosts.keys()), aimFor };
    });
  };
  const documents = documentsInForce(flags, { keeper, log, signal, aim });
  log('info', 'started', `keeping what ${flags.file.join(', ')} say${flags.file.length === 1 ? 's' : ''}`);
  const standing = (): Standing => ({
    ...{ hosts: keeper.hosts(), targets: health.targets(), refused: documents.refused(), now: performance.now() },
    hasDocuments: documents.set() !== undefined,
  });
  const server = at === undefined ? undefined : await listen(at, standing);
  await documents.read();
  const watching = watchDocuments(flags.file, flags.every, documents.readAgain, signal);
  try {
    await Promise.race([failed, watching]);
  } finally {
    const late = new Promise((resolve) => setTimeout(resolve, LAST_WORK_MS));
    await Promise.race([keeper.ended(), late]);
    server?.close();
    for (const each of signals) process.off(each, onSignal);
  }
  log('info', 'stopped', 'stopped; the hosts stay as they are');
  // Whatever is left of what was under way is not waited for.
  setTimeout(() => process.exit(), 0);
  return DONE;
}

function readListen(text: string): Endpoint {
  const at = parseEndpoint(text);
  if (at === undefined) throw new UsageError(`--listen "${text}" is not ADDRESS:PORT`);
  return at;
}

const wasSilent = (hosts: readonly KeptHost[], setName: string, { host, forward, id }: TargetProbe): boolean => {
  const record = hosts.find(({ name }) => name === host)?.facts?.record;
  return (
    record?.sets.get(setName)?.forwards.some(({ name, silent }) => name === forward && silent?.includes(id)) === true
  );
};

/** The first documents cannot be taken up: the command ends with what was wrong. */
class StartFailure extends Error {
  constructor(cause: unknown) {
    super('the documents cannot be taken up', { cause });
    this.name = 'StartFailure';
  }
}
