/** `doctor` at the hosts of a lab, in this process: a start of the command line costs more than all that it looks at. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagedHost } from '../../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../../drivers/index.ts';
import { type FaultPlace, type Lab, type LabDoctor, labEntry, onTunnel, patient } from '../../lab/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { localTransport, namespaceTransport, type Transport } from '../../transport/index.ts';
import { isCode } from '../../verify/index.ts';
import { examine } from '../examine.ts';
import { CommandFailure } from '../exit.ts';
import { fix } from '../fix.ts';
import { openOutput } from '../output.ts';

const NEVER = new AbortController().signal;
/** What links it can make is found once for all labs. */
const kernel: SharedKernel = {};

interface Opened {
  readonly set: ResourceSet;
  readonly managed: readonly ManagedHost[];
}

function open(texts: readonly string[], transports: readonly Transport[]): Opened {
  const text = texts.map((access, index) => `${HEAD}\nmetadata: { name: ${transports[index]?.host} }\nspec: { access: ${access} }\n`);
  const { set } = loadResources([{ name: 'lab', text: text.join('---\n') }]);
  if (set === undefined) throw new TypeError(text.join());
  const managed = transports.map((transport) => ({
    ...{ name: transport.host, transport },
    driver: linuxDriver(transport, kernel),
  }));
  return { set, managed };
}

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: Host';

/** The hosts as documents would name them, and the way to each, `within` gone through first. */
export const openLabHosts = (lab: Lab, names: readonly string[], within: readonly string[] = []): Opened =>
  open(
    names.map((name) => `{ netns: { name: ${name} } }`),
    names.map((name) => namespaceTransport(name, name, { entry: [...labEntry(lab), ...within] })),
  );

/** A fault's one host: a namespace, or the machine that the lab is. */
export const openFault = (lab: Lab, { host, machine }: FaultPlace, within: readonly string[] = []): Opened =>
  machine === undefined
    ? openLabHosts(lab, [host], within)
    : open(['{ local: {} }'], [localTransport(host, { entry: labEntry(lab) })]);

export const labDoctor: LabDoctor = {
  async look(lab, at, within) {
    const { set, managed } = openFault(lab, at, within);
    return (await examine(openOutput('json', false), set, managed, NEVER)).findings;
  },
  async fix(lab, at) {
    const { code } = at;
    if (!isCode(code)) throw new TypeError(code);
    const results: unknown[] = [];
    const output = { ...openOutput('json', false), result: async (value: unknown) => void results.push(value) };
    const mended = fix(output, { fix: code, yes: true }, code, openFault(lab, at));
    // What is not for us to do is shown all the same.
    await mended.catch((error: unknown) => {
      if (!(error instanceof CommandFailure) || results.length === 0) throw error;
    });
    const [result] = results;
    if (typeof result !== 'object' || result === null || !('done' in result && 'left' in result)) throw new TypeError();
    return { done: linesOf(result.done), left: linesOf(result.left) };
  },
};

const linesOf = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** All that stands on the host, its tunnels included, but for what time itself changes. */
export async function dumpWithTunnels(lab: Lab, host: string): Promise<string> {
  const tunnels = 'for what in endpoints allowed-ips persistent-keepalive; do wg show all $what; done';
  const dump = await lab.dump(host);
  const shown = await onTunnel(lab, host, tunnels);
  // Its first line is without the link, and which peer that is changes.
  const lines = shown.split('\n').map((line) => line.split('\t').slice(-2).join(' '));
  return `${dump}\n${lines.sort().join('\n')}`;
}

/** Where settings of a host lie that a command of ours reads or writes. The rest of /etc is this machine's, and other tests'. */
const SETTINGS = ['sallyport', 'sysctl.d', 'sysctl.conf', 'wireguard', 'systemd', 'NetworkManager', 'nftables.conf', 'iproute2'];

/**
 * Every file and folder of the lab's /run, and of those folders: its kind, mode, length, and of files when they were changed. What is in
 * /run/bundles is the test's own, and systemd writes in its folder whenever it likes.
 */
export async function filesOf(lab: Lab): Promise<string> {
  const places = ['/run', ...SETTINGS.map((name) => `/etc/${name}`)].join(' ');
  const find = `find ${places} \\( -path /run/bundles -o -path /run/systemd \\) -prune -o -type d -printf '%p %m\\n' -o -printf '%p %y %m %s %T+ %l\\n'`;
  // Not every machine has all of them.
  return (await lab.run(['sh', '-c', `${find} 2>/dev/null | sort`])).stdout;
}

/** Nobody is heard of any more: what is armed in the lab undoes, as its time would have it. */
const LET_GO = `for b in $(find /run/sallyport /etc/sallyport -path '*/pending/beat' 2>/dev/null); do
  cd "\${b%/*}" && echo 0 >beat
  if [ -e unit ]; then systemctl start --no-block "$(cat unit).service"; else pkill -P "$(cat watch)" -x sleep || :; fi
done`;

/** Ends the wait of what is armed in the lab, as its time would, and waits until all is taken back. */
export async function letTimePass(lab: Lab): Promise<void> {
  await lab.run(['sh', '-c', LET_GO]);
  await untilUndone(lab);
}

/** Waits until nothing that undoes itself is pending in the lab. */
export async function untilUndone(lab: Lab): Promise<void> {
  const pending = [
    'sh',
    '-c',
    "find /run/sallyport /etc/sallyport -name 'pending*' 2>/dev/null; pgrep -f 'pending/[u]ndo.sh' || :",
  ];
  const isPending = async (): Promise<boolean> => (await lab.run(pending)).stdout !== '';
  for (const end = Date.now() + patient(20_000); await isPending(); await sleep(100))
    if (Date.now() > end) throw new Error('it is pending still');
}

const MACHINE = `ip -br link; ip -br addr; nft -s list ruleset
for f in -4 -6; do ip $f rule; ip $f route show table all; done
grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward
find /etc/systemd/network* /etc/sysctl.d /etc/sallyport /run/sallyport 2>/dev/null -printf '%p %m\\n'
:`;

/** What a fix could change of the fault's host. */
export async function dumpFault(lab: Lab, { host, machine }: FaultPlace): Promise<string> {
  return machine === undefined ? await dumpWithTunnels(lab, host) : (await lab.run(['sh', '-c', MACHINE])).stdout;
}
