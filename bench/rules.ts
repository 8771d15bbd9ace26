/** The same forwards as other tools are given them, and small changes to them: each a text for the standard input of a command. */
import { type Pair, SERVE_PORT } from './site.ts';

export interface Input {
  readonly argv: readonly string[];
  readonly stdin: string;
}

export type Change = 'more' | 'moved';

/** The public port of a forward, by its place in the list. */
export const portOf = (index: number): number => 1024 + index;

/** Its port on the node: the last one's is served. */
export const targetOf = (index: number, count: number): number => (index === count - 1 ? SERVE_PORT : 10_000 + index);

/** Where a forward is moved to; no other has it. */
const ELSEWHERE = 65_000;

/** DNAT of each port and MASQUERADE, as most people write it. The last one has TCP and UDP. */
export function iptablesRules(pair: Pair, count: number): string {
  const rules = Array.from(
    { length: count },
    (_, index) => `-A ${iptablesRule(pair, 'tcp', index, targetOf(index, count))}\n`,
  );
  const last = `-A ${iptablesRule(pair, 'udp', count - 1, SERVE_PORT)}\n`;
  return `*nat\n${rules.join('')}${last}-A POSTROUTING -o priv0 -j MASQUERADE\nCOMMIT\n`;
}

const iptablesRule = (pair: Pair, protocol: string, index: number, target: number): string =>
  `PREROUTING -d ${pair.public}/32 -p ${protocol} -m ${protocol} --dport ${portOf(index)} -j DNAT --to-destination ${pair.private}:${target}`;

/** One forward more than `count`, or the middle one moved to another target. */
export function iptablesChange(pair: Pair, count: number, change: Change): Input {
  const middle = Math.floor(count / 2);
  const rules =
    change === 'more'
      ? [`-A ${iptablesRule(pair, 'tcp', count, ELSEWHERE)}`]
      : [
          `-D ${iptablesRule(pair, 'tcp', middle, targetOf(middle, count))}`,
          `-A ${iptablesRule(pair, 'tcp', middle, ELSEWHERE)}`,
        ];
  return { argv: ['iptables-restore', '--noflush'], stdin: `*nat\n${rules.join('\n')}\nCOMMIT\n` };
}

/** The same in Sallyport's table. */
export function elementChange(pair: Pair, count: number, change: Change): Input {
  const port = portOf(change === 'more' ? count : Math.floor(count / 2));
  const [map, key] = ['element inet sallyport sp_to4', `${pair.public} . tcp . ${port}`];
  const lines = [
    ...(change === 'moved' ? [`delete ${map} { ${key} }`] : []),
    `add ${map} { ${key} : ${pair.private} . ${ELSEWHERE} }`,
  ];
  return { argv: ['nft', '-f', '-'], stdin: `${lines.join('\n')}\n` };
}

/** A rule for each forward, without a map: what Sallyport does not do. */
export function nftRules(pair: Pair, count: number): string {
  const rules = Array.from(
    { length: count },
    (_, index) => `    ${nftRule(pair, 'tcp', index, targetOf(index, count))}\n`,
  );
  const last = `    ${nftRule(pair, 'udp', count - 1, SERVE_PORT)}\n`;
  return `table inet linear {\n  chain pre {\n    type nat hook prerouting priority -110\n${rules.join('')}${last}  }\n}\n`;
}

/** One rule more. */
export const nftMore = (pair: Pair, count: number): Input => ({
  argv: ['nft', '-f', '-'],
  stdin: `add rule inet linear pre ${nftRule(pair, 'tcp', count, ELSEWHERE)}\n`,
});

const nftRule = (pair: Pair, protocol: string, index: number, target: number): string =>
  `ip daddr ${pair.public} ${protocol} dport ${portOf(index)} dnat ip to ${pair.private}:${target}`;
