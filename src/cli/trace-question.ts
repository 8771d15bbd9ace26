/** What `trace` is asked: its flags read into a packet to send and a place to send it from. */
import { type Address, parseAddress, parsePort, printAddress } from '../net/index.ts';
import { lookupRoute } from '../routing/index.ts';
import type { Flow, Network, Origin } from '../simulate/index.ts';
import { openAt } from '../simulate/index.ts';
import { UsageError } from './exit.ts';

export interface QuestionFlags {
  readonly from: string;
  readonly to: string;
  readonly sport?: string;
  readonly iif?: string;
  readonly mark?: string;
  readonly size?: string;
  readonly df?: boolean;
}

export interface Question {
  readonly from: Address;
  readonly host?: string;
  readonly iif?: string;
  readonly flow: Omit<Flow, 'from'>;
}

/** Reads the flags. Throws a UsageError that says what was meant. */
export function readQuestion(flags: QuestionFlags, hosts: readonly string[]): Question {
  const { from, host } = readFrom(flags.from, hosts);
  const target = readTo(flags.to);
  if (target.to.family !== from.family)
    throw new UsageError(
      `--from ${printAddress(from)} is IPv${from.family} and --to ${printAddress(target.to)} is IPv${target.to.family}: a packet has one family`,
    );
  const sourcePort = numberFlag('--sport', flags.sport, 1, 65_535);
  const mark = numberFlag('--mark', flags.mark, 0, 0xffffffff);
  const size = numberFlag('--size', flags.size, from.family === 4 ? 28 : 48, 65_535);
  if (flags.df === true && size === undefined)
    throw new UsageError('--df counts only with --size BYTES: without it every packet fits');
  return {
    from,
    ...(host !== undefined && { host }),
    ...(flags.iif !== undefined && { iif: flags.iif }),
    flow: {
      ...target,
      ...(sourcePort !== undefined && { sourcePort }),
      ...(mark !== undefined && { mark }),
      ...(size !== undefined && { size }),
      ...(flags.df === true && { df: true }),
    },
  };
}

/** `ADDR` or `ADDR@HOST`. */
function readFrom(text: string, hosts: readonly string[]): { readonly from: Address; readonly host?: string } {
  const at = text.lastIndexOf('@');
  const written = at === -1 ? text : text.slice(0, at);
  const from = parseBare(written);
  if (from === undefined)
    throw new UsageError(
      `--from ${text}: "${written}" is no address; meant is ADDR or ADDR@HOST, as 192.0.2.7 or 10.0.0.5@edge`,
    );
  if (at === -1) return { from };
  const host = text.slice(at + 1);
  if (!hosts.includes(host))
    throw new UsageError(`--from ${text}: no Host "${host}" in the documents: there are ${hosts.join(', ')}`);
  return { from, host };
}

const TO = 'meant is ADDR:PORT/tcp, ADDR:PORT/udp or ADDR/icmp, as 198.51.100.10:80/tcp or [2001:db8::10]:80/tcp';

function readTo(text: string): Pick<Flow, 'to' | 'port' | 'protocol'> {
  const wrong = (what: string): UsageError => new UsageError(`--to ${text}: ${what}; ${TO}`);
  const slash = text.lastIndexOf('/');
  if (slash === -1) throw wrong('no protocol');
  const protocol = text.slice(slash + 1).toLowerCase();
  const place = text.slice(0, slash);
  if (protocol === 'icmp' || protocol === 'icmpv6') {
    const to = parseBare(place);
    if (to === undefined) throw wrong(`"${place}" is no address`);
    return { to, port: 0, protocol: to.family === 4 ? 'icmp' : 'icmpv6' };
  }
  if (protocol !== 'tcp' && protocol !== 'udp') throw wrong(`"${protocol}" is no protocol that can be traced`);
  const colon = place.lastIndexOf(':');
  const address = place.slice(0, colon === -1 ? undefined : colon);
  if (colon === -1 || (!address.startsWith('[') && address.includes(':')) || place.endsWith(']'))
    throw wrong(parseBare(place) === undefined ? `"${place}" is no address with a port` : 'no port');
  const to = parseBare(address);
  const port = parsePort(place.slice(colon + 1));
  if (to === undefined) throw wrong(`"${address}" is no address`);
  if (port === undefined) throw wrong(`"${place.slice(colon + 1)}" is no port from 1 to 65535`);
  return { to, port, protocol };
}

