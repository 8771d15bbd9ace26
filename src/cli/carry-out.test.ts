/** When a host does not do what it was told: all hosts are as they were, or it is said of which this is not true. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApplyError, carryOut, type Driver, type ManagedHost, observeAll, prepare } from '../apply/index.ts';
import { linuxDriver } from '../drivers/index.ts';
import type { HostFacts } from '../host/index.ts';
import { loadResources, type ResourceSet } from '../resources/index.ts';
import { namespaceTransport, TransportError } from '../transport/index.ts';
import { aimOfRemoval, aimOfSet } from './aims.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let set: ResourceSet;
let before = '';
beforeAll(async () => {
  cli = await startCliLab();
  before = await cli.dumps();
  const loaded = loadResources([{ name: 'edge.yaml', text: slimEdgeDocuments() }]);
  if (loaded.set === undefined) throw new Error(JSON.stringify(loaded.problems));
  set = loaded.set;
});
afterAll(async () => cli[Symbol.asyncDispose]());

/** The real hosts of the lab; the edge's driver is the real one with a fault of the test's. */
function hosts(fault: (real: Driver) => Partial<Driver>): readonly ManagedHost[] {
  const entry = ['nsenter', '-t', String(cli.lab.pid), '--mount', '--pid', '--net'];
  return ['edge', 'node'].map((name) => {
    const transport = namespaceTransport(name, name, { entry });
    const real = linuxDriver(transport);
    return { name, transport, driver: name === 'edge' ? { ...real, ...fault(real) } : real };
  });
}

async function change(
  command: 'apply' | 'destroy',
  fault: (real: Driver) => Partial<Driver>,
  confirm?: () => Promise<boolean>,
): Promise<void> {
  const managed = hosts(fault);
  const signal = new AbortController().signal;
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeAll(managed, signal))
    if (seen.kind === 'observed') facts.set(name, seen.facts);
  const aimFor = command === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval(['edge', 'node'], 'default', false);
  const plan = prepare(facts, aimFor, command === 'apply' ? 'add' : 'remove');
  await carryOut(managed, plan, { command, aimFor, signal, agreed: false, ...(confirm && { confirm }) });
}

const apply = (fault: (real: Driver) => Partial<Driver>, confirm?: () => Promise<boolean>): Promise<void> =>
  change('apply', fault, confirm);

test('a host that says yes and does not do it all is found by the check, and everything is undone', async () => {
  const forgetful = ({ apply: real }: Driver): Partial<Driver> => ({
    apply: (changes, options) =>
      real(
        changes.filter((change) => change.action !== 'add' || change.after.kind !== 'address'),
        options,
      ),
  });
  await expect(apply(forgetful)).rejects.toThrow(
    /^edge: after the change there is still to do: add address .* and edge are as they were$/,
  );
  expect(await cli.dumps()).toBe(before);
});

test('a host that fails half-way through: what it did is undone, and so are the others', async () => {
  let calls = 0;
  const failing = ({ apply: real }: Driver): Partial<Driver> => ({
    async apply(changes, options) {
      calls += 1;
      if (calls > 1) return await real(changes, options);
      const half = changes.slice(0, -3);
      await real(half, options);
      throw new ApplyError('edge: the disk is on fire', half);
    },
  });
  await expect(apply(failing)).rejects.toThrow('edge: the disk is on fire; node and edge are as they were');
  expect(await cli.dumps()).toBe(before);
});

test('of a host that is cut off during the change it is said that nothing is known; the rest is as it was', async () => {
  let cut = false;
  const gone = (): never => {
    throw new TransportError('edge', ['nft'], 'the connection was lost');
  };
  const dying = (real: Driver): Partial<Driver> => ({
    async apply(changes, options) {
      if (cut) gone();
      const half = changes.slice(0, 4);
      await real.apply(half, options);
      cut = true;
      throw new ApplyError('edge: the connection was lost', half);
    },
    observe: (signal) => (cut ? gone() : real.observe(signal)),
  });
  await expect(apply(dying)).rejects.toThrow(
    'edge: the connection was lost; node is as it was; whether edge is as it was is not known: the connection was lost; it takes the change back by itself',
  );
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});

test('a disk that is full once the keys were made: none of them stays', async () => {
  let full = false;
  const noPlace = (): never => {
    throw new TransportError('edge', ['sh'], 'No space left on device');
  };
  const filling = (real: Driver): Partial<Driver> => ({
    async makeKeys(links, signal) {
      const keys = await real.makeKeys(links, signal);
      full = true;
      return keys;
    },
    observe: (signal) => (full ? noPlace() : real.observe(signal)),
  });
  await expect(apply(filling)).rejects.toThrow('edge: No space left on device; nothing was changed');
  expect(full).toBe(true);
  expect(await cli.dumps()).toBe(before);
});

