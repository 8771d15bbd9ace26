/** What a probe says of real servers, on a real kernel; with perl, and on a host that has none. */
import { describe, expect, test, vi } from 'vitest';
import type { TargetProbe } from '../../compile/index.ts';
import { type Namespace, patient, startNamespace } from '../../lab/index.ts';
import { parseAddress } from '../../net/index.ts';
import { localTransport } from '../../transport/index.ts';
import { NO_PROBER, type ProbeOutcome, probeCommand, readOutcome } from './probe-script.ts';

const at = (text: string) => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};
const probe = (text: string, port: number, more: Partial<TargetProbe> = {}): TargetProbe => ({
  ...{ host: 'edge', forward: 'web', index: 0, id: text, address: at(text), port, intervalMs: 100, failures: 3 },
  ...more,
});

/** Servers: 8080 answers every path but /bad by 200, 8081 says no HTTP; packets to port 9 are dropped. */
async function startPlace() {
  const space = await startNamespace();
  await space.run(['ip', 'link', 'set', 'lo', 'up']);
  const rules =
    'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 9 drop';
  await space.run(['nft', rules]);
  const server = await space.spawn([process.execPath, '-e', SERVERS]);
  await new Promise((resolve) => server.stdout.once('data', resolve));
  const transport = localTransport('edge', {
    entry: ['nsenter', '-t', String(space.pid), '--mount', '--pid', '--net'],
  });
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await space[Symbol.asyncDispose]();
  };
  return { space, server, transport, [Symbol.asyncDispose]: dispose };
}

const SERVERS = `
const { createServer } = require('node:http');
createServer((request, response) => { response.statusCode = request.url === '/bad' ? 500 : 204; response.end(); }).listen(8080, '::', () =>
  require('node:net').createServer((socket) => socket.on('error', () => {}).end('hello\\n')).listen(8081, '::', () => console.log('up')));`;

const withoutPrograms = async (space: Namespace, ...programs: readonly string[]): Promise<void> => {
  for (const program of programs)
    await space.run(['sh', '-c', 'for f in $(which -a "$1"); do mount -n --bind /dev/null "$f"; done', 'sh', program]);
};

async function askOnce(
  { transport }: Pick<Awaited<ReturnType<typeof startPlace>>, 'transport'>,
  probes: readonly TargetProbe[],
): Promise<readonly string[]> {
  const said = new Map<number, string>();
  const onLine = (line: string): void => {
    const outcome = readOutcome(line);
    if (outcome === undefined) said.set(said.size, line);
    else said.set(outcome.index, outcome.answered ? 'answered' : outcome.said);
  };
  await transport.follow(probeCommand(probes, true), onLine, new AbortController().signal);
  return probes.map((_, index) => said.get(index) ?? 'nothing');
}

const CASES = [
  ['a server', probe('127.0.0.1', 8080), 'answered', 'answered'],
  ['one of IPv6', probe('::1', 8080), 'answered', 'answered'],
  ['nobody', probe('127.0.0.1', 1), 'Connection refused', 'not connected'],
  ['nobody, where a refusal is an answer', probe('127.0.0.1', 1, { any: true }), 'answered', 'answered'],
  ['silence', probe('127.0.0.1', 9), 'no answer', 'not connected'],
  ['silence, where a refusal is an answer', probe('127.0.0.1', 9, { any: true }), 'no answer', 'not connected'],
  ['a path', probe('127.0.0.1', 8080, { path: '/healthz' }), 'answered', undefined],
  ['a path that fails', probe('::1', 8080, { path: '/bad' }), 'status 500', undefined],
  ['what is no HTTP', probe('127.0.0.1', 8081, { path: '/' }), 'no HTTP', undefined],
] as const;

describe('asked once', () => {
  test('by perl', async () => {
    await using place = await startPlace();
    const said = await askOnce(
      place,
      CASES.map(([, each]) => each),
    );
    expect(CASES.map(([what], index) => [what, said[index]])).toEqual(CASES.map(([what, , byPerl]) => [what, byPerl]));
  });

  test('by bash, where there is no perl', async () => {
    await using place = await startPlace();
    await withoutPrograms(place.space, 'perl');
    const cases = CASES.filter(([, , , byShell]) => byShell !== undefined);
    const said = await askOnce(
      place,
      cases.map(([, each]) => each),
    );
    expect(cases.map(([what], index) => [what, said[index]])).toEqual(
      cases.map(([what, , , expected]) => [what, expected]),
    );
  });

  test('with nothing to ask by', async () => {
    await using place = await startPlace();
    await withoutPrograms(place.space, 'perl', 'bash');
    expect(await askOnce(place, [probe('127.0.0.1', 8080)])).toEqual([NO_PROBER]);
  });
});

test('asked again and again: a server that ends is told, and one that comes back', async () => {
  await using place = await startPlace();
  const outcomes: ProbeOutcome[] = [];
  const stop = new AbortController();
  const going = place.transport
    .follow(
      probeCommand([probe('127.0.0.1', 8080), probe('127.0.0.1', 9)], false),
      (line) => {
        const outcome = readOutcome(line);
        if (outcome !== undefined) outcomes.push(outcome);
      },
      stop.signal,
    )
    .catch(() => undefined);
  const last = (index: number): boolean | undefined => outcomes.findLast((each) => each.index === index)?.answered;
  await vi.waitUntil(() => last(0) === true && last(1) === false, patient(5_000));
  place.server.kill('SIGKILL');
  await place.server.exited;
  await vi.waitUntil(() => last(0) === false, patient(5_000));
  await using again = await place.space.spawn([process.execPath, '-e', SERVERS]);
  await vi.waitUntil(() => last(0) === true, patient(5_000));
  again.stdout.resume();
  stop.abort(new Error('enough'));
  await going;
});
