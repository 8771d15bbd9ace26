/**
 * How long the kernel still holds UDP flows on a target after their forward has moved: from the commit of the nft transaction (the ruleset's
 * generation) to the last flow's end (nf_conntrack_count), both asked for by one process some thousand times a second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, type LabHost, slimEdge, startLab } from '../src/lab/index.ts';
import { makeFolder, udpForwards } from './documents.ts';
import { atMost, type Line } from './measure.ts';
import { spread } from './rounds.ts';

const PUBLIC = '198.51.100.10';
/** Issue 3: ended within this time of the change. */
const GOAL_MS = 100;

/**
 * Prints `TIME GENERATION COUNT` whenever one of the two is another: by NFT_MSG_GETGEN (nf_tables.h) and how many connections are tracked.
 * Events of conntrack would do, were they not lost in a burst.
 */
const WATCH = `use Socket; use Time::HiRes 'time'; $| = 1;
socket(my $s, 16, SOCK_RAW, 12) or die "netlink: $!";
open(my $tracked, '<', '/proc/sys/net/netfilter/nf_conntrack_count') or die $!;
my $last = '';
while (1) {
  send($s, pack('LSSLL CCn', 20, 10 << 8 | 16, 1, 1, 0, 0, 0, 0), 0, pack('SSLL', 16, 0, 0, 0)) or die "send: $!";
  recv($s, my $answer, 4096, 0);
  sysseek($tracked, 0, 0); sysread($tracked, my $count, 32); chomp $count;
  my $now = unpack('N', substr($answer, 24, 4)) . " $count";
  printf "%.6f %s\\n", time, $now if $now ne $last;
  $last = $now; select(undef, undef, undef, 0.0002);
}`;

/** A datagram to each port, from one socket. */
const SEND = `use Socket; my ($first, $count) = @ARGV; socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_in(40000, INADDR_ANY)) or die;
for (0..$count - 1) { send($s, 'x', 0, pack_sockaddr_in($first + $_, inet_aton('${PUBLIC}'))) or die "send: $!"; select(undef, undef, undef, 0.002) if $_ % 100 == 99 }`;

const FIRST_PORT = 1_024;

/** `count` forwards with a flow each; once one of them moves, once all. */
export async function measureMoving(sallyport: string, count: number, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  const lines: Line[] = [];
  for (const moved of [1, count]) {
    const [before, after] = [0, moved].map((n) => folder.write(`${n}.yaml`, udpForwards(count, FIRST_PORT, n)));
    const files = { before: await before, after: await after };
    const taken: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await using lab = await startLab(
        slimEdge({ families: 'IPv4', privateLink: true, neighbour: false, home: false }),
      );
      taken.push(await moveOnce(lab, sallyport, { ...files, count, moved }));
    }
    const found = spread(taken);
    if (found === undefined) throw new RangeError('no rounds');
    lines.push({
      what: `${moved} of ${count} forwards moved, a UDP flow on each: from the change to the last flow's end`,
      ...{ value: found.median, unit: 'ms', spread: found, goal: atMost(GOAL_MS, 'ms', found.max) },
    });
  }
  return lines;
}

interface Move {
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly count: number;
  readonly moved: number;
}

async function moveOnce(lab: Lab, sallyport: string, { before = '', after = '', count, moved }: Move): Promise<number> {
  const apply = (file: string) =>
    lab.run([process.execPath, sallyport, 'apply', '--yes', '-f', file], { timeoutMs: 180_000 });
  const edge = lab.host('edge');
  await apply(before);
  // A flow without an answer lives for 30 s, and nobody answers here.
  await edge.run(['sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=3600']);
  await lab
    .host('node')
    .run([
      'nft',
      'add table ip quiet; add chain ip quiet in { type filter hook prerouting priority -300; policy drop; }',
    ]);
  await lab.host('client').run(['perl', '-e', SEND, String(FIRST_PORT), String(count)]);
  const stands = await flowCount(edge);
  if (stands !== count) throw new Error(`${stands} of ${count} flows stand`);

  await using watch = await edge.spawn(['perl', '-e', WATCH]);
  let text = '';
  watch.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const seen = () =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split(' ').map(Number));
  while (seen().length === 0) await sleep(5);
  await apply(after);
  const left = await flowCount(edge);
  const [first, ...later] = seen();
  const changed = later.find(([, generation]) => generation !== first?.[1])?.[0];
  const ended = later.find(([, , tracked = Number.NaN]) => tracked <= count - moved)?.[0];
  if (changed === undefined || ended === undefined || left !== count - moved)
    throw new Error(`${left} flows are left of ${count}, of which ${moved} moved`);
  return (ended - changed) * 1_000;
}

async function flowCount(edge: LabHost): Promise<number> {
  const { stdout } = await edge.run(['conntrack', '-L', '-p', 'udp'], { timeoutMs: 60_000 });
  return stdout.split('\n').filter((line) => line.includes('sport=40000')).length;
}
