/** The MTU of each tunnel on a real kernel: the largest packet fills the path to the last byte, unfragmented, and one byte more is refused. */
import { expect, test } from 'vitest';
import { type Lab, slimEdge } from '../lab/index.ts';
import { documents, makes, startStory } from './testdata/story.ts';

type Outside = 4 | 6;
const tunnel = (type: string, outside: Outside, inside: readonly Outside[]): string => {
  const [edge, node] = outside === 4 ? ['172.31.0.1', '172.31.0.2'] : ['fd31::1', 'fd31::2'];
  const [at, to] =
    type !== 'WireGuard' ? [edge, node] : [outside === 4 ? `${edge}:51820` : `[${edge}]:51820`, undefined];
  const addresses = (number: number): string =>
    inside.map((family) => (family === 4 ? `10.90.0.${number}/30` : `"fd90::${number}/64"`)).join(', ');
  return `type: ${type}
  ends:
    - { host: edge, addresses: [${addresses(1)}], endpoint: "${at}" }
    - { host: node, addresses: [${addresses(2)}]${to === undefined ? '' : `, endpoint: "${to}"`} }`;
};

/** Packets and bytes that came out of the tunnel at the node and were not declared: nothing else counts there. */
async function came(lab: Lab): Promise<readonly number[]> {
  const { stdout } = await lab.host('node').run(['nft', 'list', 'chain', 'inet', 'sallyport', 'sp_from_edge_node']);
  return (/counter packets (\d+) bytes (\d+) drop/.exec(stdout) ?? expect.fail(stdout)).slice(1).map(Number);
}

/** Sends an echo request of so many bytes that nobody may fragment, its IP header included. */
const send = async (lab: Lab, inside: Outside, bytes: number): Promise<string> => {
  const [header, to] = inside === 4 ? [28, '10.90.0.2'] : [48, 'fd90::2'];
  const argv = ['ping', `-${inside}`, '-M', 'do', '-c', '1', '-W', '1', '-s', String(bytes - header), to];
  const { stdout, stderr } = await lab.host('edge').run(argv, { allowFailure: true });
  return stdout + stderr;
};

const narrowLink = (lab: Lab): Promise<unknown> =>
  lab.host('node').run(['ip', 'link', 'set', 'dev', 'priv0', 'mtu', '1492']);
const narrowRoute = async (lab: Lab): Promise<void> => {
  const { host } = { host: lab.host('node') };
  await host.run(['ip', 'route', 'replace', '172.31.0.1/32', 'dev', 'priv0', 'mtu', '1400']);
  await host.run(['ip', '-6', 'route', 'replace', 'fd31::1/128', 'dev', 'priv0', 'mtu', '1400']);
};

for (const [type, outside, kind, path, takes, narrow, inside] of [
  ['WireGuard', 4, undefined, 1492, 60, narrowLink],
  ['WireGuard', 6, undefined, 1400, 80, narrowRoute],
  ['VXLAN', 4, undefined, 1500, 50],
  ['VXLAN', 6, undefined, 1492, 70, narrowLink],
  ['IPIP', 4, 'sit', 1500, 20],
  ['IPIP', 4, 'ipip', 1500, 20, undefined, [4]],
  ['IPIP', 6, 'ip6tnl', 1500, 40],
  ['GRE', 4, 'gre', 1500, 24],
  ['GRE', 6, 'ip6gre', 1400, 44, narrowRoute],
] as readonly (readonly [
  string,
  Outside,
  string?,
  number?,
  number?,
  ((lab: Lab) => Promise<unknown>)?,
  (readonly Outside[])?,
])[])
  test(`${kind ?? type} over IPv${outside}, a path of ${path} bytes`, async () => {
    await using story = await startStory(slimEdge({ privateLink: true }), async (lab) => {
      await narrow?.(lab);
    });
    const { lab } = story;
    const families = inside ?? [4, 6];
    const text = documents({ tunnel: tunnel(type, outside, families) });
    if (kind !== undefined && !(await makes(lab, kind, outside))) {
      // That it is refused by name, tunnels.test.ts shows.
      expect((await story.sallyport(['plan', '-f', '-'], text)).stderr).toContain(`it has no ${kind} links`);
      return;
    }
    await story.apply(text);
    const [whole = 0, more = 0] = [path, takes];
    const largest = whole - more;
    for (const family of families) {
      await send(lab, family, 100); // VXLAN asks for its neighbour first
      const before = await came(lab);
      await using wire = await lab.capture('edge', 'priv0');
      await send(lab, family, largest);
      expect(await send(lab, family, largest + 1)).toMatch(/message too long/i);
      const big = (await wire.stop()).filter(({ length }) => length > 1000);
      expect(
        big.map(({ length }) => length),
        `IPv${family} inside: one packet, as long as the path carries`,
      ).toEqual([whole]);
      const [packets = 0, bytes = 0] = before;
      expect(await came(lab), 'and all of it came out').toEqual([packets + 1, bytes + largest]);
    }
    await story.destroy(text);
  }, 300_000);
