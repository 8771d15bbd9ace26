/**
 * A cloud's network load balancer, of real parts: haproxy asks the targets by TCP and passes TCP on, nftables passes UDP on with the client's
 * own address, and a watcher makes of haproxy's state the targets of UDP. As the cloud's it knows no other check of UDP.
 */
import { connect, isIP } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { patient } from './command.ts';
import type { Lab } from './lab.ts';
import { needTools } from './tools.ts';

export interface BalancerSpec {
  /** The host that it runs on, and its link to the outside. */
  readonly host: string;
  readonly outside: string;
  /** Where it is reached, an address of each family. */
  readonly addresses: { readonly 4: string; readonly 6: string };
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly targets: readonly { readonly name: string; readonly 4: string; readonly 6: string }[];
}

/** How haproxy finds a target of one family: `UP` or `DOWN`, and by which check (`L4OK`, `L4TOUT`, `L4CON`). */
export interface TargetState {
  readonly name: string;
  readonly family: 4 | 6;
  readonly status: string;
  readonly check: string;
}

/** Between two checks of a target, in milliseconds; two that fail take it out, one that does not brings it back. */
export const CHECK_MS = 500;

const FOLDER = '/run/balancer';
const FAMILIES = [4, 6] as const;

/** Starts it; its parts go on when this process has ended, and end with the lab. It answers when this returns. */
export async function startBalancer(lab: Lab, spec: BalancerSpec): Promise<void> {
  needTools(['haproxy', 'nft', 'conntrack', 'perl']);
  await lab.host(spec.host).run(['mkdir', '-p', FOLDER]);
  await lab.host(spec.host).run(['tee', `${FOLDER}/haproxy.cfg`], { stdin: haproxyFile(spec) });
  await lab.host(spec.host).run(['nft', '-f', '-'], { stdin: table(spec) });
  await goOn(lab, spec.host, 'haproxy', ['haproxy', '-db', '-f', `${FOLDER}/haproxy.cfg`]);
  await goOn(lab, spec.host, 'watcher', [
    'perl',
    '-e',
    WATCHER,
    `${FOLDER}/haproxy.sock`,
    spec.outside,
    String(spec.udpPort),
  ]);
  await eventually('the balancer answers', async () => (await balancerState(lab)).length > 0);
}

/** Starts a program on a host that goes on when this process has ended. Its process id lies in /run/NAME.pid, what it says in /run/NAME.log. */
export async function goOn(lab: Lab, host: string, name: string, argv: readonly string[]): Promise<void> {
  const start = 'setsid "$@" </dev/null >"/run/$0.log" 2>&1 & echo $! >"/run/$0.pid"';
  await lab.host(host).run(['sh', '-ec', start, name, ...argv]);
}

/** What haproxy says of its targets; empty where it does not answer yet. */
export async function balancerState(lab: Lab): Promise<readonly TargetState[]> {
  const socket = connect(`/proc/${lab.pid}/root${FOLDER}/haproxy.sock`);
  socket.end('show stat -1 4 -1\n');
  const answer = await text(socket).catch(() => '');
  const [head = '', ...lines] = answer.replace(/^# /, '').trim().split('\n');
  const names = head.split(',');
  return lines.flatMap((line) => {
    const values = line.split(',');
    const value = (name: string): string => values[names.indexOf(name)] ?? '';
    const family = FAMILIES.find((each) => value('pxname') === `pods${each}`);
    const check = value('check_status').replace(/^\* /, '');
    return family === undefined ? [] : [{ name: value('svname'), family, status: value('status'), check }];
  });
}

/** The addresses that UDP is passed on to now. */
export async function udpTargets(lab: Lab, host: string): Promise<readonly string[]> {
  const { stdout } = await lab.host(host).run(['nft', '-j', 'list', 'chain', 'inet', 'balancer', 'targets']);
  return stdout.split('"').filter((word) => isIP(word) !== 0);
}

/** Waits for it, ten seconds at most. */
export async function eventually(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + patient(10_000); !(await isSo()); await sleep(20))
    if (Date.now() > deadline) throw new Error(`${what}: not within 10 s`);
}

const haproxyFile = ({ addresses, tcpPort, targets }: BalancerSpec): string => `global
  stats socket ${FOLDER}/haproxy.sock
defaults
  mode tcp
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  default-server check inter ${CHECK_MS}ms fall 2 rise 1
${FAMILIES.map(
  (family) => `listen pods${family}
  bind ${bracketed(addresses[family])}:${tcpPort}
${targets.map((each) => `  server ${each.name} ${bracketed(each[family])}:${tcpPort}\n`).join('')}`,
).join('')}`;

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);

/** What a target sends of itself by the tunnel's port is no answer, and a cloud's balancer passes none on. */
const table = ({ outside, udpPort }: BalancerSpec): string => `table inet balancer {
  chain targets { type nat hook prerouting priority dstnat; iifname "${outside}" udp dport ${udpPort} drop; }
  chain strays { type filter hook forward priority filter; oifname "${outside}" udp sport ${udpPort} ct state new drop; }
}
`;

/**
 * Asks haproxy again and again which targets are well, and passes UDP on to those alone, the same client to the same one. Flows to one that
 * leaves are forgotten: their next packet goes to another. Fields of `show servers state`: haproxy's management guide, 9.3; 2 is running.
 */
const WATCHER = `
use strict; use IO::Socket::UNIX;
my ($path, $outside, $port) = @ARGV; my $before = ''; my %were;
while (1) {
  select undef, undef, undef, 0.05;
  my $haproxy = IO::Socket::UNIX->new($path) or next;
  print $haproxy "show servers state\\n";
  my %up = (4 => [], 6 => []);
  while (<$haproxy>) {
    my (undef, $backend, undef, undef, $address, $state) = split;
    push @{$up{$1}}, $address if ($backend // '') =~ /^pods([46])$/ && $state == 2;
  }
  my $rules = "flush chain inet balancer targets\\n";
  for my $family (4, 6) {
    my ($ip, @to) = ($family == 4 ? 'ip' : 'ip6', @{$up{$family}});
    my $which = 'jhash ' . $ip . ' saddr . udp sport mod ' . @to . ' map { ' . join(', ', map { "$_ : $to[$_]" } 0 .. $#to) . ' }';
    my $does = @to == 0 ? 'drop' : "dnat $ip to " . (@to == 1 ? $to[0] : $which);
    $rules .= qq(add rule inet balancer targets iifname "$outside" meta nfproto ipv$family udp dport $port $does\\n);
  }
  next if $rules eq $before;
  open(my $nft, '|-', 'nft', '-f', '-') or next; print $nft $rules; close($nft) or next;
  $before = $rules;
  my %are = map { $_ => 1 } @{$up{4}}, @{$up{6}};
  for my $gone (grep { !$are{$_} } keys %were) {
    system('conntrack', '-D', '-f', $gone =~ /:/ ? 'ipv6' : 'ipv4', '-p', 'udp', '-r', $gone);
  }
  %were = %are;
}
`;
