/** A change in words: for people, and for `plan -o json`. */
import { type HostChange, type HostObject, printAccept, printPlace, type TrackedConnection } from '../host/index.ts';
import { type Endpoint, printAddress, printEndpoint, printPrefix } from '../net/index.ts';
import {
  type Chain,
  printChainHeader,
  printElement,
  printRule as printNftRule,
  type Rule,
  type RulesetObject,
} from '../nftables/index.ts';
import { printLink, printLinkAddress, printRoute, printRule } from '../routing/index.ts';
import { printKey, printPresharedKey, type WireGuardDevice, type WireGuardPeer } from '../wireguard/index.ts';
import { printFlows } from './flows.ts';

type ObjectName =
  | Exclude<HostObject['kind'], 'device' | 'flows' | 'connections' | 'foreignRule' | 'iptablesTable'>
  /** A rule, or a table, in another's firewall. */
  | 'foreign';

/** design.md, `plan -o json`. */
export interface ChangeDescription {
  /** Part of one kernel transaction: all of them or none. */
  readonly transactional: boolean;
  readonly reversible: boolean;
  readonly action: 'add' | 'change' | 'remove';
  readonly object: ObjectName;
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
  /** Somebody else made it by hand, and it is taken over. */
  readonly adopted?: true;
}

/** What the change does, in the words of the tool that shows the object: nft, ip, wg, sysctl. */
export function describeChange(change: HostChange): ChangeDescription {
  const subject = change.action === 'remove' ? change.before : change.after;
  const before = change.action === 'add' ? undefined : text(change.before);
  const becomes = change.action === 'remove' ? undefined : text(change.after);
  // Made anew as it is: what was in it is not.
  const after = becomes === before && isFlowtable(subject) ? `${becomes}, emptied` : becomes;
  return {
    transactional: subject.kind === 'nft',
    reversible: change.action !== 'remove' || isWritable(subject),
    action: change.action,
    object: objectName(subject),
    name: nameOf(subject),
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
    ...((subject.kind === 'iptables' || (subject.kind === 'rule' && subject.handMade)) && { adopted: true }),
  };
}

function objectName({ kind }: HostObject): ObjectName {
  switch (kind) {
    case 'device':
      return 'link';
    case 'flows':
    case 'connections':
      return 'nft';
    case 'foreignRule':
    case 'iptablesTable':
      return 'foreign';
    case 'restore':
      return 'file';
    default:
      return kind;
  }
}

const isFlowtable = (object: HostObject): boolean => object.kind === 'nft' && object.object.kind === 'flowtable';

/** What others put into our table and we do not model can be removed and not be written again. */
function isWritable(object: HostObject): boolean {
  if (object.kind === 'flows' || object.kind === 'connection') return false;
  if (object.kind === 'accept') return !object.accept.traffic.some(({ kind }) => kind === 'other');
  if (object.kind !== 'nft') return true;
  return object.object.kind !== 'object' && (object.object.kind !== 'chain' || !holdsOpaque(object.object.chain.rules));
}

/** Looks through anything made of plain data: an opaque part may stand deep inside a statement. */
function holdsOpaque(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false;
  return ('kind' in data && data.kind === 'opaque') || Object.values(data).some(holdsOpaque);
}

const showRule = (rule: Rule): string =>
  holdsOpaque(rule)
    ? `not modelled: ${JSON.stringify(rule.statements, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`
    : printNftRule(rule);

function nameOf(object: HostObject): string {
  switch (object.kind) {
    case 'link':
      return object.link.name;
    case 'device':
      return `${object.device.link} key and port`;
    case 'peer':
      return `${object.link} ${printKey(object.peer.publicKey)}`;
    case 'address':
      return printLinkAddress(object.address);
    case 'route':
      return `${printPrefix(object.route.destination)}${object.route.table === 254 ? '' : ` table ${object.route.table}`}`;
    case 'rule':
      return `IPv${object.rule.family} ${object.rule.priority}`;
    case 'sysctl':
      return object.path.replaceAll('.', '/').replaceAll('/', '.');
    case 'flows':
      return 'flows on targets that change';
    case 'connections':
      return 'connections that rules made by hand began';
    case 'iptables':
      return printPlace({ ...object.rule, kind: 'iptables' });
    case 'nft':
      return nftName(object.object);
    case 'accept':
      return printPlace(object.accept.place);
    case 'file':
    case 'restore':
      return object.path;
    case 'foreignRule':
      return printPlace(object.place);
    case 'iptablesTable':
      return `${object.family === 4 ? 'iptables' : 'ip6tables'}-legacy -t ${object.table}`;
    case 'connection':
      return printConnection(object.connection);
    case 'unit':
      return object.name;
  }
}

