/** Two sets on the same hosts: what is done with one leaves the other as it stands, byte for byte, and its connections alone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

let cli: CliLab;
let before: string;
beforeAll(async () => {
  cli = await startCliLab();
  before = await cli.dumps();
});
afterAll(async () => cli[Symbol.asyncDispose]());

const SETS = {
  one: { name: 'first', index: 0, public: 80, target: 8080 },
  two: { name: 'second', index: 1, public: 81, target: 8081 },
} as const;
type SetName = keyof typeof SETS;

/** A set's documents, and the same with one more port. */
const file = (set: SetName, more = false): Promise<string> => {
  const { name, index, public: port, target } = SETS[set];
  const ports = [`{ protocol: TCP, port: ${port}, targetPort: ${target} }`];
  if (more) ports.push(`{ protocol: UDP, port: ${port + 1000}, targetPort: ${target} }`);
  return cli.documents(`${set}-${more}.yaml`, slimEdgeDocuments({ tunnel: { name, index }, ports }));
};

/**
 * All of what stands of a set: its share and numbers in both records, its links, ways, rules, and its elements in the tables. Rules that name
 * the links of all sets are not of one.
 */
async function standing(set: SetName): Promise<string> {
  const { name, index, public: port } = SETS[set];
  const parts = await Promise.all(
    (['edge', 'node'] as const).map(async (host) => {
      const run = async (script: string, ...args: readonly string[]) =>
        (await cli.lab.host(host).run(['sh', '-c', script, 'sh', ...args])).stdout;
      const record = JSON.parse(await run('cat "/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/record.json"'));
      const numbers = record.numbers.tunnels[`${set}/${name}`];
      const link = host === 'edge' ? `sp-wg${51820 + index}` : `sp-${name}`;
      const table = await run('nft -s list table inet sallyport');
      const own = new RegExp(
        `10\\.90\\.${index}\\.|fd90:${index}:|tcp \\. ${port}\\b|iifname "${link}" ct |sp_(from|far\\d|in\\dr?)_${link.slice(3).replaceAll('-', '_')}\\b`,
      );
      return [
        JSON.stringify(record.sets[set]),
        JSON.stringify(numbers ?? null),
        await run(
          'ip -d address show dev "$1"; ip route show table all dev "$1"; ip -6 route show table all dev "$1"',
          link,
        ),
        numbers === undefined
          ? ''
          : await run('ip rule show priority "$1"; ip -6 rule show priority "$1"', String(numbers.priority)),
        ...table
          .split(/[\n,{}]/)
          .map((each) => each.trim())
          .filter((each) => own.test(each) && !each.startsWith('"sp-')),
      ].join('\n');
    }),
  );
  return parts.join('\n\n');
}

const good = { status: 0 };
const apply = async (set: SetName, more = false) =>
  expect(await cli.sallyport('apply', '--yes', '--set', set, '-f', await file(set, more))).toMatchObject(good);
const destroy = async (set: SetName) =>
  expect(await cli.sallyport('destroy', '--yes', '--set', set, '-f', await file(set))).toMatchObject({
    ...good,
    stderr: '',
  });
const inSync = async (set: SetName, more = false) =>
  expect(await cli.sallyport('status', '--set', set, '-f', await file(set, more), '--wait', '10s')).toMatchObject(good);

test.each([
  ['one', 'two'],
  ['two', 'one'],
] as const)(
  'what is done with %s leaves %s as it stands',
  async (changed, kept) => {
    await using _server = await cli.lab.serve('node', { protocol: 'tcp', port: SETS[kept].target });
    // In one case the set that stays came first, in the other it came second.
    if (kept === 'one') await apply(kept);
    else await apply(changed);
    await apply(kept);
    await inSync(kept);
    const stands = await standing(kept);
    expect(stands).toContain(`tcp . ${SETS[kept].public}`);
    const flows = await cli.lab.holdFlows('client', {
      protocol: 'tcp',
      to: '198.51.100.10',
      port: SETS[kept].public,
      count: 5,
    });
    for (const step of [() => apply(changed, true), () => apply(changed), () => destroy(changed)]) {
      await step();
      expect(await standing(kept)).toBe(stands);
    }
    const { value } = await cli.json('status', '--set', kept, '-f', await file(kept));
    expect(value).toMatchObject({ hosts: [{ sets: [kept] }, { sets: [kept] }] });
    expect(await flows.stop()).toMatchObject({ open: 5, lost: 0 });

    const typo = await cli.sallyport('destroy', '--yes', '--set', 'three', '-f', await file(kept));
    expect(typo.stderr).toContain(`edge holds nothing of the set "three", but of "${kept}": --set NAME or --all`);
    expect(await standing(kept)).toBe(stands);
    await destroy(kept);
    expect(await cli.dumps()).toBe(before);
  },
  120_000,
);

test('what both want is refused with the names of both, and nothing is changed', async () => {
  await apply('one');
  const stands = await cli.dumps();
  const clash = await cli.documents(
    'clash.yaml',
    slimEdgeDocuments({ tunnel: { name: 'second', index: 1 }, ports: ['{ protocol: TCP, port: 70-90 }'] }),
  );
  const refused = await cli.sallyport('apply', '--yes', '--set', 'two', '-f', clash);
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain(
    'PortForward second-web of the set "two" wants 198.51.100.10 tcp 70-90, which is taken by PortForward first-web of the set "one"',
  );
  expect(await cli.dumps()).toBe(stands);
  await destroy('one');
  expect(await cli.dumps()).toBe(before);
}, 60_000);
