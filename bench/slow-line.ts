/**
 * A line that takes its time, for any number of connections: one process, so that what it costs stays small beside what is measured.
 * slow-line.ts HOST PORT OWN:MS...: what comes to 127.0.0.1:OWN goes on to HOST:PORT, MS later each way. Says "ready" once it listens.
 */
import { createConnection, createServer, type Socket } from 'node:net';

const [host = '', port = '', ...ways] = process.argv.slice(2);

/** In order, for the delay is the same for all; the end of `from` comes through too. */
const carry = (from: Socket, to: Socket, delayMs: number): void => {
  from.on('data', (chunk) => void setTimeout(() => to.write(chunk), delayMs));
  from.on('close', () => void setTimeout(() => to.destroy(), delayMs));
  from.on('error', () => {}); // close follows
};

const listening = ways.map((way) => {
  const [own, delayMs] = way.split(':').map(Number);
  if (own === undefined || delayMs === undefined) throw new Error(`${way} is no PORT:MS`);
  const server = createServer({ noDelay: true }, (near) => {
    const far = createConnection({ host, port: Number(port), noDelay: true });
    carry(near, far, delayMs);
    carry(far, near, delayMs);
  });
  return new Promise<void>((done) => server.listen(own, '127.0.0.1', 100, done));
});
await Promise.all(listening);
process.stdout.write('ready\n');
