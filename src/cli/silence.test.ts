import { expect, test } from 'vitest';
import { type CliLab, slimEdgeDocuments, startCliLab } from './testdata/cli-lab.ts';

/** A firewall between the two, or on one of them; `lift` takes it away. */
async function firewall({ lab }: CliLab, host: string, hook: string, rule: string) {
  const load = (text: string) => lab.host(host).run(['nft', '-f', '-'], { stdin: text });
  await load(`table inet between { chain c { type filter hook ${hook} priority 0; ${rule}\n}\n}\n`);
  return { lift: () => load('delete table inet between\n') };
}

const start = async () => {
  const cli = await startCliLab();
  const file = await cli.documents('edge.yaml', slimEdgeDocuments());
  return { cli, file, [Symbol.asyncDispose]: () => cli[Symbol.asyncDispose]() };
};

/** The lines of what to look at for the tunnel. */
const looks = (text: string): readonly string[] =>
  text.split('\n').flatMap((line) => /^ +(?:look at)? +\d\. (.*)$/.exec(line)?.[1] ?? []);

const provider = [
  "the firewall of edge's provider: it must let in UDP 51820 to 198.51.100.10",
  'the firewall on edge itself (INPUT): it must let in UDP 51820',
  "whether 198.51.100.10 is edge's address as the Internet sees it",
];

test('calls that a firewall on the way drops: apply and status name it first, with host, protocol, port and address', async () => {
  await using at = await start();
  const { cli, file } = at;
  const wall = await firewall(cli, 'internet', 'forward', 'udp dport 51820 drop');
  const applied = await cli.sallyport('apply', '-f', file, '--yes');
  expect(applied.status).toBe(0);
  expect(applied.stderr).toContain('Tunnel edge-node is not up yet: edge: no handshake yet with node (');
  expect(looks(applied.stderr)).toEqual(provider);

  const found = await cli.sallyport('status', '-f', file);
  expect(found.status).toBe(1);
  expect(found.stdout).toMatch(
    /edge: no handshake yet with node \(nothing sent, nothing received\); node: no handshake yet with edge \(\d+ bytes sent to 198\.51\.100\.10:51820, nothing received\)/,
  );
  expect(looks(found.stdout)).toEqual(provider);
  const { value } = await cli.json('status', '-f', file);
  expect(value).toMatchObject({
    resources: expect.arrayContaining([
      expect.objectContaining({
        kind: 'Tunnel',
        ready: false,
        reason: expect.stringMatching(/no handshake/),
        lookAt: provider,
      }),
    ]),
  });

  await wall.lift();
  expect((await cli.sallyport('status', '-f', file, '--wait', '15s')).status).toBe(0);
  const well = await cli.sallyport('status', '-f', file);
  expect(looks(well.stdout)).toEqual([]);
});

test('answers that are dropped on the way: the way back is named, not the provider of the edge', async () => {
  await using at = await start();
  const { cli, file } = at;
  await firewall(cli, 'internet', 'forward', 'udp sport 51820 drop');
  const { stderr } = await cli.sallyport('apply', '-f', file, '--yes');
  expect(looks(stderr)).toEqual([
    'the way back from edge to node: the calls arrive, the answers do not',
    'a firewall on edge (OUTPUT) or of its provider: it must let out UDP from port 51820',
    'the firewall on node or of its provider: answers to its own UDP must come in',
  ]);
  expect((await cli.sallyport('status', '-f', file)).stdout).toMatch(
    /edge: no handshake yet with node \(\d+ bytes sent.*, \d+ bytes received\)/,
  );
});

test('a rule on the edge itself that came later is named, with the table that holds it', async () => {
  await using at = await start();
  const { cli, file } = at;
  const wall = await firewall(cli, 'internet', 'forward', 'udp dport 51820 drop');
  expect((await cli.sallyport('apply', '-f', file, '--yes')).status).toBe(0);
  await firewall(cli, 'edge', 'input', 'udp dport 51820 drop');
  await wall.lift();
  const found = looks((await cli.sallyport('status', '-f', file)).stdout);
  expect(found[1]).toMatch(
    /^the firewall on edge itself \(INPUT\): edge drops .* inet between c: udp dport 51820 drop$/,
  );
});

/** VXLAN, and where the kernel can make them IPIP and GRE: no handshake, no port, and still known. */
const others = [
  ['VXLAN', 'udp dport 4789', 'UDP 4789'],
  ['IPIP', 'meta l4proto { 4, 41 }', 'IP protocol 4 (IPIP) and IP protocol 41 (IPv6 in IP)'],
  ['GRE', 'meta l4proto 47', 'IP protocol 47 (GRE)'],
] as const;
for (const [type, match, words] of others) {
  test(`${type}: packets that are dropped one way are seen, and that way alone is named`, async () => {
    await using cli = await startCliLab({ home: false });
    const text = slimEdgeDocuments()
      .replace('type: WireGuard', `type: ${type}`)
      .replace('endpoint: "198.51.100.10:51820"', 'endpoint: "198.51.100.10"')
      .replace('"fd90:0::2/64"] }', '"fd90:0::2/64"], endpoint: "192.0.2.140" }');
    const file = await cli.documents('edge.yaml', text);
    const wall = await firewall(cli, 'internet', 'forward', `ip daddr 192.0.2.140 ${match} drop`);
    const applied = await cli.sallyport('apply', '-f', file, '--yes');
    if (/not supported by this kernel/.test(applied.stderr) && type !== 'VXLAN') {
      expect(applied.status).toBe(2); // this kernel has no such links; the VM's has
      return;
    }
    expect(applied.status).toBe(0);
    expect(applied.stderr).toContain('node: nothing that edge sends arrives on sp-edge-node');
    const oneWay = [
      `the firewall of node's provider: it must let in ${words} from 198.51.100.10 to 192.0.2.140`,
      `the firewall on node itself (INPUT): it must let in ${words}`,
    ];
    expect(looks(applied.stderr)).toEqual(oneWay);
    const found = await cli.sallyport('status', '-f', file);
    expect([found.status, looks(found.stdout)]).toEqual([1, oneWay]);
    await wall.lift();
    expect(await cli.sallyport('status', '-f', file, '--wait', '10s')).toMatchObject({ status: 0 });
  });
}
