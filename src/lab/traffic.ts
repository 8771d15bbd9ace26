/**
 * A program of its own: servers and clients that record what they saw. It runs inside a host of a lab, takes one JSON
 * request a line on stdin and answers each with one JSON line; it ends with its stdin.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, Socket } from 'node:net';
import { createInterface } from 'node:readline';

export type Protocol = 'tcp' | 'udp';
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ServeOptions {
  readonly protocol: Protocol;
  readonly port: number;
  /** The wildcard address unless given: of both families, or of `family` alone. */
  readonly address?: string;
  readonly family?: 'IPv4' | 'IPv6';
}

/** What a server saw of a connection or a datagram, and answers. */
export interface Seen {
  readonly protocol: Protocol;
  readonly client: Endpoint;
  /** Where it came in; of a datagram the address is not known, and is the one the socket is bound to. */
  readonly local: Endpoint;
  readonly payload: string;
}

export interface ConnectOptions {
  readonly protocol: Protocol;
  /** An address; never a name. */
  readonly to: string;
  readonly port: number;
  readonly sourcePort?: number;
  readonly sourceAddress?: string;
  /** 2 s unless given. */
  readonly timeoutMs?: number;
  /** One line; `hello` unless given. */
  readonly payload?: string;
  /** false: an established TCP connection is enough, for a server that does not speak first or like ours. */
  readonly answer?: boolean;
}

/** `error` is a code of the system (ECONNREFUSED), or `timeout`, or `closed` for an end before the answer. */
export type ConnectResult =
  | { readonly ok: true; readonly saw?: Seen; readonly local: Endpoint; readonly tookMs: number }
  | { readonly ok: false; readonly error: string };

export interface FlowsOptions {
  readonly protocol: Protocol;
  readonly to: string;
  readonly port: number;
  readonly count: number;
  /** Between two echoes of one flow; 200 ms unless given. */
  readonly intervalMs?: number;
  /** A flow whose echo takes longer is lost; 2 s unless given. */
  readonly timeoutMs?: number;
}

export interface FlowsReport {
  readonly open: number;
  readonly lost: number;
  readonly echoes: number;
  /** How often each reason ended a flow. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface RepeatOptions extends ConnectOptions {
  /** This many at a time; 1 unless given. */
  readonly parallel?: number;
  /** From the end of one to the start of the next; 5 ms unless given. */
  readonly pauseMs?: number;
}

export interface RepeatReport {
  readonly succeeded: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
}

export type Request =
  | { readonly does: 'serve'; readonly options: ServeOptions }
  | { readonly does: 'connect'; readonly options: ConnectOptions }
  | { readonly does: 'flows'; readonly options: FlowsOptions }
  | { readonly does: 'repeat'; readonly options: RepeatOptions }
  /** What an activity (serve, flows, repeat) has seen so far. */
  | { readonly does: 'report'; readonly activity: number }
  /** Ends an activity and answers its last report. */
  | { readonly does: 'stop'; readonly activity: number };

interface Activity {
  readonly report: () => unknown;
  readonly stop: () => Promise<void>;
}

const activities = new Map<number, Activity>();
let lastActivity = 0;

function keep(activity: Activity): number {
  lastActivity += 1;
  activities.set(lastActivity, activity);
  return lastActivity;
}

async function answer(request: Request): Promise<unknown> {
  switch (request.does) {
    case 'serve':
      return request.options.protocol === 'tcp' ? serveTcp(request.options) : serveUdp(request.options);
    case 'connect':
      return request.options.protocol === 'tcp' ? connectTcp(request.options) : connectUdp(request.options);
    case 'flows':
      return holdFlows(request.options);
    case 'repeat':
      return repeat(request.options);
    case 'report':
      return activityOf(request.activity).report();
    case 'stop': {
      const activity = activityOf(request.activity);
      activities.delete(request.activity);
      await activity.stop();
      return activity.report();
    }
  }
}

function activityOf(id: number): Activity {
  const found = activities.get(id);
  if (found === undefined) throw new Error(`no activity ${id}`);
  return found;
}

/** IPv4 that came to a socket of both families. */
const plain = (address: string | undefined): string => (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
const endpoint = (address: string | undefined, port: number | undefined): Endpoint => ({
  address: plain(address),
  port: port ?? 0,
});
const codeOf = (error: Error): string => ('code' in error ? String(error.code) : error.message);

/** Not readline: it makes an error of the socket one of its own, which nobody hears. */
function eachLine(socket: Socket, take: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) take(line);
  });
}

