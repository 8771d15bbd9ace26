/** `verify` beside the packets it speaks of: before and after apply, with a rule that breaks a promise, and by real probes. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { type Lab, slimEdge } from '../lab/index.ts';
import type { ProbeReport } from './probing.ts';
import { DIRECT, documents, type Run, SALLYPORT, startStory } from './testdata/story.ts';
import { printVerified } from './verify-text.ts';

interface Verified {
  readonly promises: readonly {
    readonly resource: string;
    readonly promise: string;
    readonly holds: boolean | 'undecided';
  }[];
  readonly probes?: readonly ProbeReport[];
}

const text = documents({
  tunnel: DIRECT,
  forward:
    'ports: [{ protocol: TCP, port: 80, targetPort: 8080 }, { protocol: UDP, port: 53, targetPort: 5353 }]\n  to: [{ host: node, via: edge-node }]',
});

/** From a machine on the Internet, which is no Host. */
const verifyAt = (lab: Lab, host: string, ...args: readonly string[]): Promise<Run> =>
  lab.host(host).run([process.execPath, SALLYPORT, 'verify', '-f', '-', ...args], {
    stdin: text,
    allowFailure: true,
    timeoutMs: 60_000,
  });

const read = ({ stdout }: Run): Verified => JSON.parse(stdout) as Verified;
const broken = ({ promises }: Verified): readonly string[] =>
  promises.flatMap(({ holds, promise }) => (holds === false ? [promise] : []));

test('proven as declared before anything is applied; on what stands only after, until somebody breaks it; and the packets agree', async () => {
  await using story = await startStory(slimEdge({ privateLink: true }));
  const { lab } = story;
  const declared = await story.sallyport(['verify', '-f', '-', '-o', 'json'], text);
  expect(declared).toMatchObject({ status: 0, stderr: '' });
  expect(broken(read(declared))).toEqual([]);
  const planned = JSON.parse((await story.sallyport(['plan', '-f', '-', '-o', 'json'], text)).stdout) as Verified;
  expect(read(declared).promises).toEqual(planned.promises);

  const tooEarly = await story.sallyport(['verify', '--live', '-f', '-'], text);
  expect(tooEarly.status).toBe(1);
  expect(tooEarly.stdout).toMatch(/✗ reachable from outside by edge/);

  await story.apply(text);
  const web = await lab.serve('node', { protocol: 'tcp', port: 8080 });
  const live = await verifyAt(lab, 'client', '--probe', '-o', 'json');
  expect(live, live.stderr).toMatchObject({ status: 0, stderr: '' });
  expect(broken(read(live))).toEqual([]);
  const tcp = read(live).probes?.filter(({ to }) => to.endsWith('/tcp')) ?? [];
  expect(tcp.map(({ predicted, seen, agrees }) => ({ predicted, seen, agrees }))).toEqual(
    tcp.map(() => ({ predicted: 'answered', seen: 'answered', agrees: true })),
  );
  expect(tcp.length).toBeGreaterThan(0);
  await web.stop();

  // The way is there, and nobody at its end.
  const refused = read(await verifyAt(lab, 'client', '--probe', '-o', 'json'));
  expect(broken(refused)).toEqual([]);
  expect(refused.probes?.find(({ to }) => to.endsWith('/tcp'))).toMatchObject({
    ...{ predicted: 'refused', seen: 'refused', agrees: true },
  });

  await lab.host('node').run(['nft', '-f', '-'], {
    stdin: 'table inet theirs { chain late { type filter hook input priority 10; tcp dport 8080 drop; }; }',
  });
  const cut = await verifyAt(lab, 'client', '--probe');
  expect(cut.status).toBe(1);
  expect(cut.stdout).toMatch(/✗ reachable from outside by edge .*: does not hold: .*theirs late/);
  expect(cut.stdout).toMatch(/ {4}Fix: on node: /);
  expect(cut.stdout).toMatch(/\nProbed: \d+ of \d+ as predicted/);
  expect(cut.stdout).not.toContain('otherwise');
  await lab.host('node').run(['nft', 'delete', 'table', 'inet', 'theirs']);
  await story.destroy(text);
});

describe('what is asked', () => {
  const offline = (...args: readonly string[]): Run => {
    const argv = [SALLYPORT, 'verify', '-f', '-', ...args];
    const declared = documents({
      edge: '\n  interfaces: [{ name: eth0, zone: public, addresses: [198.51.100.10/24] }]',
      node: '\n  interfaces: [{ name: eth0, zone: private, addresses: [192.168.1.20/24] }]',
    });
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { input: declared, encoding: 'utf8' });
    return { status: status ?? -1, stdout, stderr };
  };
  test('from declared facts alone, what nobody looked at is undecided at most', () => {
    const { promises } = read(offline('--offline', '-o', 'json'));
    expect(promises.map(({ holds }) => holds)).toContain(true);
    expect(promises.map(({ holds }) => holds)).not.toContain(false);
    expect(offline('--offline')).toMatchObject({ status: 0, stderr: '' });
  });
  test('--offline with --live is bad usage', () => {
    expect(offline('--offline', '--live')).toMatchObject({ status: 2, stdout: '' });
  });
});

test('in words: what holds in a line, nothing declared in a sentence, probes that contradict', () => {
  expect(printVerified([], [], { color: false })).toMatch(/^Nothing is promised/);
  const probe: ProbeReport = {
    ...{ resource: 'PortForward/web', from: '192.0.2.7', to: '198.51.100.10:80/tcp' },
    ...{ predicted: 'answered', seen: 'silent', agrees: false },
  };
  const promises = [{ resource: 'PortForward/web', promise: 'reachable', holds: true }] as const;
  expect(printVerified(promises, [probe], { color: false })).toBe(
    'PortForward/web\n  ✓ reachable\n\nProbed: 0 of 1 as predicted, 1 otherwise\n' +
      '  PortForward/web: 198.51.100.10:80/tcp from 192.0.2.7: silent, predicted answered\n\n1 promise holds\n',
  );
});
