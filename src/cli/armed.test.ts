/** Changes over a real sshd that go wrong in the middle: each host goes back by itself, and what is said of it is true. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  carryOut,
  type Driver,
  type ManagedHost,
  observeAll,
  type Progress,
  prepare,
  settlePending,
} from '../apply/index.ts';
import { linuxDriver } from '../drivers/index.ts';
import type { HostFacts } from '../host/index.ts';
import { labEntry, patient, type Sshd, startSshd } from '../lab/index.ts';
import { baseChain, ct, drop, match, number, payload, rule, type Statement, symbol } from '../nftables/index.ts';
import type { HostChange } from '../plan/index.ts';
import { loadResources, type ResourceSet } from '../resources/index.ts';
import { type Command, namespaceTransport, sshTransport, type Transport, TransportError } from '../transport/index.ts';
import { aimOfRemoval, aimOfSet } from './aims.ts';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

const WINDOW_MS = 2_000;
const EDGE = '198.51.100.10';
const PORT = 2222;

let cli: CliLab;
let sshd: Sshd;
let set: ResourceSet;
let before = '';
beforeAll(async () => {
  cli = await startCliLab();
  const loaded = loadResources([{ name: 'edge.yaml', text: slimEdgeDocuments() }]);
  if (loaded.set === undefined) throw new Error(JSON.stringify(loaded.problems));
  set = loaded.set;
  sshd = await startSshd(cli.lab.host('edge'), [`ListenAddress ${EDGE}`]);
  before = await dumps();
});
afterAll(async () => {
  await sshd[Symbol.asyncDispose]();
  await cli[Symbol.asyncDispose]();
});

/** Our own clients of ssh stand on the node. */
const dumps = async (): Promise<string> => (await cli.dumps()).replaceAll(/^ssh\n/gm, '').replaceAll(/\n{2,}/g, '\n\n');

interface Place {
  readonly transport?: (real: Transport) => Transport;
  readonly driver?: (real: Driver) => Partial<Driver>;
}

/** The edge over ssh from the node's side, and the node beside us. */
function hosts({ transport = (real) => real, driver = () => ({}) }: Place): readonly ManagedHost[] {
  const entry = labEntry(cli.lab);
  const { identityFile, hostKey } = sshd;
  const fromNode = [...entry, 'nsenter', '--net=/run/netns/node', '--'];
  const far = transport(sshTransport('edge', { address: EDGE, port: PORT, identityFile, hostKey, entry: fromNode }));
  const real = linuxDriver(far);
  const near = namespaceTransport('node', 'node', { entry });
  return [
    { name: 'edge', transport: far, driver: { ...real, ...driver(real) } },
    { name: 'node', transport: near, driver: linuxDriver(near) },
  ];
}

interface Run extends Place {
  readonly windowMs?: number;
  readonly onProgress?: (progress: Progress) => void;
}

/** What the commands do, in this process. */
async function carry(
  command: 'apply' | 'destroy',
  { windowMs = WINDOW_MS, onProgress = () => {}, ...place }: Run,
): Promise<void> {
  const managed = hosts(place);
  const { signal } = new AbortController();
  await settlePending(managed, { command, signal, onProgress });
  const facts = new Map<string, HostFacts>();
  for (const [name, seen] of await observeAll(managed, signal)) {
    if (seen.kind === 'unreachable') throw new Error(seen.reason);
    facts.set(name, seen.facts);
  }
  const aimFor = command === 'apply' ? aimOfSet(set, 'default') : aimOfRemoval(['edge', 'node'], 'default', false);
  const plan = prepare(facts, aimFor, command === 'apply' ? 'add' : 'remove');
  await carryOut(managed, plan, { command, aimFor, signal, agreed: false, windowMs, onProgress });
}
const apply = (run: Run = {}): Promise<void> => carry('apply', run);

/** It stands, all of it, and goes again. */
async function expectApplied(): Promise<void> {
  const steps: Progress[] = [];
  await carry('apply', { onProgress: (progress) => steps.push(progress), windowMs: 30_000 });
  expect(steps).toEqual([]);
  await carry('destroy', { windowMs: 30_000 });
  expect(await dumps()).toBe(before);
}

const said = (ended: Promise<void>): Promise<string> => ended.then(() => 'applied', String);

