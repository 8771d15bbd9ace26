import { localTransport } from '../../transport/index.ts';
import { DONE, UsageError } from '../exit.ts';
import type { Output } from '../output.ts';
import { openLog } from '../run/log.ts';
import { type HealthFlags, watchTunnel } from '../wireguard/health.ts';
import { type HealthServer, readHealthAddress, serveHealth } from '../wireguard/serve.ts';

export interface WireguardHealthFlags extends HealthFlags {
  readonly listen: readonly string[];
  readonly link: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log: 'text' | 'json';
}

/** Tells how a tunnel fares that somebody else brought up, until SIGTERM or Ctrl-C. It changes nothing. */
export async function wireguardHealth(output: Output, flags: WireguardHealthFlags): Promise<number> {
  const addresses = flags.listen.map(readHealthAddress);
  if (addresses.length === 0) throw new UsageError('--listen says where');
  const log = openLog(flags.log, output.say, Date.now);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped'));
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const each of signals) process.on(each, onSignal);
  const { signal } = stop;
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  const servers: HealthServer[] = [];
  const health = watchTunnel(flags.link, localTransport('pod'), flags, signal, async ({ healthy, reason }) => {
    log(healthy ? 'info' : 'warn', 'health', reason);
    for (const each of servers)
      await each.follow(healthy).catch((error: Error) => log('error', 'failed', error.message));
  });
  const tls = { ...(flags.tlsCert && { cert: flags.tlsCert }), ...(flags.tlsKey && { key: flags.tlsKey }) };
  try {
    for (const each of addresses) servers.push(await serveHealth(each, health.now, tls));
    await health.look();
    await stopped;
  } finally {
    stop.abort();
    for (const each of servers) each.close();
    for (const each of signals) process.off(each, onSignal);
  }
  return DONE;
}
