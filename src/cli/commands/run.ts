import { DONE, UsageError } from '../exit.ts';
import type { Output } from '../output.ts';
import { watchDocuments } from '../run/documents.ts';
import { type DocumentFlags, documentsInForce } from '../run/documents-in-force.ts';
import { startKeeper } from '../run/keeper.ts';
import { openLog } from '../run/log.ts';

export interface RunFlags extends DocumentFlags {
  /** Milliseconds. */
  readonly every: number;
  readonly log: 'text' | 'json';
}

/** What is under way at the end may take so long; then it ends by itself. Milliseconds. */
const LAST_WORK_MS = 800;

/** Keeps the hosts as the documents say until SIGTERM or Ctrl-C, which leaves them as they stand. */
export async function run(output: Output, flags: RunFlags): Promise<number> {
  if (flags.file.includes('-')) throw new UsageError('run reads its documents again when they change: give files');
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
  });
  const documents = documentsInForce(flags, keeper, log, signal);
  log('info', 'started', `keeping what ${flags.file.join(', ')} say${flags.file.length === 1 ? 's' : ''}`);
  await documents.read();
  const watching = watchDocuments(flags.file, flags.every, documents.readAgain, signal);
  try {
    await Promise.race([failed, watching]);
  } finally {
    const late = new Promise((resolve) => setTimeout(resolve, LAST_WORK_MS));
    await Promise.race([keeper.ended(), late]);
    for (const each of signals) process.off(each, onSignal);
  }
  log('info', 'stopped', 'stopped; the hosts stay as they are');
  // Whatever is left of what was under way is not waited for.
  setTimeout(() => process.exit(), 0);
  return DONE;
}

/** The first documents cannot be taken up: the command ends with what was wrong. */
class StartFailure extends Error {
  constructor(cause: unknown) {
    super('the documents cannot be taken up', { cause });
    this.name = 'StartFailure';
  }
}
