import type { Lab } from '../lab.ts';
import { cable, type LabFault, LOOSE, network, on, plug } from './fault.ts';
import { writeConfig } from './spoke.ts';

/** Before an argument vector: /proc/sys as containers have it. */
const READ_ONLY: readonly string[] = [
  ...['unshare', '--mount', 'sh', '-ec'],
  'mount -n --bind /proc/sys /proc/sys; mount -n -o remount,bind,ro /proc/sys; exec "$@"',
  'sh',
];

/** As a container's: a full tunnel for wg-quick, and nothing of the machine's own /run/wireguard. */
async function config(lab: Lab): Promise<void> {
  // What is changed there lies over the machine's own, which stays as it is.
  await lab.run([
    ...['sh', '-ec'],
    `d=$(dirname "$(readlink -f "$(command -v wg-quick)")"); mkdir -p /run/over/upper /run/over/work
mount -n -t overlay overlay -o lowerdir="$d",upperdir=/run/over/upper,workdir=/run/over/work "$d"`,
  ]);
  const key = (await lab.run(['wg', 'genkey'])).stdout.trim();
  const peer = (await lab.run(['sh', '-c', 'wg genkey | wg pubkey'])).stdout.trim();
  await writeConfig(
    lab,
    'wgq',
    `[Interface]\nPrivateKey = ${key}\nAddress = 10.8.0.2/24\n[Peer]\nPublicKey = ${peer}\nAllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.1:51820\n`,
  );
}

/** As the finding says. */
const ASK_FIRST = `sed -i 's/&& cmd sysctl -q net.ipv4.conf.all.src_valid_mark=1/\\&\\& [[ $(sysctl -n net.ipv4.conf.all.src_valid_mark) != 1 ]] &/' "$(command -v wg-quick)"`;

export const sysctlReadOnly: LabFault = {
  code: 'sysctlReadOnly',
  title: 'wg-quick in a container may not write src_valid_mark, and takes its link away',
  topology: network(
    'container',
    [
      { name: 'box', title: 'a container', sysctls: LOOSE, routes: [{ to: 'default', via: '192.0.2.1' }] },
      { name: 'far', title: 'beyond' },
    ],
    [cable(plug('box', 'eth0', '192.0.2.2/24'), plug('far', 'eth0', '192.0.2.1/24'))],
  ),
  host: 'box',
  within: READ_ONLY,
  inject: config,
  async symptom(lab) {
    const up = await lab.host('box').run([...READ_ONLY, 'wg-quick', 'up', 'wgq'], { allowFailure: true });
    const there =
      (await lab.host('box').run(['ip', '-o', 'link', 'show', 'dev', 'wgq'], { allowFailure: true })).status === 0;
    if (there) {
      await on(lab, 'box', 'wg-quick down wgq 2>&1 || ip link del wgq');
      return undefined;
    }
    const line = up.stderr.split('\n').find((each) => /sysctl|read-only/i.test(each) && !each.startsWith('[#]'));
    return line ?? up.stderr.trim().split('\n').at(-1);
  },
  first: {
    commands: ['sysctl -w net.ipv4.conf.all.src_valid_mark=1'],
    why: 'it is set where the container is started, and not in it',
  },
  typed: 'wg-quick is a program of others',
  nearMisses: [
    {
      title: 'read-only, the value is 1 already, and wg-quick asks first',
      within: READ_ONLY,
      async make(lab) {
        await config(lab);
        await on(lab, 'box', `sysctl -qw net.ipv4.conf.all.src_valid_mark=1\n${ASK_FIRST}`);
      },
    },
    { title: 'writable', make: config },
  ],
};
