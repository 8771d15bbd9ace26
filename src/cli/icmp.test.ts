/** ICMP errors and fragments through edge and node: each reaches the one whom it concerns, and speaks of the packet that this one sent. */
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { type HostSpec, type Lab, startLab, type Topology } from '../lab/index.ts';
import { ERROR_CLIENT, ERROR_SERVER } from './testdata/errors.ts';
import { SALLYPORT, waitFor } from './testdata/story.ts';

const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;
const EDGES = {
  4: ['198.51.100.10', '203.0.113.10'],
  6: ['2001:db8:e0::10', '2001:db8:e1::10'],
} as const;

const host = (name: string, vias: readonly string[], sysctls: HostSpec['sysctls'] = {}): HostSpec => ({
  name,
  routes: vias.map((via) => ({ to: 'default', via })),
  sysctls,
});
const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' };
const STRICT = { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.default.rp_filter': '1' };
/** The kernel sends errors at a measured pace (icmp(7)); a test asks faster than people do. */
const TALKS = { 'net.ipv4.icmp_ratelimit': '0', 'net.ipv6.icmp.ratelimit': '0' };

/** client - far (its router) - internet - two edges - node, each by the Internet and by a private link; a pod behind the node. */
const network: Topology = {
  name: 'two-edges-far',
  hosts: [
    host('client', ['192.0.2.1', '2001:db8:c::1']),
    host('far', ['192.0.3.1', '2001:db8:fa::1'], { ...FORWARDS, ...TALKS }),
    {
      name: 'internet',
      sysctls: FORWARDS,
      routes: [
        { to: '192.0.2.0/24', via: '192.0.3.2' },
        { to: '2001:db8:c::/64', via: '2001:db8:fa::2' },
      ],
      nft: `table ip carrier {
  chain post { type nat hook postrouting priority 100; ip saddr 100.64.0.20 masquerade; }
}`,
    },
    host('edge0', ['198.51.100.1', '2001:db8:e0::1'], { ...STRICT, ...TALKS }),
    host('edge1', ['203.0.113.1', '2001:db8:e1::1'], { ...STRICT, ...TALKS }),
    host('node', ['100.64.0.1', '2001:db8:4e::1'], { ...FORWARDS, ...STRICT, ...TALKS }),
    host('pod', ['10.42.0.1', 'fd42::1']),
  ],
  switches: [],
  cables: (
    [
      [
        'client',
        'eth0',
        ['192.0.2.10/24', '2001:db8:c::10/64'],
        'far',
        'client0',
        ['192.0.2.1/24', '2001:db8:c::1/64'],
      ],
      ['far', 'wan0', ['192.0.3.2/24', '2001:db8:fa::2/64'], 'internet', 'far0', ['192.0.3.1/24', '2001:db8:fa::1/64']],
      [
        'edge0',
        'eth0',
        ['198.51.100.10/24', '2001:db8:e0::10/64'],
        'internet',
        'e0',
        ['198.51.100.1/24', '2001:db8:e0::1/64'],
      ],
      [
        'edge1',
        'eth0',
        ['203.0.113.10/24', '2001:db8:e1::10/64'],
        'internet',
        'e1',
        ['203.0.113.1/24', '2001:db8:e1::1/64'],
      ],
      [
        'node',
        'eth0',
        ['100.64.0.20/24', '2001:db8:4e::20/64'],
        'internet',
        'node0',
        ['100.64.0.1/24', '2001:db8:4e::1/64'],
      ],
      ['edge0', 'priv0', ['172.31.0.1/24', 'fd31:0::1/64'], 'node', 'priv0', ['172.31.0.2/24', 'fd31:0::2/64']],
      ['edge1', 'priv0', ['172.31.1.1/24', 'fd31:1::1/64'], 'node', 'priv1', ['172.31.1.2/24', 'fd31:1::2/64']],
      ['node', 'pod0', ['10.42.0.1/24', 'fd42::1/64'], 'pod', 'eth0', ['10.42.0.10/24', 'fd42::10/64']],
    ] as const
  ).map(([at, name, own, far, link, theirs]) => ({
    ends: [
      { at, interface: name, addresses: own },
      { at: far, interface: link, addresses: theirs },
    ],
  })),
};

const resource = (kind: string, name: string, spec: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

type Type = 'WireGuard' | 'VXLAN' | 'Direct' | 'IPIP' | 'GRE';
const ends = (type: Type, at: number): string => {
  if (type === 'Direct')
    return `{ host: edge${at}, addresses: [172.31.${at}.1, "fd31:${at}::1"] }, { host: node, addresses: [172.31.${at}.2, "fd31:${at}::2"] }`;
  const outer =
    type === 'WireGuard'
      ? [`, endpoint: "${EDGES[4][at]}:51820"`, '']
      : [1, 2].map((end) => `, endpoint: "172.31.${at}.${end}"`);
  return `{ host: edge${at}, addresses: [10.90.${at}.1/30, "fd90:${at}::1/64"]${outer[0]} }, { host: node, addresses: [10.90.${at}.2/30, "fd90:${at}::2/64"]${outer[1]} }`;
};
const documents = (type: Type, more: string): string =>
  [
    ...['edge0', 'edge1', 'node'].map((name) => resource('Host', name, `{ access: { netns: { name: ${name} } } }`)),
    ...[0, 1].map((at) => resource('Tunnel', `t${at}`, `{ type: ${type}, ends: [${ends(type, at)}] }`)),
    ...(
      [
        ['own', 80, ''],
        ['pod4', 81, ', address: 10.42.0.10'],
        ['pod6', 81, ', address: "fd42::10"'],
      ] as const
    ).map(([name, port, behind]) =>
      resource(
        'PortForward',
        name,
        `{ at: { hosts: [edge0, edge1] }, ports: [{ protocol: TCP, port: ${port}, targetPort: 8080 }, { protocol: UDP, port: ${port}, targetPort: 8080 }, { protocol: UDP, port: ${port + 100}, targetPort: 9 }], to: [{ host: node${behind} }]${more} }`,
      ),
    ),
  ].join('---\n');

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

let sourcePort = 40001;
async function ask(
  lab: Lab,
  port: number,
  to: string,
  ...steps: readonly string[]
): Promise<readonly Record<string, string>[]> {
  const source = to.includes(':') ? CLIENT[6] : CLIENT[4];
  const { stdout, stderr } = await lab
    .host('client')
    .run(['perl', '-e', ERROR_CLIENT, source, String(sourcePort++), to, String(port), ...steps], {
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
const EVERYONE = ['client', 'far', 'internet', 'edge0', 'edge1', 'node', 'pod'] as const;

/** No path MTU is remembered by anybody. */
async function forget(lab: Lab): Promise<void> {
  const all = EVERYONE.map((each) => `ip -n ${each} -4 route flush cache; ip -n ${each} -6 route flush cache`);
  await lab.run(['sh', '-c', all.join('; ')]);
}

for (const [type, more, edges, targets] of [
  ['WireGuard', '', 2, TARGETS],
  ['WireGuard', ', clientAddress: Masquerade', 1, TARGETS.slice(0, 1)],
  ['VXLAN', '', 1, TARGETS],
  ['Direct', '', 1, TARGETS],
] as const)
  test(`ICMP errors and fragments find their way over ${type}${more}, by ${edges} of two edges, to the ${targets.map(([at]) => at).join(' and to a ')}`, async () => {
    await using lab = await startLab(network);
    const text = documents(type, more);
    const sallyport = (...args: readonly string[]) =>
      lab.run([process.execPath, SALLYPORT, ...args, '-f', '-'], {
        stdin: text,
        allowFailure: true,
        timeoutMs: 60_000,
      });
    const applied = await sallyport('apply', '--yes', ...(type === 'Direct' ? ACCEPTED : []));
    expect(applied, applied.stderr).toMatchObject({ status: 0 });
    await waitFor('both tunnels up', async () => (await sallyport('status')).status === 0);
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
