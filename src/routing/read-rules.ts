import { addressBits, type Family, networkOf, type Prefix } from '../net/index.ts';
import {
  addressField,
  type Entry,
  hasField,
  numberField,
  otherFields,
  readEntries,
  required,
  textField,
} from './json.ts';
import { protocolField, routeTypeOf, tableField } from './numbers.ts';
import type { RoutingRule, RuleAction } from './state.ts';

/** Its output is for readRules. */
export const rulesCommand = (family: Family): readonly string[] => [
  'ip',
  '-j',
  '-N',
  '-d',
  `-${family}`,
  'rule',
  'show',
];

/** `iif_detached`, `oif_detached` and `unresolved` say what the links and rules say too. */
const KNOWN = new Set([
  ...[
    'priority',
    'not',
    'src',
    'srclen',
    'dst',
    'dstlen',
    'iif',
    'iif_detached',
    'oif',
    'oif_detached',
    'fwmark',
    'fwmask',
  ],
  ...['table', 'suppress_prefixlen', 'goto', 'unresolved', 'nop', 'action', 'protocol'],
]);
const EVERY_BIT = 0xffff_ffff;

/** The routing rules in the kernel's order, from rulesCommand(family). Throws an Error where the text is not its output. */
export const readRules = (jsonText: string, family: Family): readonly RoutingRule[] =>
  readEntries(rulesCommand(family), jsonText).map((entry) => readRule(entry, family));

function readRule(entry: Entry, family: Family): RoutingRule {
  const action = readAction(entry);
  const from = readSelector(entry, 'src', 'srclen', family);
  const to = readSelector(entry, 'dst', 'dstlen', family);
  const iif = textField(entry, 'iif');
  const oif = textField(entry, 'oif');
  const mark = readMark(entry);
  const { l3mdev: _, ...opaque } = otherFields(entry, KNOWN) ?? {};
  return {
    family,
    priority: required(entry, 'priority', numberField(entry, 'priority')),
    action,
    ...(hasField(entry, 'not') && { not: true }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
    ...(mark !== undefined && { mark }),
    protocol: protocolField(entry),
    ...(Object.keys(opaque).length > 0 && { opaque }),
  };
}

function readAction(entry: Entry): RuleAction {
  const { fields } = entry;
  if ('nop' in fields) return { kind: 'nop' };
  if (typeof fields.goto === 'number') return { kind: 'goto', priority: fields.goto };
  const action = routeTypeOf(textField(entry, 'action') ?? '');
  if (action === 'blackhole' || action === 'unreachable' || action === 'prohibit') return { kind: action };
  const table = tableField(entry);
  // `goto none`, `l3mdev` (the table of the packet's VRF), and what later kernels may bring.
  if (table === undefined || action !== undefined || 'l3mdev' in fields || 'goto' in fields) {
    const { priority: _, protocol: __, ...json } = fields;
    return { kind: 'opaque', json };
  }
  const suppressPrefixLength = numberField(entry, 'suppress_prefixlen');
  return { kind: 'lookup', table, ...(suppressPrefixLength !== undefined && { suppressPrefixLength }) };
}

/** `all` or nothing: any address. Host bits may be set; the kernel masks them (fib_rules.c). */
function readSelector(entry: Entry, name: string, lengthName: string, family: Family): Prefix | undefined {
  if (entry.fields[name] === undefined || entry.fields[name] === 'all') return undefined;
  const address = required(entry, name, addressField(entry, name));
  return networkOf({ address, length: numberField(entry, lengthName) ?? addressBits(family) });
}

function readMark(entry: Entry): RoutingRule['mark'] {
  const value = numberField(entry, 'fwmark');
  const mask = numberField(entry, 'fwmask');
  return value === undefined && mask === undefined ? undefined : { value: value ?? 0, mask: mask ?? EVERY_BIT };
}
