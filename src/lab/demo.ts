import { readFile } from 'node:fs/promises';
import { type Lab, startLab } from './lab.ts';
import { type Packet, printPacket } from './packet.ts';
import { showNetwork } from './show-network.ts';
import { slimEdge } from './slim-edge.ts';
import { type DemoOptions, examplePath, openTelling } from './telling.ts';
import { needTools } from './tools.ts';

const edgeAddresses = ['198.51.100.10', '2001:db8:e::10'] as const;
const clientAddresses = ['192.0.2.10', '2001:db8:c::10'] as const;
const web = 80;
const game = 27015;
const secret = 'a word nobody on the way may read';

/** Tells the story of the slim edge on this machine's kernel; throws when anything it promises does not hold. */
export async function demoSlimEdge(options: DemoOptions): Promise<void> {
  const { out } = options;
  needTools(['ip', 'nft', 'nginx', 'curl', 'tcpdump', 'wg']);
  const topology = slimEdge();
  await using lab = await startLab(topology);
  const file = examplePath('slim-edge/edge.yaml');
  const { step, sallyport, asItWas, end } = openTelling(lab, options);

  step('The network, each machine a namespace of this kernel');
  out(showNetwork(topology));
  await lab.nginx('node', { port: 8080 });
  await using gameServer = await lab.serve('node', { protocol: 'udp', port: game });
  const before = { edge: await lab.dump('edge'), node: await lab.dump('node') };

  step('Before: nginx runs on the node, but nobody outside reaches it');
  await expectRefused(lab, out);

  step('What is wanted: examples/slim-edge/edge.yaml');
  out(await readFile(file, 'utf8'));

  step('The plan, proven before it is applied');
  const plan = await sallyport(['plan', '-f', file]);
  out(plan);
  step('Applied');
  out(withoutLines(await sallyport(['apply', '-f', file, '--yes']), plan)); // it repeats the plan

  step('The client again, and a capture on the wire between edge and node');
  const capture = await lab.capture('home', 'wan0', 'tcp or udp');
  await expectAnswered(lab, out);
  for (const { client, payload } of await gameServer.report()) {
    out(`  the node's UDP server saw ${client.address} port ${client.port}: "${payload}"\n`);
  }
  showCapture(await capture.stop(), out);

  step('Status');
  out(await sallyport(['status', '-f', file]));
  step('Taken back');
  out(lastLines(await sallyport(['destroy', '-f', file, '--yes']), 6));
  await expectRefused(lab, out);
  for (const host of ['edge', 'node'] as const) await asItWas(host, before[host]);
  end();
}

/** The lines of `text` that are not in `known`. */
function withoutLines(text: string, known: string): string {
  const lines = new Set(known.split('\n'));
  return `${text
    .split('\n')
    .filter((line) => !lines.has(line))
    .join('\n')}\n`;
}

function lastLines(text: string, count: number): string {
  const lines = text.trimEnd().split('\n');
  return lines.length <= count ? text : `  … ${lines.length - count} lines before\n${lines.slice(-count).join('\n')}\n`;
}

/** One request by each protocol and family, none of which may be answered. */
async function expectRefused(lab: Lab, out: (text: string) => void): Promise<void> {
  for (const to of edgeAddresses) {
    for (const [protocol, port] of [
      ['tcp', web],
      ['udp', game],
    ] as const) {
      const result = await lab.connect('client', { protocol, to, port, timeoutMs: 1_000 });
      if (result.ok) throw new Error(`${protocol} ${to} port ${port} answers, and should not`);
      out(`  client ${protocol.toUpperCase()} to ${to} port ${port}: ${words[result.error] ?? result.error}\n`);
    }
  }
}

const words: Readonly<Record<string, string>> = { ECONNREFUSED: 'connection refused', timeout: 'no answer' };

/** The same requests, all of which must be answered by a server that saw the client's own address. */
async function expectAnswered(lab: Lab, out: (text: string) => void): Promise<void> {
  for (const [i, to] of edgeAddresses.entries()) {
    const url = `http://${to.includes(':') ? `[${to}]` : to}/`;
    const { stdout } = await lab.host('client').run(['curl', '-gsS', '--max-time', '5', '-A', secret, url]);
    out(`  client$ curl ${url}\n    ${stdout}`);
    if (stdout !== `you are ${clientAddresses[i]}\n`) throw new Error(`nginx saw another address: ${stdout}`);
    const result = await lab.connect('client', { protocol: 'udp', to, port: game, payload: secret, timeoutMs: 5_000 });
    if (!result.ok) throw new Error(`udp ${to} port ${game}: ${result.error}`);
    if (result.saw?.client.address !== clientAddresses[i]) {
      throw new Error(`the UDP server saw another address: ${result.saw?.client.address}`);
    }
    out(`  client: UDP to ${to} port ${game} was answered\n`);
  }
}

/** All that passed must be WireGuard, with the secret nowhere in it. */
function showCapture(packets: readonly Packet[], out: (text: string) => void): void {
  const isTunnel = (packet: Packet): boolean =>
    packet.protocol === 'udp' &&
    [packet.sourcePort, packet.destinationPort].includes(51820) &&
    wireguardTypes.includes(packet.payload[0] ?? 0);
  const readable = packets.filter((packet) => !isTunnel(packet) || packet.payload.includes(secret));
  if (packets.length === 0) throw new Error('the capture is empty');
  if (readable.length > 0) throw new Error(`readable on the wire:\n${readable.map(printPacket).join('\n')}`);
  for (const packet of packets.slice(0, 4)) {
    out(`  ${printPacket(packet)}: ${packet.payload.subarray(0, 12).toString('hex')}…\n`);
  }
  out(`  ${packets.length} packets in all, every one WireGuard's; what client and server said is in none of them\n`);
}

/** The first byte of a WireGuard message: handshake, answer, cookie, data (the paper, section 5.4). */
const wireguardTypes: readonly number[] = [1, 2, 3, 4];
