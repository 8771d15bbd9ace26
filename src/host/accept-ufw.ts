/**
 * ufw's own rules: what stands in its files, and the words that make and take one. Its command keeps the comment in the files alone: in
 * the kernel a rule of ours bears none.
 */
import { type Address, type Family, parseAddress, printAddress } from '../net/index.ts';
import type { AcceptTraffic, WrittenTraffic } from './accept.ts';

export type UfwChain = 'input' | 'output' | 'forward';

/** A rule of ufw's files in their order. */
export interface UfwRule {
  readonly family: Family;
  /** The chains its lines are in, a line each. */
  readonly lines: readonly UfwChain[];
  /** Of ours: what it lets through, and where. */
  readonly own?: { readonly chain: UfwChain; readonly traffic: AcceptTraffic };
}

export const UFW_FILES: Readonly<Record<Family, string>> = {
  4: '/etc/ufw/user.rules',
  6: '/etc/ufw/user6.rules',
};

/** `sallyport`, as ufw writes a comment to its files. */
const UFW_TAG = 'comment=73616c6c79706f7274';

/** The chain of ufw's that its user's rules are in: `ufw-user-input`, `ufw6-user-input`. */
export function ufwChain(name: string): UfwChain | undefined {
  const chain = /^ufw6?-user-(input|output|forward)$/.exec(name)?.[1];
  return chain === 'input' || chain === 'output' || chain === 'forward' ? chain : undefined;
}

/** What IANA's numbers are called by ufw, which has no name for IPv4 in packets. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [17, 'udp'],
  [47, 'gre'],
  [41, 'ipv6'],
]);

/** Whether ufw has words for it. */
export const isUfwTraffic = (traffic: WrittenTraffic): boolean =>
  traffic.kind === 'link' ||
  (traffic.kind === 'outer' && NAMES.has(traffic.protocol) && !(traffic.protocol === 41 && traffic.peer?.family === 6));

const ANY: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

/** `in on sp-x from 0.0.0.0/0 to 0.0.0.0/0`: with both ends named the rule is of one family. */
export function ufwWords(traffic: AcceptTraffic, family: Family): readonly string[] {
  const any = ANY[family];
  if (traffic.kind === 'link') return [traffic.direction, 'on', traffic.link, 'from', any, 'to', any];
  if (traffic.kind !== 'outer') return [];
  const { direction, protocol, port, peer } = traffic;
  const far = peer === undefined ? any : printAddress(peer);
  return [
    ...[direction, 'proto', NAMES.get(protocol) ?? String(protocol)],
    ...(direction === 'in' ? ['from', far, 'to', any] : ['from', any, 'to', far]),
    ...(port === undefined ? [] : ['port', String(port)]),
  ];
}

/** The rules in one of ufw's files. */
export function readUfwRules(text: string, family: Family): readonly UfwRule[] {
  const end = text.indexOf('### END RULES ###');
  return (end === -1 ? '' : text.slice(0, end))
    .split(/^### tuple ### /m)
    .slice(1)
    .map((part): UfwRule => {
      const [tuple = '', ...rest] = part.split('\n');
      const lines = rest.flatMap((line) => ufwChain(/^-A (\S+) /.exec(line)?.[1] ?? '') ?? []);
      const words = tuple.trim().split(' ');
      if (words.pop() !== UFW_TAG) return { family, lines };
      const chain = lines[0] ?? 'input';
      return { family, lines, own: { chain, traffic: trafficOf(words, family) ?? { kind: 'other', text: tuple } } };
    });
}

/** `allow udp 51820 0.0.0.0/0 any 198.51.100.20 in`; `route:` before the first word where it is forwarded, `_LINK` behind the last. */
function trafficOf(words: readonly string[], family: Family): AcceptTraffic | undefined {
  const [action, name, port = '', to = '', sourcePort, from = '', way = ''] = words;
  const [direction, ...links] = way.split('_');
  const link = links.join('_');
  const isWay = direction === 'in' || direction === 'out';
  if (!isWay || words.length !== 7 || action?.replace('route:', '') !== 'allow' || sourcePort !== 'any')
    return undefined;
  const any = ANY[family];
  if (link !== '')
    return [name, port].every((each) => each === 'any') && from === any && to === any
      ? { kind: 'link', link, direction }
      : undefined;
  const [far, near] = direction === 'in' ? [from, to] : [to, from];
  const protocol = [...NAMES].find(([, each]) => each === name)?.[0];
  const peer: Address | undefined = parseAddress(far);
  if (protocol === undefined || near !== any || (far !== any && peer === undefined)) return undefined;
  return {
    ...{ kind: 'outer', direction, protocol },
    ...(port !== 'any' && { port: Number(port) }),
    ...(peer !== undefined && { peer }),
  };
}

/** Of the undo script: ufw forgets what is ours, by the words of its own files. `there`: a test that its files are this host's. */
export const takeUfw = (there: string): string => `if ${there} && command -v ufw >/dev/null; then
  while read -r words; do
    # shellcheck disable=SC2086 # words, as ufw takes them
    [ -z "$words" ] || try ufw $words >/dev/null
  done <<END
$(awk '$2 == "tuple" && $NF == "${UFW_TAG}" {
  route = sub(/^route:/, "", $4) ? "route " : ""; way = $10; at = index(way, "_")
  if (at) way = substr(way, 1, at - 1) " on " substr(way, at + 1)
  if ($5 != "any") way = way " proto " $5
  print route "delete " $4, way, "from", $9, "to", $7 ($6 == "any" ? "" : " port " $6)
}' ${UFW_FILES[4]} ${UFW_FILES[6]} 2>/dev/null)
END
fi
`;
