/** A HostRecord as the text of `record.json`, and back. */
import {
  type Address,
  type Family,
  type PortRange,
  parseAddress,
  parseInterfaceAddress,
  parsePortRange,
  parsePrefix,
  printAddress,
  printInterfaceAddress,
  printPortRange,
  printPrefix,
} from '../net/index.ts';
import { isNetworkSysctl, OUTER_KINDS, type Outer, type Vxlan } from '../routing/index.ts';
import { encodePeer, encodeSecond, readPeer, readSecond } from './codec-peer.ts';
import {
  fields,
  flag,
  JsonError,
  linkName,
  list,
  oneOf,
  optional,
  parsed,
  type Reader,
  table,
  text,
  whole,
} from './json.ts';
import { type HostNumbers, type HostRecord, RECORD_FORMAT } from './record.ts';
import { BETWEEN, encodeRows, noteRows, type Row, readRows } from './rows.ts';
import type { AcceptShare, ForwardPolicy, ForwardShare, ForwardTarget, HostShare, TunnelShare } from './share.ts';

/** A plan and the check after it ask for the text of one and the same record; of one that was read, what stands is that text. */
const encoded = new WeakMap<HostRecord, string>();

/**
 * The record as text, the same for equal records: a line for each tunnel, forward and accepted target. `before` is one that was read: what of
 * its forwards stands in this one too, the very object, is not encoded again.
 */
export function encodeRecord(record: HostRecord, before?: HostRecord): string {
  const content = encoded.get(record) ?? encode(record, before?.version === record.version ? before : undefined);
  encoded.set(record, content);
  return content;
}

function encode(record: HostRecord, before: HostRecord | undefined): string {
  const lines = (items: readonly string[]): string =>
    items.length === 0 ? '[]' : `${FIRST_LINE}${items.join(BETWEEN)}\n    ]`;
  const sets = [...record.sets]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, share]) => {
      const known = before?.sets.get(name);
      const parts = [
        ...(share.conntrackMax === undefined ? [] : [`    "conntrackMax": ${share.conntrackMax}`]),
        `    "tunnels": ${lines(share.tunnels.map((tunnel) => JSON.stringify(canonical(encodeTunnel(tunnel)))))}`,
        `    "forwards": ${lines(encodeRows(share.forwards, COLUMNS, encodeForward, encodeOwn, known?.forwards))}`,
        `    "accepts": ${lines(encodeRows(share.accepts, COLUMNS, encodeAccept, encodeOwn, known?.accepts))}`,
      ];
      return `  ${JSON.stringify(name)}: {\n${joined(parts)}\n  }`;
    });
  const numbers = canonical({ ...record.numbers, tunnels: sorted(record.numbers.tunnels) });
  return joined([
    `{\n"format": ${record.format}`,
    `"version": ${JSON.stringify(record.version)}`,
    ...(record.generation === undefined ? [] : [`"generation": ${record.generation}`]),
    `"numbers": ${JSON.stringify(numbers)}`,
    `"sysctlsBefore": ${JSON.stringify(sorted(record.sysctlsBefore), undefined, 1)}`,
    `"sets": {\n${joined(sets)}\n}\n}\n`,
  ]);
}

/** The record as the next generation of the one that was read, or as the same where it says the same. */
export function nextGeneration(record: HostRecord, before: HostRecord | undefined): HostRecord {
  const generation = before?.generation;
  const same = { ...record, ...(generation !== undefined && { generation }) };
  if (before !== undefined && encodeRecord(same, before) === encodeRecord(before)) return same;
  return { ...record, generation: (generation ?? 0) + 1 };
}

/** With a comma and a new line between; of two megabytes no copy is made. */
const joined = (texts: readonly string[]): string =>
  texts.reduce((all, text, index) => (index === 0 ? text : `${all},\n${text}`), '');

const FIRST_LINE = '[\n      ';

