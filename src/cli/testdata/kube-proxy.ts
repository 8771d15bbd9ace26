/** kube-proxy's own rules, of a node 192.168.1.20 and fd00:1::20 with pods 10.244.1.5, .6 and 10.244.2.5: by mode. */
import { readFileSync } from 'node:fs';
import type { Lab } from '../../lab/index.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

/** Loads them on the host `node` of a lab. */
export const KUBE_PROXY = {
  iptables: async (lab: Lab) => {
    const node = lab.host('node');
    for (const object of ['ct_state_invalid_dropped_pkts', 'localhost_nps_accepted_pkts'])
      await node.run(['nfacct', 'add', object]);
    for (const word of ['iptables', 'ip6tables'])
      await node.run([`${word}-nft-restore`], {
        stdin: read(`../../iptables/testdata/kube-proxy-1.36/iptables.${word}-save`),
      });
  },
  nftables: async (lab: Lab) => {
    await lab.host('node').run(['nft', '-f', '-'], { stdin: read('kube-proxy-1.36/nftables.nft') });
  },
} as const;
