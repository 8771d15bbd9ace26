/** An edge made by hand (wg-quick, iptables, a rule by source) is taken over while it works: nothing is lost, and nothing else is touched. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { patient } from '../lab/index.ts';
import { byHandDocuments, makeByHand, STAYS, showSockets, TAKEN } from './testdata/by-hand.ts';
import { type CliLab, startCliLab } from './testdata/cli-lab.ts';

const src = new URL('..', import.meta.url).href;
const EDGE = '198.51.100.10';
const WINDOW_MS = 2_000;

/** `apply --adopt` in a process that kills itself after the first step whose name begins so. */
const killedAfter = (step: string, file: string): string => `
import { carryOut, prepare } from '${src}apply/index.ts';
import { adopting } from '${src}cli/adopting.ts';
import { aimOfSet } from '${src}cli/aims.ts';
import { manageAll } from '${src}cli/hosts.ts';
import { loadSet } from '${src}cli/load.ts';
import { surveyHosts } from '${src}cli/survey.ts';
const { signal } = new AbortController();
const set = await loadSet(['${file}']);
const { managed, facts } = await surveyHosts(set, signal, { progress() {} });
const all = aimOfSet(set, 'default');
const { aimFor, aim } = adopting(set, facts, { aimFor: all, compiled: all(facts) }, { sockets: new Map([['edge', []]]) });
await carryOut(managed, prepare(facts, () => aim, 'add'), {
  command: 'apply', aimFor, signal, agreed: false, windowMs: ${WINDOW_MS},
  onProgress({ kind, step }) {
    if (kind === 'step' && step.startsWith('${step}')) process.kill(process.pid, 'SIGKILL');
  },
});`;

const withoutSockets = (dumps: string): string =>
  dumps
    .split('\n')
    .filter((each) => each !== '' && !/^\/run\/.*\/wireguard/.test(each))
    .join('\n');

async function untilEqual(cli: CliLab, before: string): Promise<void> {
  const now = async (): Promise<string> => withoutSockets(await cli.dumps());
  for (const end = Date.now() + WINDOW_MS + patient(2_000); (await now()) !== withoutSockets(before); await sleep(50))
    if (Date.now() > end) expect(await now()).toBe(withoutSockets(before));
  await showSockets(cli);
}

const saved = async ({ lab }: CliLab, backend: string): Promise<string> =>
  (await lab.host('edge').run([`iptables-${backend}-save`])).stdout;
/** As iptables-save lists it. */
const line = (rule: string): string => rule.replace(/^-t \S+ /, '');