/** Finds the lists of a record in the text of it, where that looks as `encode` writes it. */
function noteLists({ format, sets }: HostRecord, content: string): void {
  if (format !== RECORD_FORMAT) return;
  for (const [name, share] of sets) {
    const set = content.indexOf(`\n  ${JSON.stringify(name)}: {\n`);
    for (const list of ['forwards', 'accepts'] as const) {
      const opening = `\n    "${list}": ${FIRST_LINE}`;
      const at = set === -1 ? -1 : content.indexOf(opening, set);
      if (at !== -1) noteRows(share[list], content, at + opening.length);
    }
  }
}

/** Reads the text of a record; a problem in words where it is newer than this Sallyport knows, or damaged. */
export function decodeRecord(content: string): { readonly record: HostRecord } | { readonly problem: string } {
  try {
    const json = fields(JSON.parse(content), 'record.json');
    const format = whole(json.format, 'format');
    const version = text(json.version, 'version');
    if (format > RECORD_FORMAT)
      return {
        problem: `its record has format ${format}, written by Sallyport ${version}; this one knows format ${RECORD_FORMAT}: use that version or a newer one`,
      };
    const record: HostRecord = {
      format,
      version,
      ...optional(json, 'generation', whole, 'record.json'),
      sets: table(readShare)(json.sets, 'sets'),
      numbers: readNumbers(json.numbers, 'numbers'),
      sysctlsBefore: readSysctlsBefore(json.sysctlsBefore, 'sysctlsBefore'),
    };
    encoded.set(record, content);
    noteLists(record, content);
    return { record };
  } catch (error) {
    if (error instanceof JsonError || error instanceof SyntaxError)
      return { problem: `its record cannot be read: ${error.message}` };
    throw error;
  }
}

/** Root writes them by their paths: whoever may write a record may not choose those. */
const readSysctlsBefore: Reader<HostRecord['sysctlsBefore']> = (json, path) => {
  const before = table(text)(json, path);
  const wrong = [...before.keys()].find((each) => !isNetworkSysctl(each));
  if (wrong !== undefined) throw new JsonError(path, 'a sysctl of a network', wrong);
  return before;
};

/** The same value with the fields of every object in one order, whoever made it. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, canonical(item)]),
  );
}

const sorted = <T>(map: ReadonlyMap<string, T>): Readonly<Record<string, T>> =>
  Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));

const readAddress = parsed(parseAddress, 'an address');
const readPrefix = parsed(parsePrefix, 'a prefix');
const readInterfaceAddress = parsed(parseInterfaceAddress, 'an address with its prefix length');
const readPorts = parsed((value) => parsePortRange(value), 'a port or port range');
const readFamily: Reader<Family> = oneOf<Family>(4, 6);
const readProtocol = oneOf('tcp', 'udp');

const encodeVxlan = ({ vni, local, remote, port }: Vxlan): unknown => ({
  vni,
  port,
  ...(local && { local: printAddress(local) }),
  ...(remote && { remote: printAddress(remote) }),
});

const readVxlan: Reader<Vxlan> = (json, path) => {
  const from = fields(json, path);
  return {
    vni: whole(from.vni, `${path}.vni`),
    port: whole(from.port, `${path}.port`),
    ...optional(from, 'local', readAddress, path),
    ...optional(from, 'remote', readAddress, path),
  };
};

const readOuter: Reader<Outer> = (json, path) => {
  const from = fields(json, path);
  return { local: readAddress(from.local, `${path}.local`), remote: readAddress(from.remote, `${path}.remote`) };
};

const readCarrier: Reader<NonNullable<TunnelShare['carrier']>> = (json, path) => {
  const from = fields(json, path);
  return { link: linkName(from.link, `${path}.link`), from: list(readAddress)(from.from, `${path}.from`) };
};

const encodeTunnel = (tunnel: TunnelShare): unknown => ({
  ...tunnel,
  addresses: tunnel.addresses.map(printInterfaceAddress),
  ...(tunnel.vxlan && { vxlan: encodeVxlan(tunnel.vxlan) }),
  ...(tunnel.outer && {
    outer: { local: printAddress(tunnel.outer.local), remote: printAddress(tunnel.outer.remote) },
  }),
  ...(tunnel.carrier && { carrier: { link: tunnel.carrier.link, from: tunnel.carrier.from.map(printAddress) } }),
  ...(tunnel.second && { second: encodeSecond(tunnel.second) }),
  peer: encodePeer(tunnel.peer),
  routes: tunnel.routes.map(printPrefix),
});

const readTunnel: Reader<TunnelShare> = (json, path) => {
  const from = fields(json, path);
  return {
    name: text(from.name, `${path}.name`),
    type: oneOf('WireGuard', 'VXLAN', 'IPIP', 'GRE', 'Direct')(from.type, `${path}.type`),
    link: linkName(from.link, `${path}.link`),
    addresses: list(readInterfaceAddress)(from.addresses, `${path}.addresses`),
    mtu: whole(from.mtu, `${path}.mtu`),
    ...optional(from, 'listenPort', whole, path),
    ...optional(from, 'dialled', list(readFamily), path),
    ...optional(from, 'vxlan', readVxlan, path),
    ...optional(from, 'kind', oneOf(...OUTER_KINDS), path),
    ...optional(from, 'outer', readOuter, path),
    ...optional(from, 'carrier', readCarrier, path),
    ...optional(from, 'second', readSecond, path),
    peer: readPeer(from.peer, `${path}.peer`),
    routes: list(readPrefix)(from.routes, `${path}.routes`),
    returns: list(readFamily)(from.returns, `${path}.returns`),
  };
};

/** What a forward or an accepted target has of its own, beside what it shares with its neighbours. */
interface Own {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly ports: PortRange;
  readonly targetPorts?: PortRange;
}
const COLUMNS: readonly (keyof Own)[] = ['name', 'protocol', 'ports', 'targetPorts'];

