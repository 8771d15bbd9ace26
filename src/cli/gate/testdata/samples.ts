/** Requests that a gate lets through: one for each of its forms, with words for each kind. */
import { undoText } from '../../../apply/index.ts';
import { restoreFrame } from '../../../drivers/index.ts';
import { DAEMON_FILES, FILE_MARK, RECORD_FORMAT, undoScript } from '../../../host/index.ts';
import { PERL } from '../../run/probe-script.ts';
import { sallyportVersion } from '../../version.ts';
import { FORMS } from '../forms.ts';
import { GATE_SCRIPTS } from '../text.ts';
import { STATE } from './judge.ts';

export interface Sample {
  readonly argv: readonly string[];
  readonly stdin?: string;
}

export const TOKEN = '1b4e28ba-2fa1-41d2-883f-0016d3cca427';
const KEY = 'bm9kZW5vZGVub2Rlbm9kZW5vZGVub2Rlbm9kZW5vZGU=';
const DAEMON_FILE = DAEMON_FILES[0] ?? { path: '', content: '' };

export const NFT = `add table inet sallyport
flush chain inet sallyport sp_pre
delete element inet sallyport sp_to4 { 198.51.100.10 . tcp . 80 }
add chain inet sallyport sp_pre { type filter hook prerouting priority -150; policy accept; }
add map inet sallyport sp_to4r { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval; }
add element inet sallyport sp_to4 { 198.51.100.10 . tcp . 80 : 192.168.1.20 . 8080,
  198.51.100.10 . tcp . 81 : 192.168.1.20 . 8080 }
add rule inet sallyport sp_pre iifname vmap { "sp-wg51820" : jump sp_from_wg51820 }
add rule inet sallyport sp_dnat ct mark & 0x000000ff == 0x00000000 jump sp_forwards
`;
const IP = `link add name sp-wg51820 mtu 1440 up type wireguard
link set dev sp-wg51820 alias ""
address add fd90::1/64 dev sp-wg51820 nodad
route add 192.168.1.20/32 dev sp-wg51820 table 254 protocol 83
rule add priority 5000 fwmark 0x1/0xff lookup 5000 protocol 83
`;
const FLOW = '-D -f ipv4 -p udp -m 0xff/0xff --reply-src 192.168.1.20 --orig-dst 198.51.100.10 --orig-port-dst 80 --reply-port-src 8080';

/** Steps of every kind, as a host would carry them out by itself. */
const text = (name: string): string => GATE_SCRIPTS.get(name) ?? '';
export const UNDO = undoText({
  ...{ folder: `${STATE}/pending`, token: TOKEN, windowMs: 30_000, wipes: true, hasOwnMounts: false },
  undo: {
    steps: [
      { step: 3, commands: [{ argv: ['nft', '-f', '-'], stdin: 'delete table inet sallyport\n' }] },
      { step: 2, commands: [{ argv: ['ip', '-force', '-batch', '-'], stdin: 'link delete dev sp-wg51820\n', mild: true }] },
      {
        step: 1,
        lasts: true,
        commands: [{ argv: ['sh', '-c', text('PUT_SYSCTLS'), 'sh', 'net/ipv4/ip_forward', '0'] }],
      },
    ],
    files: [`${STATE}/record.json`, `${STATE}/undo.sh`],
    count: 3,
  },
});

export const STANDING = undoScript(
  {
    ...{ format: RECORD_FORMAT, version: sallyportVersion(), sets: new Map() },
    numbers: { mark: { value: 1, mask: 1 }, suppressPriority: 1, tunnels: new Map() },
    sysctlsBefore: new Map([['net/ipv4/conf/eth0/forwarding', '0']]),
  },
  STATE,
);

const { head, tail } = restoreFrame(STATE, undefined);
export const RESTORE = `#!/bin/sh
# a1b2 ${'0'.repeat(64)}
${head}bring 1 'nft: 1 change' 'table' <<'END_OF_ITEM' || stop
add table inet sallyport
delete table inet sallyport
${NFT}END_OF_ITEM
bring 2 'link sp-wg51820' 'ip' '-force' '-batch' '-' <<'END_OF_ITEM'
${IP}END_OF_ITEM
bring 3 'sysctl: 1 sysctl' 'sh' '-c' '${text('RESTORE_SYSCTLS').replaceAll("'", `'\\''`)}' 'sh' 'net/ipv4/ip_forward' '1' </dev/null
${tail}`;

const WORDS: Readonly<Record<string, readonly string[]>> = {
  ms: ['30000'],
  token: [TOKEN],
  title: ["apply by root, process 4711 on mars, since 2026; it's"],
  number: ['1'],
  asked: ['example.com'],
  ipfamily: ['4'],
  address: ['192.0.2.1'],
  linkorno: ['eth0'],
  ownfile: [`${STATE}/undo.sh`],
  mode: ['700'],
  draft: [`${STATE}/lock.4711.1`],
  statefile: [`${STATE}/undo.sh`],
  keyname: ['sp-wg51820.next'],
  link: ['sp-wg51820'],
  key: [KEY],
  wg: ['sp-wg51820', 'listen-port', '51820', 'fwmark', '0', 'private-key', `${STATE}/keys/sp-wg51820.key`],
  counters: ['transfer'],
  tablefamily: ['ip'],
  name: ['sp_fast'],
  generation: ['1b4e 4026532000 2026-11-27 23:00:00.1 +0000 17'],
  ends: [`${FLOW}\n`],
  listing: ['-L -f ipv4 -m 0xfe/0xfe -p udp'],
  how: ['together'],
  ip: ['link', 'set', 'dev', 'sp-wg51820', 'mtu', '1420', 'up'],
  sysctl: ['net/ipv4/conf/eth0/forwarding'],
  value: ['1'],
  daemon: ['systemd'],
  daemonmark: [FILE_MARK],
  daemonfile: [DAEMON_FILE.path],
  daemontext: [DAEMON_FILE.content],
  prober: [PERL],
  once: [''],
  probe: ['/healthz?full=1'],
  guarded: ['nft', '-f', '-'],
};
const SPOKEN: Readonly<Record<string, string>> = { n: NFT, i: IP, l: `${FLOW}\n`, u: UNDO, w: STANDING, '?': NFT };

/** Of functions of restore.sh there is no request. */
export const SAMPLES: readonly Sample[] = FORMS.filter((form) => !form.startsWith('b ')).map((form) => {
  const [, spoken = '', ...words] = form.split(' ');
  const argv = words
    .filter((word) => word !== '[' && word !== ']')
    .flatMap((word): readonly string[] => {
      if (word === '=') return [''];
      if (word.startsWith('=/')) return [`${STATE}${word.slice(2)}`];
      if (!word.startsWith('<')) return [word];
      const found = WORDS[word.slice(1, -1)];
      if (found === undefined) throw new TypeError(`no sample of ${word}`);
      return found;
    });
  // What is kept for the way back must be what it puts back.
  const whole = argv.includes('@ARM') ? [...argv.slice(0, -1), `${STATE}/record.json`, `${STATE}/undo.sh`] : argv;
  const stdin = SPOKEN[spoken];
  return stdin === undefined ? { argv: whole } : { argv: whole, stdin };
});