function text(object: HostObject): string {
  switch (object.kind) {
    case 'link':
      return printLink(object.link);
    case 'device':
      return printDevice(object.device);
    case 'peer':
      return printPeer(object.peer, object.meaning);
    case 'address':
      return printLinkAddress(object.address);
    case 'route':
      return printRoute(object.route);
    case 'rule':
      return printRule(object.rule);
    case 'sysctl':
      return object.value;
    case 'flows':
      return printFlows(object);
    case 'connections':
      return 'go on by the forwards and tunnels that stand for those rules';
    case 'iptables':
      return object.rule.text;
    case 'nft':
      return nftText(object.object);
    case 'accept':
      return printAccept(object.accept);
    case 'restore':
      return 'what a boot brings back';
    case 'file':
      return `${object.content.length} bytes, mode ${object.mode.toString(8).padStart(4, '0')}`;
    case 'foreignRule':
      return object.rule.text ?? showRule(object.rule);
    case 'iptablesTable':
      return object.content;
    case 'connection':
      return printConnection(object.connection);
    case 'unit':
      return 'restarted';
  }
}

const printConnection = ({ protocol, source, destination, sourcePort, destinationPort }: TrackedConnection): string =>
  `${protocol} src=${printAddress(source)} dst=${printAddress(destination)} sport=${sourcePort} dport=${destinationPort}`;

const printDevice = ({ link, publicKey, listenPort }: Omit<WireGuardDevice, 'peers'>): string =>
  [
    link,
    publicKey !== undefined && `public key ${printKey(publicKey)}`,
    listenPort !== undefined && `port ${listenPort}`,
  ]
    .filter((part) => part !== false)
    .join(', ');

const printPeer = (
  { endpoint, allowedIps, keepaliveSeconds, presharedKey }: WireGuardPeer,
  meaning: Endpoint | undefined,
): string =>
  [
    `allowed IPs ${allowedIps.map(printPrefix).join(', ') || 'none'}`,
    endpoint !== undefined &&
      `endpoint ${printEndpoint(endpoint)}${meaning === undefined ? '' : ` (${printEndpoint(meaning)})`}`,
    keepaliveSeconds !== undefined && `keepalive ${keepaliveSeconds} s`,
    presharedKey !== undefined && printPresharedKey(presharedKey),
  ]
    .filter((part) => part !== false)
    .join(', ');

function nftName(object: RulesetObject): string {
  switch (object.kind) {
    case 'table':
      return `table ${object.family} ${object.table}`;
    case 'chain':
      return `chain ${object.chain.name}`;
    case 'set':
      return `set ${object.set.name}`;
    case 'map':
      return `map ${object.map.name}`;
    case 'setElement':
      return `element of ${object.set}`;
    case 'mapElement':
      return `element of ${object.map}`;
    case 'flowtable':
      return `flowtable ${object.flowtable.name}`;
    case 'object':
      return `${object.type} ${object.name}`;
  }
}

function nftText(object: RulesetObject): string {
  switch (object.kind) {
    case 'table':
      return `table ${object.family} ${object.table}`;
    case 'chain':
      return printChain(object.chain);
    case 'set':
      return [object.set.type.join(' . '), ...object.set.flags].join(', ');
    case 'map':
      return [`${object.map.type.join(' . ')} : ${object.map.data.join(' . ')}`, ...object.map.flags].join(', ');
    case 'setElement':
    case 'mapElement':
      return printElement(object.element);
    case 'flowtable':
      return `devices ${object.flowtable.devices.join(', ') || 'none'}`;
    case 'object':
      return JSON.stringify(object.json);
  }
}

const printChain = (chain: Chain): string =>
  [...(chain.kind === 'base' ? [printChainHeader(chain)] : []), ...chain.rules.map(showRule)].join('\n');
