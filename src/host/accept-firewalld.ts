/**
 * What is ours in firewalld: a zone for our links and a policy for the tunnels' own packets, in two files of ours, so that the files of
 * others stay as they are. It makes no zone but by loading all anew, which drops what was only set for now: until it does so, our links
 * are in its zone `trusted`, which accepts as ours does, and the packets in rich rules of the zones in use.
 */
import { type Family, parseAddress, printAddress } from '../net/index.ts';
import type { WrittenTraffic } from './accept.ts';

export const FIREWALLD_FILES = {
  zone: '/etc/firewalld/zones/sallyport.xml',
  policy: '/etc/firewalld/policies/sallyport-outer.xml',
} as const;

/** Of our rich rules, and of no other: before what is in order of 0. */
const PRIORITY = -83;

const NAMES: ReadonlyMap<number, string> = new Map([
  [17, 'udp'],
  [47, 'gre'],
  [41, 'ipv6'],
  [4, 'ipencap'],
]);

/** Whether its zones and policies have a word for it: what comes in. Forwarded and translated it accepts by itself. */
export const isFirewalldTraffic = (traffic: WrittenTraffic): boolean =>
  traffic.kind !== 'connections' && traffic.direction === 'in';

const of = (family: Family): string => `family="ipv${family}"`;

/** The words of a rich rule, and of its element in a file. */
function richRule(traffic: WrittenTraffic): { readonly words: string; readonly element: string } | undefined {
  if (traffic.kind !== 'outer') return undefined;
  const { protocol, port, peer } = traffic;
  const what =
    port === undefined
      ? `protocol value="${NAMES.get(protocol) ?? protocol}"`
      : `port port="${port}" protocol="${NAMES.get(protocol) ?? protocol}"`;
  const source = peer === undefined ? '' : `source address="${printAddress(peer)}"`;
  const family = peer === undefined ? '' : ` ${of(peer.family)}`;
  return {
    words: `rule priority="${PRIORITY}"${family} ${source === '' ? '' : `${source} `}${what} accept`,
    element: `  <rule priority="${PRIORITY}"${family}>${source === '' ? '' : `<${source}/>`}<${what}/><accept/></rule>`,
  };
}

const HEAD = '<?xml version="1.0" encoding="utf-8"?>\n';

export interface FirewalldWish {
  readonly links: readonly string[];
  readonly rules: readonly string[];
  /** Empty where there is to be none. */
  readonly zone: string;
  readonly policy: string;
}

/** What firewalld is told of this. */
export function firewalldWish(traffic: readonly WrittenTraffic[]): FirewalldWish {
  const links = traffic.flatMap((each) => (each.kind === 'link' ? [each.link] : []));
  const rules = traffic.flatMap((each) => richRule(each) ?? []);
  const interfaces = links.map((link) => `  <interface name="${link}"/>\n`).join('');
  return {
    links,
    rules: rules.map(({ words }) => words),
    zone:
      links.length === 0
        ? ''
        : `${HEAD}<zone target="ACCEPT">\n  <short>Sallyport</short>\n  <description>Links of tunnels: table inet sallyport judges what comes in by them.</description>\n${interfaces}</zone>\n`,
    policy:
      rules.length === 0
        ? ''
        : `${HEAD}<policy priority="${PRIORITY}" target="CONTINUE">\n  <short>Sallyport</short>\n  <description>The tunnels' own packets.</description>\n  <ingress-zone name="ANY"/>\n  <egress-zone name="HOST"/>\n${rules.map(({ element }) => `${element}\n`).join('')}</policy>\n`,
  };
}

/** What these files of ours let in; undefined where they are not as we write them. */
export function readFirewalld(zone: string, policy: string): readonly WrittenTraffic[] | undefined {
  const links = [...zone.matchAll(/^ {2}<interface name="([^"]+)"\/>$/gm)].map(
    ([, link = '']): WrittenTraffic => ({ kind: 'link', link, direction: 'in' }),
  );
  const rules = [...policy.matchAll(/^ {2}<rule [^\n]*<\/rule>$/gm)].flatMap(([element]): readonly WrittenTraffic[] => {
    const [, address] = /<source address="([^"]+)"\/>/.exec(element) ?? [];
    const [, port] = /<port port="(\d+)" protocol="udp"\/>/.exec(element) ?? [];
    const [, name = 'udp'] = /<protocol value="([^"]+)"\/>/.exec(element) ?? [];
    const protocol = [...NAMES].find(([, each]) => each === name)?.[0];
    const peer = address === undefined ? undefined : parseAddress(address);
    if (protocol === undefined) return [];
    return [
      {
        ...{ kind: 'outer', direction: 'in', protocol },
        ...(port !== undefined && { port: Number(port) }),
        ...(peer !== undefined && { peer }),
      },
    ];
  });
  const traffic = [...links, ...rules];
  const again = firewalldWish(traffic);
  return again.zone === zone && again.policy === policy ? traffic : undefined;
}

/**
 * A shell function. Takes from the running firewalld what is ours but for its arguments: links, and rich rules as it is told them. It
 * prints a rule's words in one order, ours.
 */
export const FORGET_FIREWALLD = `forget_firewalld() {
  { firewall-cmd --list-all-zones | sed 's/^\\([^ 	].*\\)/= --zone=\\1/'; firewall-cmd --list-all-policies | sed 's/^\\([^ 	].*\\)/= --policy=\\1/'; } |
    awk '/^= / { of = $2 }
      $1 == "interfaces:" && of ~ /=(trusted|sallyport)$/ { for (i = 2; i <= NF; i++) if ($i ~ /^sp-/) print of " --remove-interface=" $i }
      /^[ \\t]*rule priority="${PRIORITY}"/ { sub(/^[ \\t]*/, ""); print of " --remove-rich-rule=" $0 }' |
    while read -r of what; do
      keep=
      for wanted; do [ "\${what#*=}" != "$wanted" ] || keep=yes; done
      [ -n "$keep" ] || firewall-cmd "$of" "$what" >/dev/null || exit 1
    done
}`;

/** Of the undo script: firewalld forgets what is ours. `there`: a test that its files are this host's. */
export const takeFirewalld = (there: string): string => `${FORGET_FIREWALLD}
if ${there} && command -v firewall-cmd >/dev/null; then
  rm -f ${FIREWALLD_FILES.zone} ${FIREWALLD_FILES.policy}
  if firewall-cmd --state >/dev/null 2>&1; then try forget_firewalld; fi
fi
`;
