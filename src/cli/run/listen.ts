/** /metrics, /healthz and /readyz over HTTP, where `run` was asked for them. */
import type { Server } from 'node:http';
import { type Endpoint, isAddress, printAddress, printEndpoint } from '../../net/index.ts';
import { CommandFailure } from '../exit.ts';
import { nodeHttp } from '../http.ts';
import { printMetrics, readinessOf, type Standing } from './metrics.ts';

/** Whoever asks and then says nothing is not waited for, in milliseconds. */
const PATIENCE_MS = 5_000;

/** Answers until it is closed. Throws a CommandFailure where it cannot listen there. */
export async function listen(at: Endpoint, standing: () => Standing): Promise<Server> {
  const server = nodeHttp().createServer(
    { requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS },
    (request, response) => {
      const answer = answerTo(request.method ?? '', request.url ?? '', standing);
      response.writeHead(answer.status, { 'content-type': answer.type, 'cache-control': 'no-store' }).end(answer.text);
    },
  );
  server.maxConnections = 64;
  const host = isAddress(at.host) ? printAddress(at.host) : at.host;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new CommandFailure(`--listen ${printEndpoint(at)}: ${error.message}`, { cause: error })),
    );
    server.listen(at.port, host, resolve);
  });
  // It must not keep the process alive.
  server.unref();
  return server;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const PLAIN = 'text/plain; charset=utf-8';

function answerTo(method: string, url: string, standing: () => Standing): Answer {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: PLAIN, text: 'only GET\n' };
  switch (url.split('?')[0]) {
    case '/metrics':
      return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', text: printMetrics(standing()) };
    case '/healthz':
      return { status: 200, type: PLAIN, text: 'ok\n' };
    case '/readyz': {
      const readiness = readinessOf(standing());
      return { status: readiness.ready ? 200 : 503, type: 'application/json', text: `${JSON.stringify(readiness)}\n` };
    }
    default:
      return { status: 404, type: PLAIN, text: '/metrics, /healthz, /readyz\n' };
  }
}