async function serveTcp({ port, address, family }: ServeOptions): Promise<unknown> {
  const seen: Seen[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy()); // a client that resets: what it saw is recorded by now
    let first = true;
    eachLine(socket, (payload) => {
      const saw: Seen = {
        protocol: 'tcp',
        client: endpoint(socket.remoteAddress, socket.remotePort),
        local: endpoint(socket.localAddress, socket.localPort),
        payload,
      };
      if (first) seen.push(saw);
      first = false;
      if (!socket.destroyed) socket.write(`${JSON.stringify(saw)}\n`);
    });
  });
  const host = address ?? (family === 'IPv4' ? '0.0.0.0' : '::');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, ipv6Only: family === 'IPv6', backlog: 1024 }, resolve);
  });
  const bound = server.address();
  const stop = async (): Promise<void> => {
    for (const socket of open) socket.resetAndDestroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { activity: keep({ report: () => seen, stop }), port: typeof bound === 'object' ? bound?.port : port };
}

async function serveUdp({ port, address, family }: ServeOptions): Promise<unknown> {
  const seen: Seen[] = [];
  const type = family === 'IPv4' || (address !== undefined && !isIPv6(address)) ? 'udp4' : 'udp6';
  const socket = createSocket({ type, ipv6Only: family === 'IPv6' });
  await bindUdp(socket, port, address);
  const local = endpoint(socket.address().address, socket.address().port);
  socket.on('error', () => {}); // an ICMP error to an answer; the client tells
  socket.on('message', (message, from) => {
    const saw: Seen = {
      protocol: 'udp',
      client: endpoint(from.address, from.port),
      local,
      payload: message.toString().trimEnd(),
    };
    seen.push(saw);
    socket.send(JSON.stringify(saw), from.port, from.address);
  });
  const stop = (): Promise<void> => new Promise((resolve) => socket.close(resolve));
  return { activity: keep({ report: () => seen, stop }), port: local.port };
}

function bindUdp(socket: UdpSocket, port: number | undefined, address: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ ...(port === undefined ? {} : { port }), ...(address === undefined ? {} : { address }) }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

function dial(options: ConnectOptions): Socket {
  const socket = new Socket();
  socket.setNoDelay(true);
  socket.connect({
    host: options.to,
    port: options.port,
    ...(options.sourcePort === undefined ? {} : { localPort: options.sourcePort }),
    ...(options.sourceAddress === undefined ? {} : { localAddress: options.sourceAddress }),
  });
  return socket;
}

function connectTcp(options: ConnectOptions): Promise<ConnectResult> {
  const began = performance.now();
  const socket = dial(options);
  return new Promise((resolve) => {
    let local: Endpoint = endpoint(undefined, undefined);
    const done = (result: ConnectResult): void => {
      clearTimeout(timer);
      socket.resetAndDestroy(); // no TIME_WAIT: the same source port can be used again at once
      resolve(result);
    };
    const timer = setTimeout(() => done({ ok: false, error: 'timeout' }), options.timeoutMs ?? 2_000);
    socket.on('error', (error) => done({ ok: false, error: codeOf(error) }));
    socket.on('close', () => done({ ok: false, error: 'closed' }));
    socket.on('connect', () => {
      local = endpoint(socket.localAddress, socket.localPort);
      if (options.answer === false) done({ ok: true, local, tookMs: performance.now() - began });
      else socket.write(`${options.payload ?? 'hello'}\n`);
    });
    eachLine(socket, (line) => done({ ok: true, saw: JSON.parse(line), local, tookMs: performance.now() - began }));
  });
}

