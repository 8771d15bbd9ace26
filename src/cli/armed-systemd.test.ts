/** Where systemd runs the host, its own timer waits: with the real one as process 1. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { armHost, confirmAll, type ManagedHost } from '../apply/index.ts';
import { linuxDriver } from '../drivers/index.ts';
import { type Machine, machineProblem, patient, startMachine } from '../lab/index.ts';
import type { HostChange } from '../plan/index.ts';
import { SALLYPORT_PROTOCOL } from '../routing/index.ts';
import { localTransport } from '../transport/index.ts';

const WINDOW_MS = 2_000;
const never = new AbortController().signal;

const problem = machineProblem();
const where = problem === undefined ? '' : ` (not here: ${problem})`;

let machine: Machine;
let managed: ManagedHost;
beforeAll(async () => {
  if (problem !== undefined) return;
  machine = await startMachine({ units: ['basic.target'] });
  const entry = ['nsenter', '-t', String(machine.pid), '--mount', '--net', '--pid', '--cgroup', '--uts', '--ipc'];
  const transport = localTransport('edge', { entry });
  managed = { name: 'edge', transport, driver: linuxDriver(transport) };
}, 300_000);
afterAll(async () => machine?.[Symbol.asyncDispose]());

const sh = async (text: string): Promise<string> => (await machine.run(['sh', '-c', text])).stdout;
const rules = (): Promise<string> => sh('ip rule list priority 5000');
/** What lies and waits there. */
const left = (): Promise<string> =>
  sh('ls -A /etc/sallyport 2>/dev/null; systemctl list-units --all --no-legend "sallyport-*"');

const change: HostChange = {
  action: 'add',
  after: {
    kind: 'rule',
    rule: { family: 4, priority: 5000, action: { kind: 'lookup', table: 5000 }, protocol: SALLYPORT_PROTOCOL },
  },
};

async function armAndChange() {
  const facts = await managed.driver.observe(never);
  expect(facts.stateFolder).toBe('/etc/sallyport');
  const armed = await armHost(
    managed,
    { changes: [change], facts },
    { command: 'test', generation: 1, windowMs: WINDOW_MS, signal: never },
  );
  const began = Date.now();
  expect(await left()).toMatch(/sallyport-undo-[0-9a-f-]+\.timer/);
  await managed.driver.apply([change], { signal: never, armed });
  expect(await rules()).toContain('lookup 5000');
  return { armed, began };
}

test.skipIf(problem !== undefined)(
  `nobody is heard of: the timer undoes it within the window and 2 s, and nothing is left${where}`,
  async () => {
    const { began } = await armAndChange();
    while ((await rules()) !== '') {
      expect(Date.now() - began).toBeLessThan(WINDOW_MS + patient(2_000));
      await sleep(50);
    }
    for (const end = Date.now() + patient(2_000); (await left()) !== ''; await sleep(50))
      if (Date.now() > end) expect(await left()).toBe('');
  },
);

test.skipIf(problem !== undefined)(`confirmed, it stands, and nothing waits${where}`, async () => {
  const { armed } = await armAndChange();
  expect((await confirmAll([armed], async () => false)).failures).toEqual([]);
  await sleep(WINDOW_MS + 500); // nothing to wait for: it must not come
  expect(await rules()).toContain('lookup 5000');
  expect(await left()).toBe('');
});
