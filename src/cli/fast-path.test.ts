/**
 * The kernel's flowtable changes nothing but the path: same bytes, same client, same verdicts. A kernel without flowtables says so in the
 * plan, and that is all of it.
 */
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { hasFlowtables, type Lab, slimEdge } from '../lab/index.ts';
import { DIRECT, documents, type Story, startStory, VXLAN, WIREGUARD } from './testdata/story.ts';

const PUBLIC = { 4: '198.51.100.10', 6: '2001:db8:e::10' } as const;
const CLIENT = { 4: '192.0.2.10', 6: '2001:db8:c::10' } as const;

/** All that is forwarded, counted; and what each connection carried. */
const watch = async (lab: Lab): Promise<void> => {
  await lab.host('edge').run(['sysctl', '-qw', 'net.netfilter.nf_conntrack_acct=1']);
  await lab.host('edge').run(['nft', '-f', '-'], {
    stdin: 'table inet watch {\n chain w { type filter hook forward priority 10; counter; }\n}\n',
  });
};

const forwarded = async (lab: Lab): Promise<number> => {
  const { stdout } = await lab.host('edge').run(['nft', 'list', 'chain', 'inet', 'watch', 'w']);
  return Number(/packets (\d+)/.exec(stdout)?.[1]);
};

const ECHO = `require('net').createServer({ allowHalfOpen: true }, (socket) => {
  console.log(socket.remoteAddress);
  socket.on('error', () => {}).pipe(socket);
}).listen(8080, () => console.log('listens'));`;

/** ADDRESS PORT: for each line with a number it sends as many bytes and prints whether they came back, by their hash. */
const ASK = `const [address, port] = process.argv.slice(1);
const { createHash, randomBytes } = require('crypto');
const socket = require('net').connect({ host: address, port: Number(port) });
socket.on('error', (error) => { console.log(error.code); process.exit(); }).on('close', () => { console.log('closed'); process.exit(); });
const hash = (data) => createHash('sha256').update(data).digest('hex');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const sent = randomBytes(Number(line));
  const parts = [];
  let got = 0;
  const take = (part) => {
    parts.push(part);
    got += part.length;
    if (got < sent.length) return;
    socket.off('data', take);
    console.log(hash(Buffer.concat(parts)) === hash(sent) ? 'same' : 'other');
  };
  socket.on('data', take);
  socket.write(sent);
});`;

