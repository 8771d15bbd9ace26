/** Looks at a tunnel and answers how it fares, at all addresses that were asked for. */
import type { Transport } from '../../transport/index.ts';
import type { Log } from '../run/log.ts';
import { type HealthFlags, type Watch, watchTunnel } from './health.ts';
import { type HealthAddress, type HealthServer, serveHealth } from './serve.ts';

export interface AnswerFlags extends HealthFlags {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log: 'text' | 'json';
}

export interface AnswerContext {
  readonly transport: Transport;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The port that it should listen at, where that is known. */
  readonly listenPort?: () => number | undefined;
}

export interface Answers extends Disposable {
  readonly watch: Watch;
}

/** Answers until it is disposed of; a change is said. Throws where it cannot listen at one of them. */
export async function answerHealth(
  link: string,
  addresses: readonly HealthAddress[],
  flags: AnswerFlags,
  { transport, log, signal, listenPort }: AnswerContext,
): Promise<Answers> {
  const servers: HealthServer[] = [];
  const watch = watchTunnel(
    link,
    transport,
    { ...flags, ...(listenPort && { listenPort }) },
    signal,
    async (health) => {
      log(health.healthy ? 'info' : 'warn', 'health', health.reason);
      for (const each of servers)
        await each.follow(health.healthy).catch((error: Error) => log('error', 'failed', error.message));
    },
  );
  const close = (): void => {
    for (const each of servers) each.close();
  };
  const tls = { ...(flags.tlsCert && { cert: flags.tlsCert }), ...(flags.tlsKey && { key: flags.tlsKey }) };
  try {
    for (const each of addresses) servers.push(await serveHealth(each, watch.now, tls));
  } catch (error) {
    close();
    throw error;
  }
  return { watch, [Symbol.dispose]: close };
}