/** What is done to a host at once, while nothing of ours goes on. Gives what it says. */
const now = (host: string, argv: readonly string[], stdin = ''): string => {
  const [program = '', ...rest] = [...labEntry(cli.lab), 'nsenter', `--net=/run/netns/${host}`, '--', ...argv];
  return execFileSync(program, rest, { input: stdin, encoding: 'utf8' });
};

/** The line between them loses what goes there, what comes from there, or both. */
const cut = (ways: 'both' | 'there' | 'back'): void => {
  const there = `tcp dport ${PORT} drop`;
  const back = `tcp sport ${PORT} drop`;
  const rules = ways === 'both' ? `${there}; ${back}` : ways === 'there' ? there : back;
  now(
    'internet',
    ['nft', '-f', '-'],
    `table inet cut { chain c { type filter hook forward priority -300; ${rules}; }; }`,
  );
};
const mend = (): string => now('internet', ['nft', '-f', '-'], 'add table inet cut; delete table inet cut;');

beforeEach(async () => expect(await dumps()).toBe(before));
afterEach(async () => {
  mend();
  // One that failed must not be the end of all.
  if ((await dumps()) !== before) await carry('destroy', { windowMs: 30_000 });
});

/** Which of them says, the edge's alone: the node's own apply waits for us, who find out about the edge. */
const edgeOf = (text: string): string => text.slice(0, text.indexOf('\n## processes', 20));

/** The promise is two seconds; a machine with other work takes longer for all that the edge does then. */
const LATE_MS = 10_000;

/** The edge is as it was soon after the window, whatever we know of it. */
async function untilEdgeIsBack(since: number): Promise<void> {
  const isBack = async (): Promise<boolean> => edgeOf(await dumps()) === edgeOf(before);
  for (const end = since + WINDOW_MS + patient(LATE_MS); !(await isBack()); await sleep(50))
    if (Date.now() > end) expect(edgeOf(await dumps())).toBe(edgeOf(before));
}

/** What was said of the end is so. */
async function expectTrue(told: string): Promise<void> {
  if (told === 'applied') return expectApplied();
  expect(told).toMatch(/^ApplyFailure: .*(node and edge are as they were|nothing was changed)$/s);
  expect(await dumps()).toBe(before);
}

describe('the line is cut, and is there again later', () => {
  for (const [ways, at, step] of [
    ['both', 'arming', 0],
    ['both', 'step', 1],
    ['both', 'step', 4],
    ['both', 'step', 7],
    ['both', 'checking', 0],
    ['both', 'confirming', 0],
    ['there', 'step', 4],
    ['there', 'confirming', 0],
    ['back', 'step', 4],
    ['back', 'confirming', 0],
  ] as const)
    test(`${ways === 'both' ? 'both ways' : ways} at ${at}${step === 0 ? '' : ` ${step}`}: the edge goes back, and what is said is true`, async () => {
      let steps = 0;
      let cutAt = 0;
      let told = '';
      const onProgress = ({ kind, host }: Progress): void => {
        if (host !== 'edge' || cutAt > 0) return;
        if (kind === 'step') steps += 1;
        if (kind !== at || (at === 'step' && steps !== step)) return;
        cut(ways);
        cutAt = Date.now();
      };
      const ended = said(apply({ onProgress })).then((text) => {
        told = text;
      });
      while (cutAt === 0 && told === '') await sleep(20);
      expect(told).toBe('');
      // One that was not armed yet has nothing to take back.
      if (at === 'arming') await sleep(WINDOW_MS);
      else await untilEdgeIsBack(cutAt);
      mend();
      await ended;
      await expectTrue(told);
    }, 180_000);
});

const toSsh = [match(payload('tcp', 'dport'), '==', number(PORT))];
const chain = (...statements: readonly Statement[]): readonly HostChange[] => [
  { action: 'add', after: { kind: 'nft', object: { kind: 'table', family: 'inet', table: 'hostile' } } },
  {
    action: 'add',
    after: {
      kind: 'nft',
      object: {
        ...{ kind: 'chain', family: 'inet', table: 'hostile' },
        chain: baseChain('c', { type: 'filter', hook: 'input', priority: -200 }, rule(...statements)),
      },
    },
  },
];

