/** What rules did to a packet, in words, and which they were. */
import { type Address, printAddress } from '../net/index.ts';
import { type Evaluation, printReference, type RuleReference, type Translation } from '../nftables/index.ts';
import type { Packet } from './packet.ts';

/** With its handle, as `nft -a` shows it, where it was read from a kernel. */
export const printPlace = (at: RuleReference): string =>
  `${printReference(at)}${at.rule?.handle === undefined ? '' : ` # handle ${at.rule.handle}`}`;

export function printChanges(changes: Extract<Evaluation, { readonly changes: unknown }>['changes']): string {
  const { mark, connectionMark, labels, translation, notrack, rewritten, zone, maxseg, proxy } = changes;
  const hex = (value: number): string => `0x${value.toString(16)}`;
  return [
    ...(mark === undefined ? [] : [`mark ${hex(mark)}`]),
    ...(connectionMark === undefined ? [] : [`connection mark ${hex(connectionMark)}`]),
    ...(labels === undefined ? [] : [`connection labels ${printLabels(labels)}`]),
    ...(zone === undefined ? [] : [`conntrack zone ${zone.id}`]),
    ...(maxseg === undefined ? [] : [`MSS ${maxseg}`]),
    ...(notrack === true ? ['untracked'] : []),
    ...(proxy === undefined ? [] : [`for the transparent proxy at port ${proxy.port}`]),
    ...(rewritten === undefined ? [] : [printRewritten(rewritten)]),
    ...(translation === undefined ? [] : [printTranslation(translation)]),
  ].join(', ');
}

/** Their numbers. */
const printLabels = (labels: bigint | 'unknown'): string =>
  labels === 'unknown'
    ? 'that are not known'
    : [...labels.toString(2)]
        .reverse()
        .flatMap((bit, index) => (bit === '1' ? [index] : []))
        .join(' ');

/** `destination 192.168.1.20 port 8080`. */
function printRewritten({ source, destination, sourcePort, destinationPort }: Partial<Packet>): string {
  const half = (name: string, address: Address | undefined, port: number | undefined): readonly string[] =>
    address === undefined && port === undefined
      ? []
      : [
          [name, ...(address === undefined ? [] : [printAddress(address)])].join(' ') +
            (port === undefined ? '' : ` port ${port}`),
        ];
  return [...half('source', source, sourcePort), ...half('destination', destination, destinationPort)].join(', ');
}

function printTranslation(translation: Translation): string {
  const address =
    'address' in translation && translation.address !== undefined ? ` to ${printAddress(translation.address)}` : '';
  return `${translation.kind}${address}${translation.port === undefined ? '' : ` port ${translation.port}`}`;
}
