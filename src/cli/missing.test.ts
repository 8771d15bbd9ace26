/** A kernel or a tool that cannot do what the documents need: named by plan and by apply, before anything is changed. Real absence of IPIP and GRE: tunnels.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { documents, type Story, startStory, WIREGUARD } from './testdata/story.ts';

const VXLAN = WIREGUARD.replace('WireGuard', 'VXLAN')
  .replace('198.51.100.10:51820', '172.31.0.1')
  .replace('"fd90::2/64"]', '"fd90::2/64"], endpoint: "172.31.0.2"');
const KERNEL_WITHOUT = (
  kind: string,
) => `case "$*" in *" type ${kind}"*) echo 'Error: Unknown device type.' >&2; exit 2 ;; esac
exec $real "$@"`;

describe('named before anything is changed:', () => {
  let story: Story;
  let before = '';
  const dumps = async (): Promise<string> => `${await story.lab.dump('edge')}\n${await story.lab.dump('node')}`;
  beforeAll(async () => {
    story = await startStory(slimEdge({ privateLink: true }));
    // Without a tun device wireguard-go is of no use.
    await story.lab.run(['sh', '-ec', ': >/run/none; [ ! -e /dev/net/tun ] || mount -n --bind /run/none /dev/net/tun']);
    before = await dumps();
  });
  afterAll(async () => story[Symbol.asyncDispose]());

  for (const [program, text, tunnel, says] of [
    [
      'ip',
      KERNEL_WITHOUT('wireguard'),
      WIREGUARD,
      'WireGuard is not supported by this kernel: it has no wireguard links, and there is no wireguard-go with /dev/net/tun',
    ],
    ['ip', KERNEL_WITHOUT('vxlan'), VXLAN, 'VXLAN is not supported by this kernel: it has no vxlan links'],
    ['uname', 'echo 5.9.0-5-amd64', WIREGUARD, 'Linux 5.9.0 is too old: Sallyport needs 5.10 or newer'],
    ['nft', 'echo "nftables v1.0.1 (X)"', WIREGUARD, 'nft 1.0.1 is too old: Sallyport needs 1.0.2 or newer'],
    [
      'ip',
      '[ "$1" != -V ] && exec $real "$@"; echo "ip utility, iproute2-5.9.0"',
      WIREGUARD,
      'iproute2 5.9.0 is too old: Sallyport needs 5.10 or newer',
    ],
  ] as const)
    test(says, async () => {
      const { lab, sallyport } = story;
      const put = `real=$(readlink -f "$(command -v "$1")"); cp "$real" "/run/real-$1"
printf '#!/bin/sh\\nreal=/run/real-%s\\n%s\\n' "$1" "$2" >"/run/fake-$1"; chmod 755 "/run/fake-$1"
mount -n --bind "/run/fake-$1" "$real"; echo "$real"`;
      const at = (await lab.run(['sh', '-ec', put, 'sh', program, text])).stdout.trim();
      try {
        for (const command of [['plan'], ['apply', '--yes']]) {
          const { status, stdout, stderr } = await sallyport([...command, '-f', '-'], documents({ tunnel }));
          for (const host of ['edge', 'node']) expect(stdout + stderr).toContain(`${host}: ${says}`);
          expect(status).toBe(text.startsWith('case') ? 2 : 1); // documents this host cannot have, or a host nobody can work with
        }
      } finally {
        await lab.run(['umount', '-n', at]);
      }
      expect(await dumps()).toBe(before);
      expect((await lab.run(['ls', '/run'])).stdout).not.toContain('sallyport');
    });
});
