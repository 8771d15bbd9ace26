/** ICMP errors and fragments through edge and node: each reaches the one whom it concerns, and speaks of the packet that this one sent. */
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/index.ts';
import { ERROR_CLIENT, ERROR_SERVER } from './testdata/errors.ts';
import { CLIENT, documents, EDGES, farClient } from './testdata/far-client.ts';
import { makes, SALLYPORT, waitFor } from './testdata/story.ts';

interface ErrorServer extends AsyncDisposable {
  /** Lines since the last call, once one of them matches. */
  until(pattern: RegExp): Promise<string>;
}
async function serve(lab: Lab, at: string): Promise<ErrorServer> {
  const program = await lab.host(at).spawn(['perl', '-e', ERROR_SERVER, '8080']);
  const lines: string[] = [];
  createInterface(program.stdout).on('line', (line) => lines.push(line));
  const until = async (pattern: RegExp): Promise<string> => {
    try {
      await waitFor(`${pattern} at ${at}`, async () => lines.some((line) => pattern.test(line)), 5_000);
    } catch (error) {
      throw new Error(`${error}: ${lines.join('; ')}`);
    }
    return lines.splice(0).join('\n');
  };
  await until(/ready/);
  return { until, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

type Told = readonly Record<string, string>[];
let sourcePort = 40001;
const ask = (lab: Lab, port: number, to: string, ...steps: readonly string[]): Promise<Told> =>
  askFrom(lab, sourcePort++, port, to, ...steps);

async function askFrom(lab: Lab, from: number, port: number, to: string, ...steps: readonly string[]): Promise<Told> {
  const source = to.includes(':') ? CLIENT[6] : CLIENT[4];
  const { stdout, stderr } = await lab
    .host('client')
    .run(['perl', '-e', ERROR_CLIENT, source, String(from), to, String(port), ...steps], {
      timeoutMs: 60_000,
      allowFailure: true,
    });
  expect(stderr).toBe('');
  return stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

const TARGETS = [
  ['node', 80],
  ['pod', 81],
] as const;
/** Direct links of two edges to one node do not tell two equal connections apart: the plan says so. */
const ACCEPTED = [0, 1].flatMap((at) => [
  '--accept',
  `Tunnel/t${at}: one client may come to node by it and by another tunnel at once`,
]);
/** The kernel's kinds of link for both families inside; the others are everywhere. */
const KINDS: Readonly<Partial<Record<string, string>>> = { IPIP: 'sit', GRE: 'gre' };
const EVERYONE = ['client', 'far', 'internet', 'edge0', 'edge1', 'node', 'pod'] as const;

/** No path MTU is remembered by anybody. */
async function forget(lab: Lab): Promise<void> {
  const all = EVERYONE.map((each) => `ip -n ${each} -4 route flush cache; ip -n ${each} -6 route flush cache`);
  await lab.run(['sh', '-c', all.join('; ')]);
}

for (const [type, more, edges, targets] of [
  ['WireGuard', '', 2, TARGETS],
  ['WireGuard', ', clientAddress: Masquerade', 1, TARGETS],
  ['VXLAN', '', 1, TARGETS],
  ['IPIP', '', 1, TARGETS],
  ['GRE', '', 1, TARGETS],
  ['Direct', '', 1, TARGETS],
] as const)
  test(`ICMP errors and fragments find their way over ${type}${more}, by ${edges} of two edges, to the ${targets.map(([at]) => at).join(' and to a ')}`, async () => {
    await using lab = await startLab(farClient());
    const text = documents(type, more);
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: text,
        allowFailure: true,
        timeoutMs: 60_000,
      });
    const kind = KINDS[type];
    if (kind !== undefined && !(await makes(lab, kind, 4, 'client'))) {
      const { status, stdout, stderr } = await sallyport('apply', '--yes');
      expect(stdout + stderr).toContain(`${type} over IPv4 is not supported by this kernel: it has no ${kind} links`);
      expect(status).not.toBe(0);
      return;
    }
    const applied = await sallyport('apply', '--yes', ...(type === 'Direct' ? ACCEPTED : []));
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await waitFor('both tunnels up', async () => (await sallyport('status')).status === 0);
    // One client by both edges at once and from one port: each error is of the one connection alone.
    if (edges === 2)
      for (const family of [4, 6] as const) {
        const from = sourcePort++;
        const both = (port: number, ...steps: readonly string[]) =>
          Promise.all(EDGES[family].map((to) => askFrom(lab, from, port, to, 'beside', ...steps)));
        const closed = { about: 'own', error: 'ECONNREFUSED', icmp: family === 4 ? '3/3' : '1/4' };
        const told = await both(180, 'hello', 'hello', 'hello');
        expect(told).toMatchObject(EDGES[family].map((to) => [1, 2, 3].map(() => ({ ...closed, from: to }))));
        await forget(lab);
      }
    for (const [at, port] of targets) {
      await using server = await serve(lab, at);
      for (const family of [4, 6] as const)
        for (const to of EDGES[family].slice(0, at === 'pod' ? 1 : edges)) {
          const about = `${at} by ${to}`;
          const fromEdge = { about: 'own', from: to };
          const tooOld = { ...fromEdge, error: 'EHOSTUNREACH', icmp: family === 4 ? '11/0' : '3/0' };
          await forget(lab);
          // The first packet of a connection is as good as a later one.
          expect((await ask(lab, port, to, 'ttl 3'))[0], `${about}: at the edge`).toMatchObject(tooOld);
          const told = await ask(lab, port, to, 'hello', 'ttl 3', 'ttl 4', 'pieces 4000', 'tcp 300000');
          expect(told[0], about).toMatchObject({ bytes: '5' });
          expect(told[1], `${about}: at the edge`).toMatchObject(tooOld);
          if (at === 'pod') expect(told[2], `${about}: at the node`).toMatchObject(tooOld);
          else expect(told[2], about).toMatchObject({ bytes: '3' });
          expect(told[3], `${about}: fragments`).toMatchObject({ bytes: '4000' });
          expect(told[4], about).toMatchObject({ bytes: '300000' });
          const closed = { ...fromEdge, error: 'ECONNREFUSED', icmp: family === 4 ? '3/3' : '1/4' };
          expect((await ask(lab, port + 100, to, 'hello'))[0], `${about}: a closed port`).toMatchObject(closed);
          await forget(lab);
          if (type !== 'Direct') {
            const large = family === 4 ? 'large 1472' : 'large 1450';
            const tooBig = { ...fromEdge, error: 'EMSGSIZE', icmp: family === 4 ? '3/4' : '2/0' };
            expect((await ask(lab, port, to, large))[0], `${about}: more than the tunnel takes`).toMatchObject(tooBig);
            await forget(lab);
            if (family === 4) {
              const shards = await ask(lab, port, to, 'shards 4000 1256', 'shards 4000 1480');
              expect(shards[0], `${about}: fragments that fit and must stay whole`).toMatchObject({ bytes: '4000' });
              expect(shards[1], `${about}: fragments that do not fit`).toMatchObject(tooBig);
              await forget(lab);
            }
          }
          await server.until(/got/);

          // The client's own line is the narrow one.
          await lab.host('far').run(['ip', 'link', 'set', 'client0', 'mtu', '1280']);
          expect((await ask(lab, port, to, 'tcp 300000'))[0], `${about}: TCP finds the path MTU`).toMatchObject({
            bytes: '300000',
          });
          await forget(lab);
          await ask(lab, port, to, 'ask 1300');
          await server.until(new RegExp(`error IPv${family} EMSGSIZE`));
          if (more === '') {
            const { stdout } = await lab.host(at).run(['ip', 'route', 'get', CLIENT[family]]);
            expect(stdout, about).toContain('mtu 1280');
          }
          await ask(lab, port, to, 'ask 1300');
          await server.until(new RegExp(`send IPv${family} EMSGSIZE`));
          // What main remembers of the client sends no answer out by the node's own line.
          expect((await ask(lab, port, to, 'tcp 300000'))[0], `${about}: with the path MTU known`).toMatchObject({
            bytes: '300000',
          });
          await lab.host('far').run(['ip', 'link', 'set', 'client0', 'mtu', '1500']);
          await forget(lab);

          // The client is gone: its router says so to the server.
          const gone = [`${CLIENT[family]}/${family === 4 ? 32 : 128}`];
          await lab.host('far').run(['ip', 'route', 'add', 'unreachable', ...gone]);
          await ask(lab, port, to, 'ask 5');
          await server.until(new RegExp(`error IPv${family} ${family === 4 ? 'EHOSTUNREACH' : 'E(NET|HOST)UNREACH'}`));
          await lab.host('far').run(['ip', 'route', 'delete', 'unreachable', ...gone]);
        }
    }
  }, 300_000);
