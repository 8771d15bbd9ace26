import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Traffic } from './agent.ts';
import type { LabHost } from './lab.ts';
import { needTools } from './tools.ts';

export interface NginxOptions {
  /** 8080 unless given. */
  readonly port?: number;
  /** The addresses it listens on: `0.0.0.0` and `[::]` unless given. */
  readonly listen?: readonly string[];
}

/** A running nginx. Its page says `you are ADDRESS`. */
export interface Nginx extends AsyncDisposable {
  readonly port: number;
  /** The client's address of each request so far, from its access log. */
  clients(): Promise<readonly string[]>;
}

const readyWithinMs = 5_000;

/** Starts nginx in the foreground, its files in the lab's /run, and returns when it accepts a connection. */
export async function startNginx(
  host: LabHost,
  holder: number,
  traffic: Traffic,
  options: NginxOptions = {},
): Promise<Nginx> {
  needTools(['nginx']);
  const port = options.port ?? 8080;
  const listen = options.listen ?? ['0.0.0.0', '[::]'];
  const folder = `/run/nginx-${host.name}-${port}`;
  // Without a master there is one process and no change of user, which a user namespace could not do.
  const configuration = `daemon off; master_process off; user root root; pid ${folder}/pid; error_log ${folder}/error;
events { worker_connections 1024; }
http {
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ')}
  log_format client '$remote_addr'; access_log ${folder}/access client; default_type text/plain;
  server { ${listen.map((address) => `listen ${address}:${port};`).join(' ')} location / { return 200 "you are $remote_addr\\n"; } }
}
`;
  await host.run(['mkdir', '-p', folder]);
  await host.run(['tee', `${folder}/n.conf`], { stdin: configuration });
  const program = await host.spawn(['nginx', '-p', folder, '-e', `${folder}/error`, '-c', `${folder}/n.conf`]);
  let stderr = '';
  program.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  program.stdout.resume();
  let status: number | undefined;
  void program.exited.then((ended) => {
    status = ended;
  });
  const [first = '0.0.0.0'] = listen;
  const to = first === '0.0.0.0' ? '127.0.0.1' : first === '[::]' ? '::1' : first.replace(/^\[|\]$/g, '');
  for (const deadline = Date.now() + readyWithinMs; ; await sleep(10)) {
    if (status !== undefined) throw new Error(`${host.name}: nginx ended with status ${status}: ${stderr.trim()}`);
    if ((await traffic.connect({ protocol: 'tcp', to, port, answer: false })).ok) break;
    if (Date.now() > deadline)
      throw new Error(`${host.name}: nginx does not answer on ${to}:${port}: ${stderr.trim()}`);
  }
  return {
    port,
    async clients() {
      const log = await readFile(`/proc/${holder}/root${folder}/access`, 'utf8');
      return log.split('\n').filter((line) => line !== '');
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
