import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRoot } from './holder.ts';
import type { LabHost } from './lab.ts';
import { type Packet, readPcap } from './packet.ts';
import { needTools, searchPath } from './tools.ts';

/** A capture in progress. */
export interface Capture extends AsyncDisposable {
  /** Ends it; all packets up to now, in order. */
  stop(): Promise<readonly Packet[]>;
}

/** How long a stop waits for packets that the kernel holds and tcpdump has not read. */
const drainMs = 2_000;

/** Records the packets of an interface of a host; returns once it listens. */
export async function startCapture(host: LabHost, device: string, filter = ''): Promise<Capture> {
  needTools(['tcpdump', ...(isRoot() ? [] : ['perl'])]);
  const program = await host.spawn(isRoot() ? tcpdump(device, filter) : ['perl', '-e', perlCapture, device]);
  const chunks: Buffer[] = [];
  program.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  let stderr = '';
  program.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  let status: number | undefined;
  void program.exited.then((ended) => {
    status = ended;
  });
  while (!stderr.includes('listening on')) {
    if (status !== undefined)
      throw new Error(`${host.name}: the capture on ${device} ended: status ${status}: ${stderr.trim()}`);
    await Promise.race([once(program.stderr, 'data'), program.exited]);
  }
  let packets: Promise<readonly Packet[]> | undefined;
  const end = async (): Promise<readonly Packet[]> => {
    if (isRoot()) await drain();
    program.kill('SIGINT');
    await program.exited;
    const all = Buffer.concat(chunks);
    return readPcap(isRoot() || filter === '' ? all : await filtered(all, filter));
  };
  const drain = async (): Promise<void> => {
    // SIGUSR1 makes tcpdump tell how many packets it has read and how many the kernel has for it.
    for (const deadline = Date.now() + drainMs; status === undefined && Date.now() < deadline; await sleep(5)) {
      stderr = '';
      program.kill('SIGUSR1');
      await Promise.race([once(program.stderr, 'data'), program.exited]);
      const counts = /(\d+) packets? captured, (\d+) packets? received/.exec(stderr);
      if (counts !== null && counts[1] === counts[2]) return;
    }
  };
  const stop = (): Promise<readonly Packet[]> => {
    packets ??= end();
    return packets;
  };
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

// -Z root: it would else become the user tcpdump, who may not be there.
const tcpdump = (device: string, filter: string): readonly string[] => [
  ...['tcpdump', '-i', device, '-Z', 'root', '-U', '--immediate-mode', '-n', '-s', '0', '-w', '-'],
  ...(filter === '' ? [] : [filter]),
];

/** tcpdump on what is captured already: reading a file it needs no rights, and so no change of user. */
async function filtered(pcap: Buffer, filter: string): Promise<Buffer> {
  const child = spawn('tcpdump', ['-r', '-', '-w', '-', filter], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: searchPath() },
  });
  child.stdin.on('error', () => {}); // its status tells
  child.stdin.end(pcap);
  const [stdout, stderr, [status]] = await Promise.all([
    child.stdout.toArray(),
    child.stderr.toArray(),
    once(child, 'close'),
  ]);
  if (status !== 0)
    throw new Error(`tcpdump -r - ${filter}: status ${status}: ${Buffer.concat(stderr).toString().trim()}`);
  return Buffer.concat(stdout);
}

/**
 * In a user namespace tcpdump cannot capture: as root it insists on setgroups(2), which is forbidden there. Perl is on
 * every Debian. Numbers: AF_PACKET 17, SOCK_RAW 3, ETH_P_ALL 3; SIOCGIFINDEX 0x8933, SIOCGIFHWADDR 0x8927,
 * SIOCGSTAMP 0x8906, ARPHRD_NONE 65534 (packet(7), netdevice(7)); pcap link types 1 Ethernet, 101 raw IP.
 */
const perlCapture = `
use strict; my ($device) = @ARGV; my $stop = 0; $SIG{INT} = sub { $stop = 1 };
socket(my $socket, 17, 3, unpack('S', pack('n', 3))) or die "socket: $!\\n";
my $index = pack('a16 x24', $device); ioctl($socket, 0x8933, $index) or die "$device: $!\\n";
my $hardware = pack('a16 x24', $device); ioctl($socket, 0x8927, $hardware) or die "$device: $!\\n";
bind($socket, pack('S n i S C C a8', 17, 3, unpack('x16 i', $index), 0, 0, 0, '')) or die "bind: $!\\n";
my $link = unpack('x16 S', $hardware) == 65534 ? 101 : 1;
syswrite STDOUT, pack('L S S l L L L', 0xa1b2c3d4, 2, 4, 0, 0, 262144, $link);
syswrite STDERR, "listening on $device\\n";
while (1) {
  my $ready = ''; vec($ready, fileno($socket), 1) = 1;
  if (select($ready, undef, undef, $stop ? 0 : 0.05) < 1) { last if $stop; next }
  defined recv($socket, my $packet, 262144, 0) or next;
  my $time = pack('q q', 0, 0); ioctl($socket, 0x8906, $time);
  my ($seconds, $micros) = unpack('q q', $time);
  my $bytes = pack('L L L L', $seconds, $micros, length $packet, length $packet) . $packet;
  while (length $bytes) { my $wrote = syswrite(STDOUT, $bytes); exit 1 unless defined $wrote; substr($bytes, 0, $wrote) = '' }
}
`;
