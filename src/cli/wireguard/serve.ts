/** How a tunnel fares, for load balancers and kubelets: HTTP, HTTPS, or a TCP port that is closed while it is not well. */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type Endpoint, isAddress, parseEndpoint, printAddress, printEndpoint } from '../../net/index.ts';
import { CommandFailure, UsageError } from '../exit.ts';
import { nodeHttp, nodeHttps } from '../http.ts';
import { family } from '../run/metrics.ts';
import type { Watched } from './health.ts';

/** `tcp`: nobody can connect while the tunnel is not well, which is all that a checker of TCP sees. */
export interface HealthAddress {
  readonly scheme: 'tcp' | 'http' | 'https';
  readonly at: Endpoint;
}

/** `ADDR:PORT` and `tcp://ADDR:PORT` are the same. Throws a UsageError for what is no such address. */
export function readHealthAddress(text: string): HealthAddress {
  const [, scheme = 'tcp', rest = ''] = /^(?:(tcp|http|https):\/\/)?(.*)$/.exec(text) ?? [];
  const at = parseEndpoint(rest);
  if (at === undefined || !isScheme(scheme))
    throw new UsageError(`${text}: ADDR:PORT, as 0.0.0.0:9000 or [::]:9000, or http://ADDR:PORT, https://ADDR:PORT`);
  return { scheme, at };
}
const isScheme = (text: string): text is HealthAddress['scheme'] => ['tcp', 'http', 'https'].includes(text);

/** Whoever asks and then says nothing is not waited for, and a health check has no body. */
const PATIENCE_MS = 5_000;
const MOST_BYTES = 8 * 1024;
const MOST_CONNECTIONS = 128;
/** A loop that has not come round for so long hangs: the kubelet may as well begin anew. */
const STUCK_MS = 60_000;

export interface HealthServer {
  /** Opens and closes what is closed while the tunnel is not well. */
  follow(healthy: boolean): Promise<void>;
  close(): void;
}

/** Answers until it is closed. Throws a CommandFailure where it cannot listen there. */
export async function serveHealth(
  { scheme, at }: HealthAddress,
  watched: () => Watched,
  tls: { readonly cert?: string; readonly key?: string },
): Promise<HealthServer> {
  const options = {
    ...{ requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS, keepAliveTimeout: PATIENCE_MS },
    ...{ maxHeaderSize: MOST_BYTES, connectionsCheckingInterval: 1_000 },
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => answer(request, response, watched());
  const server: Server =
    scheme === 'https'
      ? nodeHttps().createServer({ ...options, ...pair(tls) }, onRequest)
      : nodeHttp().createServer(options, onRequest);
  server.maxConnections = MOST_CONNECTIONS;
  const open = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const refused = (error: Error): void =>
        reject(new CommandFailure(`${scheme}://${printEndpoint(at)}: ${error.message}`, { cause: error }));
      server.once('error', refused);
      server.listen(at.port, isAddress(at.host) ? printAddress(at.host) : at.host, () => {
        server.off('error', refused);
        resolve();
      });
    });
  // That it may listen there is known from the start.
  await open();
  const shut = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  const follow = async (healthy: boolean): Promise<void> => {
    if (scheme !== 'tcp' || healthy === server.listening) return;
    await (healthy ? open() : shut());
  };
  await follow(watched().health.healthy);
  return {
    follow,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function pair({ cert, key }: { readonly cert?: string; readonly key?: string }): {
  readonly cert: Buffer;
  readonly key: Buffer;
} {
  if (cert === undefined || key === undefined) throw new UsageError('https:// needs --tls-cert and --tls-key');
  try {
    return { cert: readFileSync(cert), key: readFileSync(key) };
  } catch (error) {
    throw new CommandFailure(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function answer(request: IncomingMessage, response: ServerResponse, watched: Watched): void {
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  const { status, type, text } = hasBody
    ? { status: 413, type: PLAIN, text: 'a health check has no body\n' }
    : answerTo(request.method ?? '', (request.url ?? '').split('?')[0] ?? '', watched);
  response.writeHead(status, {
    ...{ 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' },
    ...(hasBody && { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : text, () => {
    // What it goes on to send is not read.
    if (hasBody) request.socket.destroySoon();
  });
}

const PLAIN = 'text/plain; charset=utf-8';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Startup: it came up once. Liveness: this process goes round. Readiness, and any other path that is asked: the true state, by policy. */
function answerTo(method: string, path: string, watched: Watched): Answer {
  const { health, at, hasStarted } = watched;
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: PLAIN, text: 'only GET\n' };
  const json = (ok: boolean, value: object): Answer => ({
    ...{ status: ok ? 200 : 503, type: 'application/json', text: `${JSON.stringify(value)}\n` },
  });
  switch (path) {
    case '/metrics':
      return {
        status: 200,
        type: 'text/plain; version=0.0.4; charset=utf-8',
        text: printTunnelMetrics(watched, Date.now()),
      };
    case '/livez':
      return json(performance.now() - at < STUCK_MS, {
        secondsSinceLook: Math.round((performance.now() - at) / 1_000),
      });
    case '/startupz':
      return json(hasStarted, { started: hasStarted });
    case '/':
    case '/healthz':
    case '/readyz':
      return json(health.healthy, health);
    default:
      return { status: 404, type: PLAIN, text: '/readyz, /livez, /startupz, /metrics\n' };
  }
}

/** As Prometheus reads it; `now` in milliseconds since the epoch. */
function printTunnelMetrics({ health, device }: Watched, now: number): string {
  const peers = device?.peers ?? [];
  const each = (value: (peer: (typeof peers)[number]) => number | undefined) =>
    peers.flatMap((peer) => {
      const found = value(peer);
      return found === undefined ? [] : [[{ peer: String(peer.publicKey) }, found] as const];
    });
  return [
    family('sallyport_wireguard_healthy', 'gauge', 'Whether the tunnel is well, by the policy asked for.', [
      [{}, Number(health.healthy)],
    ]),
    family('sallyport_wireguard_health_cause', 'gauge', 'Why it is so.', [[{ cause: health.cause }, 1]]),
    family('sallyport_wireguard_peers', 'gauge', 'Peers of the tunnel.', [[{}, health.peers]]),
    family('sallyport_wireguard_peers_fresh', 'gauge', 'Peers with a handshake that is young enough.', [
      [{}, health.fresh],
    ]),
    family(
      'sallyport_wireguard_peer_handshake_age_seconds',
      'gauge',
      'Since the last handshake of the peer; absent where there was none.',
      each(({ latestHandshake }) =>
        latestHandshake === undefined ? undefined : Math.max(0, Math.round(now / 1_000) - latestHandshake),
      ),
    ),
    family(
      'sallyport_wireguard_peer_received_bytes_total',
      'counter',
      'Bytes that came from the peer.',
      each(({ receivedBytes }) => receivedBytes),
    ),
    family(
      'sallyport_wireguard_peer_sent_bytes_total',
      'counter',
      'Bytes that went to the peer.',
      each(({ sentBytes }) => sentBytes),
    ),
  ].join('');
}
