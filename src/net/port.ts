import { parseDecimal } from './decimal.ts';

/** The protocols whose ports are forwarded. */
export type Transport = 'tcp' | 'udp';

/** Ports from `first` to `last`, both included; 1 to 65535. Port 0 is reserved (RFC 6335, 6) and no packet should carry it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const HIGHEST_PORT = 65_535;

/** Reads one port in plain decimal, 1 to 65535, or gives undefined. */
export function parsePort(text: string): number | undefined {
  const port = parseDecimal(text, HIGHEST_PORT);
  return port === 0 ? undefined : port;
}

/** Reads `80`, `"80"` or `"30000-30100"`, or gives undefined: port 0, an end before its beginning, any space. */
export function parsePortRange(input: string | number): PortRange | undefined {
  if (typeof input === 'number') {
    const valid = Number.isInteger(input) && input >= 1 && input <= HIGHEST_PORT;
    return valid ? { first: input, last: input } : undefined;
  }
  const dash = input.indexOf('-');
  const first = parsePort(dash === -1 ? input : input.slice(0, dash));
  const last = dash === -1 ? first : parsePort(input.slice(dash + 1));
  return first === undefined || last === undefined || first > last ? undefined : { first, last };
}

/** `80` or `30000-30100`, the form nft reads too. */
export const printPortRange = ({ first, last }: PortRange): string =>
  first === last ? `${first}` : `${first}-${last}`;

/** How many ports the range has, at least 1. */
export const portCount = ({ first, last }: PortRange): number => last - first + 1;

/** Whether some port lies in both. */
export const portRangesOverlap = (left: PortRange, right: PortRange): boolean =>
  left.first <= right.last && right.first <= left.last;

/** Whether the port lies in the range. */
export const containsPort = ({ first, last }: PortRange, port: number): boolean => first <= port && port <= last;

/** Whether both are the same range. */
export const samePortRange = (left: PortRange, right: PortRange): boolean =>
  left.first === right.first && left.last === right.last;

/** Order for sorting: by first port, then by last. */
export const comparePortRanges = (left: PortRange, right: PortRange): number =>
  left.first - right.first || left.last - right.last;
