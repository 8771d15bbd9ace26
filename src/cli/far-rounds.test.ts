/** What is asked of a far host in how many round trips, over a real sshd and a way that takes its time. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { linuxDriver } from '../drivers/index.ts';
import { type Namespace, type Sshd, startNamespace, startSshd } from '../lab/index.ts';
import { loadResources } from '../resources/index.ts';
import { sshTransport } from '../transport/index.ts';
import { lookForUsers } from './proof.ts';
import { surveyManaged } from './survey.ts';
import { slimEdgeDocuments } from './testdata/cli-lab.ts';

const slowWay = fileURLToPath(new URL('./testdata/slow-way.py', import.meta.url));
/** Each way, in seconds. Long beside what this machine does meanwhile. */
const DELAY = 0.25;

let lab: Namespace;
let sshd: Sshd;
beforeAll(async () => {
  lab = await startNamespace();
  sshd = await startSshd(lab, ['MaxStartups 100']);
  const way = (name: string, delay: number): string =>
    `Host ${name}\n  HostName 127.0.0.1\n  Port ${sshd.port}\n  ProxyCommand python3 ${slowWay} %h %p ${delay}\n`;
  await lab.run(['mkdir', '-p', '-m', '700', '/root/.ssh']);
  await lab.run(['tee', '/root/.ssh/config'], { stdin: way('near', 0) + way('far*', DELAY) });
});
afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

const open = (address: string) => {
  const { identityFile, hostKey } = sshd;
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  return sshTransport('edge', { address, identityFile, hostKey, entry });
};

/** Milliseconds of what is asked once the connection stands; of two, the quicker one. */
async function quickest(ask: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time < 2; time++) {
    const start = performance.now();
    await ask();
    times.push(performance.now() - start);
  }
  return Math.min(...times);
}

test('all that a plan wants to know of a host takes three round trips at most', async () => {
  const { set } = loadResources([{ name: 'edge.yaml', text: slimEdgeDocuments() }]);
  const edge = set?.hosts.get('edge');
  if (set === undefined || edge === undefined) throw new Error('the documents are wrong');
  const signal = new AbortController().signal;
  const survey = async (address: string): Promise<number> => {
    const transport = open(address);
    await transport.run({ argv: ['true'] });
    return quickest(async () => {
      // As plan does it, and each time as the first time.
      const managed = [{ name: 'edge', transport, driver: linuxDriver(transport) }];
      const only = { ...set, hosts: new Map([['edge', edge]]) };
      const [{ unreachable }] = await Promise.all([
        surveyManaged(only, managed, signal, { progress: () => {} }),
        lookForUsers(managed, signal),
      ]);
      expect([...unreachable]).toEqual([]);
    });
  };
  const rounds = ((await survey('far')) - (await survey('near'))) / (2 * DELAY * 1_000);
  expect(rounds).toBeGreaterThan(1.5);
  expect(rounds).toBeLessThan(3);
});

test('twenty hosts are asked side by side', async () => {
  const hosts = Array.from({ length: 20 }, (_, index) => open(`far${index}`));
  const askAll = () => Promise.all(hosts.map((host) => host.run({ argv: ['true'] })));
  await askAll();
  const one = await quickest(async () => hosts[0]?.run({ argv: ['true'] }));
  const all = await quickest(askAll);
  expect(one).toBeGreaterThan(2 * 2 * DELAY * 1_000);
  expect(all).toBeLessThan(3 * one);
});