describe('the plan itself locks us out', () => {
  for (const [what, extra] of [
    ['all of ssh is dropped', () => chain(...toSsh, drop)],
    [
      'only connections that stand are let through',
      () => chain(match(ct('state'), '==', symbol('new')), ...toSsh, drop),
    ],
    [
      'the default route is gone',
      ({ state }: HostFacts) =>
        state.routes.flatMap((route): readonly HostChange[] =>
          route.destination.length === 0 && route.destination.address.family === 4 && route.table === 254
            ? [{ action: 'remove', before: { kind: 'route', route } }]
            : [],
        ),
    ],
  ] as const)
    test(`${what}: the edge goes back after the window`, async () => {
      let more: readonly HostChange[] = [];
      const driver = (real: Driver): Partial<Driver> => ({
        undo(changes, facts, signal) {
          more = extra(facts);
          expect(more.length).toBeGreaterThan(0);
          return real.undo([...changes, ...more], facts, signal);
        },
        apply: (changes, options) => real.apply([...changes, ...more], options),
      });
      const ended = said(apply({ driver }));
      const isLockedOut = (): boolean =>
        now('edge', ['nft', 'list', 'tables']).includes('hostile') ||
        now('edge', ['ip', 'route', 'show', 'default']) === '';
      let told: string | undefined;
      void ended.then((text) => {
        told = text;
      });
      while (!isLockedOut() && told === undefined) await sleep(20);
      expect(told).toBeUndefined();
      await untilEdgeIsBack(Date.now());
      expect(await ended).toMatch(/^ApplyFailure: .*node and edge are as they were$/s);
      expect(await dumps()).toBe(before);
    }, 120_000);
});

describe('the answer is lost while it is confirmed', () => {
  const losing = (isHeard: boolean) => {
    let confirms = 0;
    return (real: Transport): Transport => ({
      ...real,
      anew() {
        const own = real.anew?.();
        if (own === undefined) throw new TypeError('no ssh');
        const run = async (command: Command): Promise<never> => {
          confirms += 1;
          if (isHeard) await own.transport.run(command);
          throw new TransportError('edge', command.argv, 'the connection was lost');
        };
        return {
          ...own,
          transport: {
            ...own.transport,
            run: (command) =>
              confirms === 0 && command.argv.some((word) => word.includes('confirmed'))
                ? run(command)
                : own.transport.run(command),
          },
        };
      },
    });
  };
  test('and the host had heard it: it stands, and is said to', async () => {
    await apply({ transport: losing(true) });
    await expectApplied();
  });
  test('and the host had not heard it: it is confirmed once more', async () => {
    await apply({ transport: losing(false), windowMs: 30_000 });
    await expectApplied();
  });
});

describe('where it cannot be armed, nothing is changed', () => {
  /** Who waits still stands in it. */
  const unmount = () =>
    cli.lab.run([
      ...['sh', '-c'],
      'n=0; until umount /run/sallyport 2>/dev/null; do n=$((n+1)); [ "$n" -lt 150 ] || exit 1; sleep 0.1; done; rmdir /run/sallyport',
    ]);
  /** Who waits and could not say who it is, for want of space, ends by itself at the end of the window. */
  const expectAlone = async (told: string): Promise<void> => {
    const isAlone = async (): Promise<boolean> => (await dumps()) === before;
    for (const end = Date.now() + WINDOW_MS + patient(LATE_MS); Date.now() < end && !(await isAlone()); )
      await sleep(50);
    expect(await dumps(), told).toBe(before);
  };

  test('on a full disk, whatever it is still enough for', async () => {
    for (const size of [4, 8, 16, 24, 32, 48]) {
      await cli.lab.run([
        'sh',
        '-c',
        `mkdir -p /run/sallyport && mount -n -t tmpfs -o size=${size}k tmpfs /run/sallyport`,
      ]);
      const told = await said(apply());
      await unmount();
      expect(told, `${size} KiB`).toMatch(/No space left on device.*(; nothing was changed|are as they were)$/s);
      await expectAlone(`${size} KiB`);
    }
  }, 120_000);

  test('on a read-only file system', async () => {
    await cli.lab.run(['sh', '-c', 'mkdir -p /run/sallyport && mount -n -t tmpfs -o ro tmpfs /run/sallyport']);
    const told = await said(apply());
    await unmount();
    expect(told).toMatch(/Read-only file system.*; nothing was changed$/s);
    expect(await dumps()).toBe(before);
  });
});
