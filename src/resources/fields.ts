import { z } from 'zod';
import {
  type Address,
  addressScope,
  type Endpoint,
  hostPrefix,
  type InterfaceAddress,
  type PortRange,
  parseAddress,
  parseEndpoint,
  parseHostName,
  parseInterfaceAddress,
  parseMac,
  parsePortRange,
  parsePrefix,
} from '../net/index.ts';
import type { NumberRange } from './resource.ts';

/**
 * What cannot be used yet of a field: all of it, some of its values, or what a question finds in the document's data.
 * The one list behind `not yet supported: ...` and behind the marks of the reference page.
 */
export type Later =
  | true
  | readonly (string | boolean)[]
  | { readonly says: string; readonly found: (value: unknown) => boolean };

/** What zod has no place for: the reference page's word for the type, and what is not yet supported. */
export interface Note {
  readonly type?: string;
  readonly later?: Later;
  /** The kind of resource that the text names. */
  readonly refersTo?: 'Host' | 'Tunnel';
}

/** Notes beside the schema; a description stands in the schema itself (`describe`). */
export const notes = z.registry<Note>();

/** A string that `parse` reads into T; what it refuses is reported as `"10.0.0" is no TYPE`. */
function text<T>(type: string, parse: (input: string) => T | undefined) {
  return z
    .string()
    .transform((input, context): T => {
      const value = parse(input);
      if (value !== undefined) return value;
      context.addIssue({ code: 'custom', message: `"${input}" is no ${type}` });
      return z.NEVER;
    })
    .register(notes, { type });
}

/** Any address as it may stand on an interface. */
export const address = () => text<Address>('address', parseAddress);

/** An address that packets can be sent to from another machine. */
export const unicastAddress = () =>
  address()
    .superRefine((value, context) => {
      const scope = addressScope(value);
      if (NOT_REACHABLE.has(scope)) {
        context.addIssue({
          code: 'custom',
          message: `${SCOPE_WORDS[scope] ?? scope} address, which no packet can be sent to`,
        });
      }
    })
    .register(notes, { type: 'address' });

const NOT_REACHABLE = new Set([
  'unspecified',
  'thisNetwork',
  'loopback',
  'linkLocal',
  'mapped',
  'multicast',
  'broadcast',
  'discard',
]);
const SCOPE_WORDS: Readonly<Record<string, string>> = {
  unspecified: 'the unspecified',
  thisNetwork: 'a "this network"',
  loopback: 'a loopback',
  linkLocal: 'a link-local',
  mapped: 'an IPv4-mapped',
  multicast: 'a multicast',
  broadcast: 'the broadcast',
  discard: 'a discard-only',
};

export const prefix = () =>
  z
    .string()
    .transform((input, context) => {
      const value = parsePrefix(input);
      if (value !== undefined) return value;
      const hostBits = parseInterfaceAddress(input) !== undefined;
      const bare = parseAddress(input);
      const why = hostBits ? ': bits after its length are set' : bare === undefined ? '' : ': its length is missing';
      context.addIssue({ code: 'custom', message: `"${input}" is no prefix${why}` });
      return z.NEVER;
    })
    .register(notes, { type: 'prefix' });

/** An address with its length; a bare one stands for itself alone, /32 or /128. */
export const interfaceAddress = () =>
  text<InterfaceAddress>('address with length', (input) => {
    const bare = parseAddress(input);
    return bare === undefined ? parseInterfaceAddress(input) : hostPrefix(bare);
  });

/** An endpoint whose port may be left out where the tunnel's type has a port of its own. */
export interface LooseEndpoint {
  readonly host: Endpoint['host'];
  readonly port?: number;
}

export const endpoint = () =>
  text<LooseEndpoint>('endpoint (ADDRESS:PORT, [IPv6]:PORT or NAME:PORT)', (input) => {
    const host = parseAddress(input) ?? parseHostName(input);
    return parseEndpoint(input) ?? (host === undefined ? undefined : { host });
  }).register(notes, { type: 'endpoint' });

export const mac = () => text<string>('MAC address', parseMac);

export const hostName = () =>
  text<string>('address or host name', (input) => (parseAddress(input) === undefined ? parseHostName(input) : input));

/** RFC 1123, 2.1, which Kubernetes asks of names: the API server would refuse others. */
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const dnsLabel = () =>
  text<string>('name: lower-case letters, digits and inner hyphens, at most 63', (input) =>
    DNS_LABEL.test(input) ? input : undefined,
  ).register(notes, { type: 'name' });

/** A name that stands in another document's metadata. */
export const reference = (refersTo: 'Host' | 'Tunnel') =>
  z.string().register(notes, { type: `name of a ${refersTo}`, refersTo });

