/** A stream of numbered datagrams through a lab, and what of it was lost on the way there and on the way back. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Lab, RunningCommand } from '../../lab/index.ts';

const program = fileURLToPath(new URL('./stream.py', import.meta.url));

export interface StreamReport {
  readonly sent: number;
  readonly lostThere: number;
  readonly lostBack: number;
  readonly firstLost: readonly number[];
}

export interface Stream {
  stop(): Promise<StreamReport>;
}

/** `serve` is a host and its port, `to` where the client sends, `rate` datagrams a second. */
export async function startStream(
  lab: Lab,
  serve: { readonly host: string; readonly port: number },
  { from, to, port, rate }: { readonly from: string; readonly to: string; readonly port: number; readonly rate: number },
): Promise<Stream> {
  const server = await lab.host(serve.host).spawn(['python3', program, 'serve', String(serve.port)]);
  const said = linesOf(server);
  await said.next();
  const client = await lab.host(from).spawn(['python3', program, 'send', to, String(port), String(rate)]);
  const back = linesOf(client);
  return {
    async stop() {
      client.stdin.end();
      const { sent, heard: home, lost } = JSON.parse((await back.next()).value ?? '{}');
      server.stdin.end();
      const { heard: there } = JSON.parse((await said.next()).value ?? '{}');
      await Promise.all([client.exited, server.exited]);
      return { sent, lostThere: sent - there, lostBack: there - home, firstLost: lost };
    },
  };
}

function linesOf(command: RunningCommand): AsyncIterator<string> {
  command.stderr.resume();
  return createInterface(command.stdout)[Symbol.asyncIterator]();
}
