/** DNS of a wg-quick file: the pod's own resolv.conf, its lines kept as comments until the tunnel goes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { printAddress } from '../../net/index.ts';
import type { QuickInterface } from '../../wireguard/index.ts';

const PATH = '/etc/resolv.conf';
const KEPT = '#sallyport# ';

/** The text with these servers in force, whatever stood before as comments. Again with others: those alone. */
export function withServers(
  text: string,
  { dns, searchDomains }: Pick<QuickInterface, 'dns' | 'searchDomains'>,
): string {
  const kept = withoutServers(text)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `${KEPT}${line}`);
  const ours = [
    ...(searchDomains.length === 0 ? [] : [`search ${searchDomains.join(' ')}`]),
    ...dns.map((address) => `nameserver ${printAddress(address)}`),
  ];
  return [...kept, ...ours, ''].join('\n');
}

/** What stood before withServers. */
export function withoutServers(text: string): string {
  const lines = text.split('\n');
  if (!lines.some((line) => line.startsWith(KEPT))) return text;
  return `${lines.flatMap((line) => (line.startsWith(KEPT) ? [line.slice(KEPT.length)] : [])).join('\n')}\n`;
}

/** In place, for a pod's is a mount of its own. Why not, where it cannot be. */
export function setServers(own: Pick<QuickInterface, 'dns' | 'searchDomains'>): string | undefined {
  const isWanted = own.dns.length > 0 || own.searchDomains.length > 0;
  try {
    const now = readFileSync(PATH, 'utf8');
    const next = isWanted ? withServers(now, own) : withoutServers(now);
    if (next !== now) writeFileSync(PATH, next);
    return undefined;
  } catch (error) {
    if (!isWanted) return undefined;
    return `DNS is not set, ${error instanceof Error ? error.message : error}: give the pod dnsPolicy: None and dnsConfig`;
  }
}