describe.each(['nft', 'legacy'] as const)('with iptables of the kind %s', (backend) => {
  test('all that the documents stand for is taken over; standing TCP and UDP go on, and a kill midway brings the rules back where they stood', async () => {
    await using cli = await startCliLab();
    await makeByHand(cli, backend);
    await using _web = await cli.lab.serve('node', { protocol: 'tcp', port: 80 });
    await using _more = await cli.lab.serve('node', { protocol: 'tcp', port: 443 });
    await using _dns = await cli.lab.serve('node', { protocol: 'udp', port: 5353 });
    const ask = (protocol: 'tcp' | 'udp', port: number) => cli.lab.connect('client', { protocol, to: EDGE, port });
    expect(await ask('tcp', 80)).toMatchObject({ saw: { client: { address: '192.0.2.10' } } });
    expect(await ask('udp', 53)).toMatchObject({ saw: { client: { address: '10.90.0.1' } } });
    const file = await cli.documents('edge.yaml', byHandDocuments);
    const before = await cli.dumps();
    const flows = await Promise.all(
      (
        [
          ['tcp', 80],
          ['udp', 53],
        ] as const
      ).map(([protocol, port]) =>
        cli.lab.holdFlows('client', { protocol, to: EDGE, port, count: 3, intervalMs: 20, timeoutMs: 1_000 }),
      ),
    );

    for (const step of backend === 'nft' ? ['connections', 'iptables'] : ['iptables']) {
      const killed = await cli.lab.run(
        [process.execPath, '--input-type=module-typescript', '-e', killedAfter(step, file)],
        { allowFailure: true },
      );
      expect([step, killed]).toMatchObject([step, { status: 137, stderr: '' }]);
      await untilEqual(cli, before);
    }

    const applied = await cli.sallyport('apply', '--adopt', '--yes', '-f', file);
    expect(applied).toMatchObject({ status: 0, stderr: '' });
    expect(applied.stdout.split('\n').filter((each) => each.includes('left alone'))).toEqual([]);
    const shown = applied.stdout.split('\n').filter((each) => each.endsWith(' (made by hand, taken over)'));
    expect(shown).toHaveLength(TAKEN.length + 1);
    for (const rule of TAKEN) expect(shown.join('\n')).toContain(line(rule));
    expect(shown.join('\n')).toContain('from 10.90.0.2/32 lookup 123');
    expect(applied.stdout).not.toContain('left alone');

    const rules = await saved(cli, backend);
    for (const rule of TAKEN) expect(rules).not.toContain(line(rule));
    expect(rules).toContain(line(STAYS.stranger));
    expect(rules).toContain(':FORWARD DROP');
    expect((await cli.lab.host('node').run(['ip', 'rule'])).stdout).not.toContain('from 10.90.0.2');

    expect(await ask('tcp', 80)).toMatchObject({ saw: { client: { address: '192.0.2.10' } } });
    expect(await ask('tcp', 443)).toMatchObject({ saw: { client: { address: '192.0.2.10' } } });
    expect(await ask('udp', 53)).toMatchObject({ saw: { client: { address: '10.90.0.1' } } });
    for (const each of flows) {
      const { echoes: then } = await each.report();
      for (const end = Date.now() + patient(3_000); (await each.report()).echoes < then + 30 && Date.now() < end; )
        await sleep(50);
      expect(await each.stop()).toMatchObject({ open: 3, lost: 0, errors: {} });
      expect((await each.report()).echoes).toBeGreaterThan(then);
    }
    const again = await cli.sallyport('plan', '--adopt', '--detailed-exitcode', '-f', file);
    expect([again.status, again.stdout.includes('left alone')]).toEqual([0, false]);
    expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
    expect(await saved(cli, backend)).toContain(line(STAYS.stranger));
    expect(await ask('tcp', 80)).toMatchObject({ ok: false });
  }, 240_000);
});

test('what does more than the documents ask is named with a packet that shows it, and stays with all that it needs', async () => {
  await using cli = await startCliLab();
  await makeByHand(cli, 'nft', true);
  const file = await cli.documents('edge.yaml', byHandDocuments);
  const { status, value } = await cli.json('plan', '--adopt', '-f', file);
  expect(status).toBe(0);
  const why = expect.stringContaining('198.51.100.10:8443/tcp: now it reaches node as');
  expect(value).toMatchObject({
    hosts: [
      {
        leftAlone: expect.arrayContaining([
          { rule: `iptables ${STAYS.wider}`, why },
          { rule: `iptables ${STAYS.widerAccept}`, why },
        ]),
        changes: expect.arrayContaining([
          expect.objectContaining({ action: 'remove', object: 'iptables', adopted: true, before: line(TAKEN[0]) }),
        ]),
      },
      { leftAlone: [{ rule: 'ip rule 32765: from 10.90.0.2/32 lookup 123', why }] },
    ],
  });
  const before = await saved(cli, 'nft');
  expect(await cli.sallyport('apply', '--adopt', '--yes', '-f', file)).toMatchObject({ status: 0 });
  const after = await saved(cli, 'nft');
  const lost = before.split('\n').filter((each) => each.startsWith('-A') && !after.includes(each));
  expect(lost.sort()).toEqual([...TAKEN.slice(0, 5)].map(line).sort());
  await using _more = await cli.lab.serve('node', { protocol: 'tcp', port: 8443 });
  expect(await cli.lab.connect('client', { protocol: 'tcp', to: EDGE, port: 8443 })).toMatchObject({ ok: true });
  const plain = await cli.sallyport('plan', '--detailed-exitcode', '-f', file);
  expect(plain.stdout).not.toContain('made by hand');
}, 120_000);