async function connectUdp(options: ConnectOptions): Promise<ConnectResult> {
  const began = performance.now();
  const socket = createSocket(isIPv6(options.to) ? 'udp6' : 'udp4');
  try {
    await bindUdp(socket, options.sourcePort, options.sourceAddress);
    // Connected, so that ICMP errors are told and an answer from another address than the one asked does not count.
    return await new Promise<ConnectResult>((resolve) => {
      const timer = setTimeout(() => resolve({ ok: false, error: 'timeout' }), options.timeoutMs ?? 2_000);
      socket.once('error', (error) => {
        clearTimeout(timer);
        resolve({ ok: false, error: codeOf(error) });
      });
      socket.once('message', (message) => {
        clearTimeout(timer);
        const local = endpoint(socket.address().address, socket.address().port);
        resolve({ ok: true, saw: JSON.parse(message.toString()), local, tookMs: performance.now() - began });
      });
      socket.connect(options.port, options.to, (error?: Error) => {
        if (error === undefined || error === null) socket.send(options.payload ?? 'hello');
      });
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { ok: false, error: codeOf(error) };
  } finally {
    socket.close();
  }
}

/** `count` flows that stay open, each with an echo every `intervalMs`. Answers once all have had their first echo. */
async function holdFlows(options: FlowsOptions): Promise<unknown> {
  const errors: Record<string, number> = {};
  const ends: (() => void)[] = [];
  let [open, lost, echoes] = [0, 0, 0];
  const start = (): Promise<void> =>
    new Promise((resolve) => {
      const flow = openFlow(options, heard, gone);
      let due: NodeJS.Timeout | undefined;
      let isOpen = true;
      let hasEcho = false;
      const late = (): NodeJS.Timeout => setTimeout(() => gone('timeout'), options.timeoutMs ?? 2_000);
      let limit = late();
      function heard(): void {
        if (!isOpen) return;
        clearTimeout(limit);
        echoes += 1;
        if (!hasEcho) open += 1;
        hasEcho = true;
        resolve();
        due = setTimeout(() => {
          limit = late();
          flow.send('echo');
        }, options.intervalMs ?? 200);
      }
      function gone(error: string): void {
        if (!isOpen) return;
        end();
        if (hasEcho) open -= 1;
        lost += 1;
        errors[error] = (errors[error] ?? 0) + 1;
        resolve();
      }
      function end(): void {
        isOpen = false;
        clearTimeout(limit);
        clearTimeout(due);
        flow.end();
      }
      ends.push(() => isOpen && end());
    });
  await Promise.all(Array.from({ length: options.count }, start));
  const report = (): FlowsReport => ({ open, lost, echoes, errors });
  const stop = async (): Promise<void> => {
    for (const end of ends) end();
  };
  return { activity: keep({ report, stop }) };
}

interface Flow {
  send(text: string): void;
  end(): void;
}

function openFlow(options: FlowsOptions, heard: () => void, gone: (error: string) => void): Flow {
  if (options.protocol === 'tcp') {
    const socket = dial(options);
    socket.on('connect', () => socket.write('hello\n'));
    socket.on('error', (error) => gone(codeOf(error)));
    socket.on('close', () => gone('closed'));
    eachLine(socket, heard);
    return { send: (text) => socket.write(`${text}\n`), end: () => socket.resetAndDestroy() };
  }
  const socket = createSocket(isIPv6(options.to) ? 'udp6' : 'udp4');
  socket.on('error', (error) => gone(codeOf(error)));
  socket.on('message', heard);
  socket.connect(options.port, options.to, (error?: Error) => {
    if (error === undefined || error === null) socket.send('hello');
  });
  return { send: (text) => socket.send(text), end: () => socket.close() };
}

/** Makes one new connection after another and counts. */
function repeat(options: RepeatOptions): unknown {
  const errors: Record<string, number> = {};
  let [succeeded, failed, stopped] = [0, 0, false];
  const loop = async (): Promise<void> => {
    while (!stopped) {
      const result = await (options.protocol === 'tcp' ? connectTcp(options) : connectUdp(options));
      if (result.ok) succeeded += 1;
      else {
        failed += 1;
        errors[result.error] = (errors[result.error] ?? 0) + 1;
      }
      await new Promise((resolve) => setTimeout(resolve, options.pauseMs ?? 5));
    }
  };
  const loops = Promise.all(Array.from({ length: options.parallel ?? 1 }, loop));
  const stop = async (): Promise<void> => {
    stopped = true;
    await loops;
  };
  const report = (): RepeatReport => ({ succeeded, failed, errors });
  return { activity: keep({ report, stop }) };
}

const say = (id: unknown, result: object): void => {
  process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);
};

const lines = createInterface(process.stdin);
lines.on('line', (line) => {
  const { id, request }: { readonly id: number; readonly request: Request } = JSON.parse(line);
  answer(request).then(
    (result) => say(id, { result }),
    (error: unknown) => say(id, { error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on('close', () => process.exit(0));