/** An address with or without brackets; those are IPv6's. */
function parseBare(text: string): Address | undefined {
  const inner = /^\[(.*)\]$/.exec(text)?.[1];
  const address = parseAddress(inner ?? text);
  return inner !== undefined && address?.family === 4 ? undefined : address;
}

function numberFlag(flag: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = /^(?:0|[1-9][0-9]*|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isInteger(number) || number < least || number > most)
    throw new UsageError(`${flag} ${text}: meant is a number from ${least} to ${most}`);
  return number;
}

/**
 * Where the packet starts. An address that a host bears is sent by it, unless --iif makes it come in there. Another comes in at the host
 * that was named, by the link towards it; with none named from the Internet, at the public address it goes to.
 */
export function placeQuestion(network: Network, question: Question): Flow {
  const { from, host, flow } = question;
  const bearers = [...network.hosts.values()].filter((each) => each.isLocal(from)).map(({ name }) => name);
  const place = host ?? (question.iif === undefined ? bearerOf(from, bearers) : undefined);
  if (place !== undefined) return { ...flow, from: originAt(network, question, place) };
  return { ...flow, ...fromInternet(network, question, bearers) };
}

function bearerOf(from: Address, bearers: readonly string[]): string | undefined {
  const [bearer, other] = bearers;
  if (other !== undefined)
    throw new UsageError(
      `${printAddress(from)} is an address of ${bearers.join(' and of ')}: say which, as --from ${printAddress(from)}@${bearer}`,
    );
  return bearer;
}

function originAt(network: Network, { from, iif }: Question, name: string): Origin {
  const host = network.hosts.get(name);
  if (host === undefined) throw new UsageError(`nothing is known of ${name}`);
  if (iif !== undefined) {
    needLink(network, name, iif);
    return { kind: 'beyond', host: name, link: iif, address: from };
  }
  if (host.unseen !== undefined || host.isLocal(from)) return { kind: 'host', host: name, address: from };
  const way = lookupRoute(host.routes, { destination: from });
  if (way.kind === 'route') return { kind: 'beyond', host: name, link: way.link, address: from };
  throw new UsageError(
    `${printAddress(from)} is no address of ${name}, and ${name} has no way to it: say by which link it comes in, as --iif ${[...host.links.keys()].find((link) => link !== 'lo') ?? 'eth0'}`,
  );
}

function needLink(network: Network, name: string, iif: string): void {
  const links = [...(network.hosts.get(name)?.links.keys() ?? [])];
  if (!links.includes(iif)) throw new UsageError(`--iif ${iif}: ${name} has no such link; it has ${links.join(', ')}`);
}

/** Enters at the public address it asks for, as it stands on the link; for another address, at the one host that has a public link. */
function fromInternet(
  network: Network,
  { from, iif, flow }: Question,
  bearers: readonly string[],
): Pick<Flow, 'from' | 'to'> {
  const enter = (host: string, link: string, to: Address): Pick<Flow, 'from' | 'to'> => {
    if (iif !== undefined) needLink(network, host, iif);
    return { from: { kind: 'beyond', host, link: iif ?? link, address: from }, to };
  };
  const open = openAt(network, flow.to);
  if (open !== undefined) return enter(open.host, open.link, open.inner);
  const hosts = [...network.hosts.values()];
  const edges = hosts.filter(({ openLinks }) => openLinks.size > 0);
  const withLink = iif === undefined ? edges : hosts.filter(({ links }) => links.has(iif));
  const [edge, other] = withLink;
  const link = iif ?? [...(edge?.openLinks ?? [])][0];
  if (edge !== undefined && other === undefined && link !== undefined) return enter(edge.name, link, flow.to);
  const say = `say where, as --from ${printAddress(from)}@${bearers[0] ?? hosts[0]?.name ?? 'HOST'}${iif === undefined ? ' [--iif LINK]' : ` --iif ${iif}`}`;
  const why =
    edge === undefined
      ? 'no host has a public interface'
      : `${withLink.map(({ name }) => name).join(' and ')} could be where it comes in`;
  throw new UsageError(
    `--from ${printAddress(from)} enters from the Internet, but ${printAddress(flow.to)} is no public address of a host, and ${why}: ${say}`,
  );
}