test('a host that was confirmed and falls silent before its keys are gone is asked again, and it is said when it stays so', async () => {
  await apply(() => ({}));
  let silent = 3;
  const silentFor = ({ forget }: Driver): Partial<Driver> => ({
    forget(signal) {
      if (silent === 0) return forget(signal);
      silent -= 1;
      throw new TransportError('edge', ['rm'], 'Connection refused');
    },
  });
  await change('destroy', silentFor);
  expect(silent).toBe(0);
  expect(await cli.dumps()).toBe(before);
  await apply(() => ({}));
  silent = Number.POSITIVE_INFINITY;
  await expect(change('destroy', silentFor)).rejects.toThrow(
    'edge: Connection refused\nnothing is programmed there any more, and keys of ours are left: the next destroy removes them',
  );
  expect(await cli.dumps()).not.toBe(before);
  await change('destroy', () => ({}));
  expect(await cli.dumps()).toBe(before);
});

test('a no at the end undoes everything', async () => {
  await expect(
    apply(
      () => ({}),
      async () => false,
    ),
  ).rejects.toThrow('not confirmed; node and edge are as they were');
  expect(await cli.dumps()).toBe(before);
});

test('a host that changed between the plan and the change: an agreed plan is not carried out', async () => {
  const managed = hosts(() => ({}));
  const signal = new AbortController().signal;
  const aimFor = aimOfSet(set, 'default');
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeAll(managed, signal))
    if (seen.kind === 'observed') facts.set(name, seen.facts);
  const plan = prepare(facts, aimFor, 'add');
  await cli.lab.host('edge').run(['sysctl', '-q', '-w', 'net.ipv4.conf.eth0.forwarding=1']);
  try {
    await expect(carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: true })).rejects.toThrow(
      'the hosts changed since the plan was made; nothing was changed: plan again',
    );
  } finally {
    await cli.lab.host('edge').run(['sysctl', '-q', '-w', 'net.ipv4.conf.eth0.forwarding=0']);
  }
  expect(await cli.dumps()).toBe(before);
});

test('another apply came between the plan and the change: what it made is left alone', async () => {
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const managed = hosts(() => ({}));
  const signal = new AbortController().signal;
  const aimFor = aimOfSet(set, 'default');
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeAll(managed, signal))
    if (seen.kind === 'observed') facts.set(name, seen.facts);
  const plan = prepare(facts, aimFor, 'add');
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  await expect(carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: true })).rejects.toThrow(
    'plan again',
  );
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  await carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: false });
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});

test('of what is known to stand nobody asks again before the change, unless it is of another generation', async () => {
  let looks = 0;
  const managed = hosts((real) => ({
    observe: (signal) => {
      looks += 1;
      return real.observe(signal);
    },
  }));
  const signal = new AbortController().signal;
  const observe = async (): Promise<ReadonlyMap<string, HostFacts>> => {
    const facts = new Map<string, HostFacts>();
    for (const [name, seen] of await observeAll(managed, signal))
      if (seen.kind === 'observed') facts.set(name, seen.facts);
    return facts;
  };
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  expect(await cli.sallyport('apply', '--yes', '-f', file)).toMatchObject({ status: 0 });
  const other = await cli.documents('other.yaml', slimEdgeDocuments({ ports: ['{ protocol: TCP, port: 81 }'] }));
  const known = await observe();
  const aimFor = aimOfSet(set, 'default');
  /** Flushed unheard, and then put right: how often the edge is looked at for it. */
  const repair = async (): Promise<number> => {
    await cli.lab.host('edge').run(['nft', 'flush', 'ruleset']);
    const from = looks;
    const plan = prepare(await observe(), aimFor, 'add');
    const facts = new Map(plan.hosts.map((each) => [each.host, each.facts]));
    const standing = (host: string): HostFacts | undefined => (host === 'edge' ? facts.get(host) : undefined);
    await carryOut(managed, plan, { command: 'apply', aimFor, signal, agreed: false, standing });
    expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
    return looks - from;
  };
  // For the plan, and for the check.
  expect(await repair()).toBe(2);
  // Another's apply in between: what was known is nothing.
  expect(await cli.sallyport('apply', '--yes', '-f', other)).toMatchObject({ status: 0 });
  const old = prepare(await observe(), aimFor, 'add');
  const from = looks;
  await carryOut(managed, old, {
    command: 'apply',
    aimFor,
    signal,
    agreed: false,
    standing: (host) => known.get(host),
  });
  expect(looks - from).toBe(2);
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
});

test('several at once: each is done, or says who is at work; the end is as declared', async () => {
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  const results = await Promise.all([1, 2, 3].map(() => cli.sallyport('apply', '--yes', '-f', file)));
  expect(results.some(({ status }) => status === 0)).toBe(true);
  for (const { status, stderr } of results)
    expect(status === 0 ? '' : stderr).toMatch(/^$|another sallyport is at work here/);
  expect((await cli.sallyport('plan', '--detailed-exitcode', '-f', file)).status).toBe(0);
  expect(await cli.sallyport('destroy', '--yes', '-f', file)).toMatchObject({ status: 0, stderr: '' });
  expect(await cli.dumps()).toBe(before);
});