const encodeOwn = ({ name, protocol, ports, targetPorts }: Own): Row => [
  name,
  protocol,
  printPortRange(ports),
  ...(targetPorts === undefined ? [] : [printPortRange(targetPorts)]),
];

/** The shared fields by name in their order, as `canonical` would put them. */
const encodeForward = (forward: ForwardShare): Readonly<Record<Exclude<keyof ForwardShare, keyof Own>, unknown>> => ({
  balance: forward.balance?.map(encodeTarget),
  drain: forward.drain,
  fastPath: forward.fastPath,
  hairpin: forward.hairpin,
  link: forward.link,
  masquerade: forward.masquerade,
  match: encodeMatch(forward.match),
  policy: forward.policy && encodePolicy(forward.policy),
  publicLinks: forward.publicLinks,
  silent: forward.silent,
  stateless: forward.stateless,
  to: printAddress(forward.to),
});

const encodeTarget = ({ id, to, masquerade, link, weight }: ForwardTarget): unknown => ({
  id,
  link,
  masquerade,
  to: printAddress(to),
  weight,
});

const readTarget: Reader<ForwardTarget> = (json, path) => {
  const from = fields(json, path);
  return {
    id: text(from.id, `${path}.id`),
    to: readAddress(from.to, `${path}.to`),
    masquerade: flag(from.masquerade, `${path}.masquerade`),
    ...optional(from, 'link', linkName, path),
    weight: whole(from.weight, `${path}.weight`),
  };
};

const encodePolicy = ({ allow, newConnectionsPerSecond, connections }: ForwardPolicy): unknown => ({
  allow: allow?.map(printPrefix),
  connections,
  newConnectionsPerSecond,
});

const readPolicy: Reader<ForwardPolicy> = (json, path) => {
  const from = fields(json, path);
  return {
    ...optional(from, 'allow', list(readPrefix), path),
    ...optional(from, 'newConnectionsPerSecond', whole, path),
    ...optional(from, 'connections', whole, path),
  };
};

const encodeMatch = (match: ForwardShare['match']): unknown =>
  'address' in match ? { address: printAddress(match.address) } : { family: match.family, interface: match.interface };

