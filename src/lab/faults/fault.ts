/** A fault of the field, built on this machine's kernel: what makes it, what it looks like, and how it is told and mended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, openLab, startLab } from '../lab.ts';
import { type MachineOptions, machineProblem, startMachine } from '../machine.ts';
import type { Cable, HostSpec, Plug, SwitchSpec, Topology } from '../topology.ts';

/** What stands on a host beside its network, while a fault is shown; each ends with the lab. */
export interface LabFault {
  /** As `doctor` calls it. */
  readonly code: string;
  readonly title: string;
  readonly topology: Topology;
  /** A machine with its own systemd in place of a network of namespaces: the lab is that machine, and the topology names what is in it. */
  readonly machine?: MachineOptions;
  /** Where it is looked for; on a machine, on itself. */
  readonly host: string;
  /** Builds everything, the fault included; `sallyport` is how the command line is started. */
  readonly inject: (lab: Lab, sallyport: readonly string[]) => Promise<void>;
  /** What is seen of it with real packets; undefined where nothing is. */
  readonly symptom: (lab: Lab) => Promise<string | undefined>;
  /** Builds it once more where a fix that was tried and taken back has left something good. */
  readonly again?: (lab: Lab) => Promise<unknown>;
  /** What a person decides before the finding's own commands are carried out. */
  readonly first?: ByHand;
  /** Why a person types them: `doctor --fix` does not carry them out. */
  readonly typed?: string;
  /** In place of them, where they are for another machine or are no commands. */
  readonly instead?: ByHand;
  /** The documents by which it is mended: `doctor -f DOCUMENTS --fix`. */
  readonly documents?: string;
  /** Before an argument vector: how the program that looks is started. */
  readonly within?: readonly string[];
  /** What is alike and harms nobody: made in place of the fault, and not named. */
  readonly nearMisses: readonly NearMiss[];
}

/** The network, or the machine, in which a fault is built. */
export async function startStage({ topology, machine }: LabFault): Promise<Lab> {
  if (machine === undefined) return await startLab(topology);
  const problem = machineProblem();
  if (problem !== undefined) throw new Error(`a machine of its own, with systemd, cannot be started here: ${problem}`);
  const started = await startMachine(machine);
  return openLab(started.pid, topology, async () => started[Symbol.asyncDispose]());
}

export interface ByHand {
  readonly commands: readonly string[];
  readonly why: string;
}

export interface NearMiss {
  readonly title: string;
  readonly make: (lab: Lab, sallyport: readonly string[]) => Promise<void>;
  readonly within?: readonly string[];
  readonly machine?: MachineOptions;
}

export const plug = (at: string, name: string, ...addresses: readonly string[]): Plug => ({
  at,
  interface: name,
  addresses,
});
export const cable = (one: Plug, other: Plug, mtu?: number): Cable => ({
  ends: [one, other],
  ...(mtu !== undefined && { mtu }),
});

export const network = (
  name: string,
  hosts: readonly HostSpec[],
  cables: readonly Cable[],
  switches: readonly SwitchSpec[] = [],
): Topology => ({ name, hosts, cables, switches });

export const FORWARDS = { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' } as const;
/** No filter of its own, whatever the machine's default is. */
export const LOOSE = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.default.rp_filter': '0' } as const;

/** Runs a script on a host. */
export const on = async (lab: Lab, host: string, script: string): Promise<string> =>
  (await lab.host(host).run(['sh', '-ec', script])).stdout;

/** Undefined where the server answers, else what the client sees. */
export async function unanswered(
  lab: Lab,
  host: string,
  to: string,
  port: number,
  more: {
    readonly protocol?: 'tcp' | 'udp';
    readonly sourcePort?: number;
    readonly payload?: string;
    readonly timeoutMs?: number;
  } = {},
): Promise<string | undefined> {
  const { protocol = 'tcp', timeoutMs = 1_200, ...rest } = more;
  const result = await lab.connect(host, { protocol, to, port, timeoutMs, ...rest });
  return result.ok ? undefined : `${protocol.toUpperCase()} from ${host} to ${to} port ${port}: ${result.error}`;
}

/** A command in the mount namespace where the sockets of the host's wireguard-go lie, as our own transport finds them. */
export const WITH_SOCKETS = `d=/run/sallyport/netns/$(stat -L -c %i /proc/self/ns/net)/wireguard
mkdir -p "$d" /run/wireguard; mount -n --bind "$d" /run/wireguard`;

/** The same for a program that goes on, to be started by LabHost.spawn. */
export const withSockets = (argv: readonly string[]): readonly string[] => [
  ...['unshare', '--mount', 'sh', '-ec', `${WITH_SOCKETS}\nexec "$@"`, 'sh', ...argv],
];

export const onTunnel = async (lab: Lab, host: string, script: string): Promise<string> =>
  (await lab.host(host).run(['unshare', '--mount', 'sh', '-ec', `${WITH_SOCKETS}\n${script}`])).stdout;

/** Makes a WireGuard link, by the kernel or by wireguard-go, with a key of its own, which it gives the public part of. */
export async function makeTunnel(lab: Lab, host: string, link: string, port: number): Promise<string> {
  const kernel = await lab.host(host).run(['ip', 'link', 'add', link, 'type', 'wireguard'], { allowFailure: true });
  if (kernel.status !== 0) {
    const start = `${WITH_SOCKETS}\nexec wireguard-go -f ${link}`;
    const program = await lab
      .host(host)
      .spawn(['unshare', '--mount', 'sh', '-ec', start], { env: { LOG_LEVEL: 'error' } });
    program.stdout.resume();
    program.stderr.resume();
  }
  for (let tries = 0; ; tries++) {
    const ready = await onTunnel(lab, host, `wg show ${link} >/dev/null 2>&1 && echo yes || :`);
    if (ready.trim() === 'yes') break;
    if (tries > 100) throw new Error(`${host}: ${link} does not come up`);
    await sleep(30);
  }
  const set = `wg genkey >/run/${host}-${link}.key
for i in 1 2 3 4 5; do wg set ${link} listen-port ${port} private-key /run/${host}-${link}.key && break; sleep 0.1; done
wg pubkey </run/${host}-${link}.key; rm /run/${host}-${link}.key`;
  return (await onTunnel(lab, host, set)).trim();
}