/** A program in a host that answers lines with lines. */
async function converse(lab: Lab, host: string, argv: readonly string[]) {
  const process = await lab.host(host).spawn(argv);
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  const hear = async (): Promise<string> => (await lines.next()).value ?? 'ended';
  return {
    hear,
    say(line: string): Promise<string> {
      process.stdin.write(`${line}\n`);
      return hear();
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}
const node = process.execPath;

/** What the kernel says of a family's connections to a public port. */
async function tracked(lab: Lab, family: 4 | 6, port: number, protocol = 'tcp'): Promise<readonly string[]> {
  const { stdout } = await lab
    .host('edge')
    .run(['conntrack', '-L', '-f', `ipv${family}`, '-p', protocol, '--orig-port-dst', String(port)]);
  return stdout.split('\n').filter((line) => line !== '');
}

const BYTES = 4_000_000;
/** Packets until a connection is in the fast path, and then some. */
const FEW = 40;
/** 4 MB there and back in segments of 64 KB, the largest that a veth passes on as one, are 122. */
const MANY = 100;

/** Sends the bytes there and back, and gives how many packets took the ordinary path meanwhile. */
async function slowPackets(lab: Lab, asking: { say(line: string): Promise<string> }): Promise<number> {
  const before = await forwarded(lab);
  expect(await asking.say(String(BYTES))).toBe('same');
  return (await forwarded(lab)) - before;
}

const forward = (ports: string, more = ''): string =>
  `${more}\n  ports: [${ports}]\n  to: [{ host: node, via: edge-node }]`;
const WEB = '{ protocol: TCP, port: 80, targetPort: 8080 }';

async function isSettled(story: Story, text: string): Promise<void> {
  const again = await story.sallyport(['plan', '--detailed-exitcode', '-f', '-'], text);
  expect(again, again.stdout).toMatchObject({ status: 0 });
}

test('a kernel without flowtables is named in the plan, and nothing else is different', async () => {
  await using story = await startStory(slimEdge({ privateLink: true }));
  const plan = async (more: string): Promise<string> =>
    (await story.sallyport(['plan', '-f', '-'], documents({ tunnel: DIRECT, forward: forward(WEB, more) }))).stdout;
  const [auto, off] = [await plan(''), await plan('fastPath: "Off"')];
  const said = '    fastPath: this kernel has no flowtables: all packets take the ordinary path\n';
  expect(auto.includes(said)).toBe(!hasFlowtables());
  expect(auto.includes('sp_fast')).toBe(hasFlowtables());
  expect(off).not.toMatch(/fastPath|sp_fast/);
});

/** Applies and no more: what `story.apply` waits for is up already. */
async function apply(story: Story, text: string): Promise<void> {
  const applied = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(applied, applied.stderr).toMatchObject({ status: 0 });
}

/** A connection of each family to the node: answered as the client's own, byte for byte, in the fast path. */
async function connectFast(lab: Lab, cleanup: AsyncDisposableStack) {
  const server = cleanup.use(await converse(lab, 'node', [node, '-e', ECHO]));
  expect(await server.hear()).toBe('listens');
  const connections = [];
  for (const family of [4, 6] as const) {
    const asking = cleanup.use(await converse(lab, 'client', [node, '-e', ASK, PUBLIC[family], '80']));
    expect(await asking.say('1000')).toBe('same');
    expect((await server.hear()).replace('::ffff:', '')).toBe(CLIENT[family]);
    expect(await slowPackets(lab, asking)).toBeLessThan(FEW);
    const [connection = '', ...others] = await tracked(lab, family, 80);
    expect(others).toEqual([]);
    expect(connection).toContain('[OFFLOAD]');
    // What passes by the fast path counts as elsewhere.
    const bytes = [...connection.matchAll(/bytes=(\d+)/g)].map((match) => Number(match[1]));
    expect(Math.min(...bytes)).toBeGreaterThan(BYTES);
    connections.push({ family, asking });
  }
  return connections;
}

describe('established connections take the fast path: same bytes, same client', () => {
  test('over WireGuard, and destroy leaves the host as it was', { tags: ['vm-only'] }, async () => {
    await using story = await startStory(slimEdge(), watch);
    await using cleanup = new AsyncDisposableStack();
    const text = documents({ tunnel: WIREGUARD, forward: forward(WEB) });
    await story.apply(text);
    await connectFast(story.lab, cleanup);
    await isSettled(story, text);
    await cleanup.disposeAsync();
    await story.destroy(text);
  });

  test('over VXLAN, beside a forward that stays out, and by a link that vanished and came again', {
    tags: ['vm-only'],
  }, async () => {
    await using story = await startStory(slimEdge({ privateLink: true }), watch);
    const { lab } = story;
    await using cleanup = new AsyncDisposableStack();
    const text = documents({ tunnel: VXLAN, forward: forward(WEB) });
    await apply(story, text);
    const [fast] = await connectFast(lab, cleanup);
    if (fast === undefined) throw new Error('no connection');
    const devices = async (): Promise<string> =>
      /devices = \{ (.*) \}/.exec((await lab.host('edge').run(['nft', 'list', 'flowtables'])).stdout)?.[1] ?? '';
    const all = await devices();
    expect(all).toMatch(/eth0.*sp-edge-node/);
    await lab.host('edge').run(['ip', 'link', 'delete', 'sp-edge-node']);
    expect(await devices()).not.toContain('sp-edge-node');
    const slow = `---\napiVersion: sallyport.dev/v1alpha1\nkind: PortForward\nmetadata: { name: slow }\nspec:\n  at: { hosts: [edge] }\n  fastPath: "Off"\n  ports: [{ protocol: TCP, port: 81, targetPort: 8080 }]\n  to: [{ host: node, via: edge-node }]\n`;
    await apply(story, text + slow);
    expect(await devices()).toBe(all);
    const out = cleanup.use(await converse(lab, 'client', [node, '-e', ASK, PUBLIC[4], '81']));
    expect(await out.say('1000')).toBe('same');
    expect(await slowPackets(lab, out)).toBeGreaterThan(MANY);
    expect(await fast.asking.say('1000')).toBe('same');
    expect(await slowPackets(lab, fast.asking)).toBeLessThan(FEW);
    await isSettled(story, text + slow);
    const undo = 'sh /run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/undo.sh';
    const { stdout, stderr } = await lab.host('edge').run(['sh', '-c', undo]);
    expect(stdout + stderr).toBe('');
    expect((await lab.host('edge').run(['nft', 'list', 'tables'])).stdout).toBe('table inet watch\n');
  });

  test('directly, counted by a limit, until they are to leave', { tags: ['vm-only'] }, async () => {
    await using story = await startStory(slimEdge({ privateLink: true }), watch);
    const { lab } = story;
    await using cleanup = new AsyncDisposableStack();
    const text = (more: string): string =>
      documents({ tunnel: DIRECT, forward: forward(WEB, `limits: { connections: 2 }${more}`) });
    await apply(story, text(''));
    const connections = await connectFast(lab, cleanup);
    const second = cleanup.use(await converse(lab, 'client', [node, '-e', ASK, PUBLIC[4], '80']));
    expect(await second.say('1000')).toBe('same');
    expect(await story.ask('client', { protocol: 'tcp', to: PUBLIC[4], port: 80 })).toBe('timeout');
    await apply(story, text('\n  fastPath: "Off"'));
    for (const { family, asking } of connections) {
      expect(await slowPackets(lab, asking)).toBeGreaterThan(MANY);
      expect((await tracked(lab, family, 80)).join()).not.toContain('[OFFLOAD]');
    }
    await isSettled(story, text('\n  fastPath: "Off"'));
  });
});