const readMatch: Reader<ForwardShare['match']> = (json, path) => {
  const from = fields(json, path);
  const address: Address | undefined = optional(from, 'address', readAddress, path).address;
  if (address !== undefined) return { address };
  return {
    interface: text(from.interface, `${path}.interface`),
    family: readFamily(from.family, `${path}.family`),
  };
};

/** The row of encodeOwn; of an accepted target it ends before the target ports. */
const readOwn = (row: readonly unknown[], path: string): Pick<Own, 'name' | 'protocol' | 'ports'> => ({
  name: text(row[0], path),
  protocol: readProtocol(row[1], path),
  ports: readPorts(row[2], path),
});
const readOwnForward = (row: readonly unknown[], path: string): Required<Own> => ({
  ...readOwn(row, path),
  targetPorts: readPorts(row[3], path),
});

const readNo: Reader<false> = (json, path) => {
  if (json !== false) throw new JsonError(path, 'false', json);
  return json;
};

const readStateless: Reader<true> = (json, path) => {
  if (json !== true) throw new JsonError(path, 'true', json);
  return json;
};

const readSharedForward: Reader<Omit<ForwardShare, keyof Own>> = (json, path) => {
  const from = fields(json, path);
  return {
    match: readMatch(from.match, `${path}.match`),
    to: readAddress(from.to, `${path}.to`),
    masquerade: flag(from.masquerade, `${path}.masquerade`),
    ...optional(from, 'link', linkName, path),
    publicLinks: list(text)(from.publicLinks, `${path}.publicLinks`),
    ...optional(from, 'policy', readPolicy, path),
    ...optional(from, 'balance', list(readTarget), path),
    ...optional(from, 'drain', readNo, path),
    ...optional(from, 'hairpin', readNo, path),
    ...optional(from, 'fastPath', readNo, path),
    ...optional(from, 'silent', list(text), path),
    ...optional(from, 'stateless', readStateless, path),
  };
};

const encodeAccept = (accept: AcceptShare): Readonly<Record<Exclude<keyof AcceptShare, keyof Own>, unknown>> => ({
  address: printAddress(accept.address),
  behind: accept.behind,
  masquerade: accept.masquerade,
  moveTo: accept.moveTo && printAddress(accept.moveTo),
  tunnel: accept.tunnel,
});

const readSharedAccept: Reader<Omit<AcceptShare, keyof Own>> = (json, path) => {
  const from = fields(json, path);
  return {
    tunnel: text(from.tunnel, `${path}.tunnel`),
    address: readAddress(from.address, `${path}.address`),
    ...optional(from, 'moveTo', readAddress, path),
    masquerade: flag(from.masquerade, `${path}.masquerade`),
    ...optional(from, 'behind', text, path),
  };
};

const readShare: Reader<HostShare> = (json, path) => {
  const from = fields(json, path);
  return {
    ...optional(from, 'conntrackMax', whole, path),
    tunnels: list(readTunnel)(from.tunnels, `${path}.tunnels`),
    forwards: readRows(readSharedForward, readOwnForward, COLUMNS)(from.forwards, `${path}.forwards`),
    accepts: readRows(readSharedAccept, readOwn, COLUMNS)(from.accepts, `${path}.accepts`),
  };
};

const readNumbers: Reader<HostNumbers> = (json, path) => {
  const from = fields(json, path);
  const mark = fields(from.mark, `${path}.mark`);
  return {
    mark: { value: whole(mark.value, `${path}.mark.value`), mask: whole(mark.mask, `${path}.mark.mask`) },
    suppressPriority: whole(from.suppressPriority, `${path}.suppressPriority`),
    tunnels: table((item, at) => {
      const tunnel = fields(item, at);
      return {
        index: whole(tunnel.index, `${at}.index`),
        table: whole(tunnel.table, `${at}.table`),
        priority: whole(tunnel.priority, `${at}.priority`),
      };
    })(from.tunnels, `${path}.tunnels`),
  };
};