/** What the kernel takes for a link (dev_valid_name in net/core/dev.c): 1 to 15 bytes, no slash, colon or space, not a dot. */
export const interfaceName = () =>
  text<string>('interface name (1 to 15 characters without space, slash or colon)', (input) =>
    /^[^\s/:]{1,15}$/.test(input) && input !== '.' && input !== '..' ? input : undefined,
  ).register(notes, { type: 'interface name' });

/** A word that stands among a command's arguments: one that began with a hyphen would be an option of `ssh` or `ip`. */
export const argument = (type: string) =>
  text<string>(type, (input) => (/^[^-\s]\S*$/.test(input) ? input : undefined));

/** The name of a file in /run/netns, and an argument of `ip netns exec`. */
export const netnsName = () =>
  text<string>('network namespace', (input) => (/^(?!\.{1,2}$)[^-/\s][^/\s]*$/.test(input) ? input : undefined));

/** Text that is kept as it is: a path, a key. */
export const plainText = (type: string) => z.string().min(1, { error: 'is empty' }).register(notes, { type });

export const wholeNumber = (least: number, most: number) =>
  z
    .int({ error: 'expected a whole number' })
    .min(least, { error: `is below ${least}` })
    .max(most, { error: `is above ${most}` })
    .register(notes, { type: `${least}-${most}` });

/** One port, 1 to 65535. */
export const port = () => wholeNumber(1, 65_535).register(notes, { type: 'port' });

/** A number, or text with a number or a range in it; both YAML and people write either. */
function range<T>(type: string, parse: (input: string | number) => T | undefined) {
  const expected = `expected a ${type}`;
  return z.union([z.int(), z.string()], { error: expected }).transform((input, context): T => {
    const value = parse(input);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `${JSON.stringify(input)} is no ${type}` });
    return z.NEVER;
  });
}

export const portRange = () =>
  range<PortRange>('port (1 to 65535) or range of ports (FIRST-LAST)', parsePortRange).register(notes, {
    type: 'port or range',
  });

/** Numbers from `least` to `most`, one or a range. */
export const numberRange = (least: number, most: number) =>
  range<NumberRange>(`number or range within ${least}-${most}`, (input) => {
    const [, first, last] = /^(0|[1-9]\d{0,9})(?:-([1-9]\d{0,9}))?$/.exec(String(input)) ?? [];
    if (first === undefined) return undefined;
    const found = { first: Number(first), last: Number(last ?? first) };
    return least <= found.first && found.first <= found.last && found.last <= most ? found : undefined;
  }).register(notes, { type: 'number or range' });

/** A 32-bit mark, as a number or as text in hexadecimal, which JSON cannot write as a number. */
export const mark = () =>
  range<number>('mark (1 to 0xffffffff)', (input) => {
    const value =
      typeof input === 'number' ? input : /^(0x[0-9a-f]{1,8}|[1-9]\d{0,9})$/i.test(input) ? Number(input) : 0;
    return value >= 1 && value <= 0xffff_ffff ? value : undefined;
  }).register(notes, { type: 'mark' });

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A time as `200ms`, `5s`, `2m` or `1h`, in milliseconds. */
export const duration = () =>
  text<number>('duration (200ms, 5s, 2m, 1h)', (input) => {
    const [, count, unit] = /^([1-9]\d{0,6})(ms|s|m|h)$/.exec(input) ?? [];
    const unitMs = unit === undefined ? undefined : UNIT_MS[unit];
    return count === undefined || unitMs === undefined ? undefined : Number(count) * unitMs;
  }).register(notes, { type: 'duration' });

/** A list in which nothing stands twice; `print` tells what is the same. */
export function listOf<T extends z.ZodType>(item: T, print: (value: z.output<T>) => string, { least = 0 } = {}) {
  return z.array(item).superRefine((values, context) => {
    if (values.length < least) context.addIssue({ code: 'custom', message: 'is empty' });
    if (values.length < 2) return;
    const seen = new Set<string>();
    for (const [index, value] of values.entries()) {
      const printed = print(value);
      if (seen.has(printed))
        context.addIssue({ code: 'custom', message: `${printed} stands here twice`, path: [index] });
      seen.add(printed);
    }
  });
}

/** Prints what is text already, for listOf. */
export const asIs = (text: string): string => text;

/** Adds an issue unless exactly one of the fields is given. */
export function exactlyOne<T extends object>(
  value: T,
  fields: readonly (keyof T & string)[],
  context: z.RefinementCtx,
): void {
  const given = fields.filter((field) => value[field] !== undefined);
  if (given.length === 1) return;
  const list = `${fields.slice(0, -1).join(', ')} or ${fields.at(-1)}`;
  const found = given.length === 0 ? 'none is given' : `${given.join(' and ')} are given`;
  context.addIssue({ code: 'custom', message: `needs exactly one of ${list}; ${found}` });
}

/** The Hosts that something is done on. */
export const hostsAt = () => listOf(reference('Host'), asIs, { least: 1 }).describe('The Hosts it is done on.');
