import { printProblem } from '../../resources/index.ts';
import { localTransport } from '../../transport/index.ts';
import type { QuickFile } from '../../wireguard/index.ts';
import { DONE, InputProblems } from '../exit.ts';
import type { Output } from '../output.ts';
import { type Log, openLog } from '../run/log.ts';
import { type AnswerFlags, answerHealth } from '../wireguard/answer.ts';
import { linkOfFile, readConf } from '../wireguard/conf.ts';
import { becomeChild } from '../wireguard/first-process.ts';
import { followFile } from '../wireguard/follow-file.ts';
import { leftOut, runHooks } from '../wireguard/hooks.ts';
import { setServers } from '../wireguard/resolv.ts';
import { saveConf } from '../wireguard/save.ts';
import { readHealthAddress } from '../wireguard/serve.ts';
import {
  ForeignLink,
  lowerPod,
  needNetAdmin,
  type PodContext,
  raisePod,
  type StandingPod,
} from '../wireguard/tunnel.ts';
import { untilTold } from '../wireguard/until-told.ts';

export interface WireguardRunFlags extends AnswerFlags {
  readonly config: string;
  readonly healthListen?: readonly string[];
  readonly masquerade?: boolean;
  readonly allowHooks?: boolean;
}

/** All is looked at again, and names of silent peers are asked for again. Milliseconds. */
const AGAIN_MS = 30_000;

/** The tunnel of a wg-quick file in this network namespace, until SIGTERM or Ctrl-C, which take all of it back. */
export async function wireguardRun(output: Output, flags: WireguardRunFlags): Promise<number> {
  const link = linkOfFile(flags.config);
  const addresses = (flags.healthListen ?? []).map(readHealthAddress);
  let file = readConf(flags.config);
  needNetAdmin();
  becomeChild();
  const log = openLog(flags.log, output.say, Date.now);
  using told = untilTold();
  const { signal, stopped, stop } = told;
  const transport = localTransport('pod');
  const context: PodContext = { transport, signal, say: (level, message) => log(level, 'tunnel', message) };
  const options = { path: flags.config, link, masquerade: flags.masquerade === true };
  let standing: StandingPod | undefined;
  let isForeign = false;
  try {
    const listenPort = () => file.interface.listenPort;
    using answers = await answerHealth(link, addresses, flags, { transport, log, signal, listenPort });
    const { watch: health } = answers;
    standing = await begin(file, { options, context, log, allowHooks: flags.allowHooks === true });
    await health.look();
    const again = oneByOne(
      async (isNew: boolean) => {
        const next = isNew ? readAgain(flags.config, log) : file;
        if (next === undefined) return;
        standing = await raisePod(next, options, context, standing);
        file = next;
        if (isNew) tell(setServers(file.interface), log);
        if (standing.changes.length > 0)
          log('info', isNew ? 'documents' : 'repaired', isNew ? 'the changed file is in force' : 'put back', {
            changes: standing.changes,
          });
        await health.look();
      },
      (error) => log('error', 'failed', messageOf(error)),
    );
    followFile(flags.config, signal, () => void again(true));
    process.on('SIGHUP', () => void again(true));
    const timer = setInterval(() => void again(false), AGAIN_MS);
    await stopped;
    clearInterval(timer);
    await again.ended();
  } catch (error) {
    isForeign = error instanceof ForeignLink;
    // What was begun is taken back, too; that it was stopped is no failure.
    if (!signal.aborted) throw error;
  } finally {
    stop();
    if (!isForeign) await end(file, { link, path: flags.config, context, log, allowHooks: flags.allowHooks === true });
  }
  log('info', 'stopped', `${link} is gone`);
  return DONE;
}

interface Beginning {
  readonly options: { readonly path: string; readonly link: string; readonly masquerade: boolean };
  readonly context: PodContext;
  readonly log: Log;
  readonly allowHooks: boolean;
}

async function begin(file: QuickFile, { options, context, log, allowHooks }: Beginning): Promise<StandingPod> {
  const { transport, signal } = context;
  if (!allowHooks) for (const each of leftOut(file)) log('warn', 'tunnel', each);
  if (allowHooks) await runHooks(file, 'PreUp', options.link, transport, signal);
  const standing = await raisePod(file, options, context);
  for (const each of standing.plan.notes) log('warn', 'tunnel', each);
  tell(setServers(file.interface), log);
  if (allowHooks) await runHooks(file, 'PostUp', options.link, transport, signal);
  log('info', 'started', `${options.link} is up`, { changes: standing.changes });
  return standing;
}

interface Ending {
  readonly link: string;
  readonly path: string;
  readonly context: PodContext;
  readonly log: Log;
  readonly allowHooks: boolean;
}

/** Each step of it, though another fails. */
async function end(file: QuickFile, { link, path, context, log, allowHooks }: Ending): Promise<void> {
  const { transport, say } = context;
  const step = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((error: unknown) => log('error', 'failed', messageOf(error)));
  };
  if (allowHooks) await step(() => runHooks(file, 'PreDown', link, transport));
  if (file.interface.saveConfig) await step(async () => tell(await saveConf(path, file, link, transport), log));
  setServers({ dns: [], searchDomains: [] });
  await step(() => lowerPod(link, { transport, say }));
  if (allowHooks) await step(() => runHooks(file, 'PostDown', link, transport));
}

/** Undefined where what stands in the file now is broken, which is said: what was in force stays. */
function readAgain(path: string, log: Log): QuickFile | undefined {
  try {
    return readConf(path);
  } catch (error) {
    const lines = error instanceof InputProblems ? error.problems.map(printProblem) : [messageOf(error)];
    log('error', 'refused', 'the changed file is not taken up', { changes: lines });
    return undefined;
  }
}

/** Work that is never done twice at a time; what is asked meanwhile is done after it, once. */
function oneByOne<T>(work: (what: T) => Promise<void>, onError: (error: unknown) => void) {
  let running: Promise<void> = Promise.resolve();
  const ask = (what: T): Promise<void> => {
    running = running.then(() => work(what)).catch(onError);
    return running;
  };
  return Object.assign(ask, { ended: () => running });
}

function tell(why: string | undefined, log: Log): void {
  if (why !== undefined) log('warn', 'tunnel', why);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
