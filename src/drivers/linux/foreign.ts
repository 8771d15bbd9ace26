/** Changes of what is others', each by one command: a rule in their chain, a file, a connection that is tracked, a unit. */
import type { UndoCommand } from '../../apply/index.ts';
import { type HostChange, type HostObject, printPlace, type RulePlace } from '../../host/index.ts';
import { printAddress } from '../../net/index.ts';
import { printRule, type Rule } from '../../nftables/index.ts';
import { script } from '../../transport/index.ts';
import {
  DELETE_NFT_RULE,
  EXCHANGE_LEGACY,
  INSERT_UNLESS_LISTED,
  REMOVE_FILE,
  RESTORE_IPTABLES,
  WRITE_FILE,
} from './scripts.ts';

/** What carries one change out. */
export interface ForeignStep {
  readonly name: string;
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** In its place, where it takes another change back that may have been done or not. */
  readonly undo?: readonly UndoCommand[];
}

type ObjectOf<Kind extends HostObject['kind']> = Extract<HostObject, { readonly kind: Kind }>;

/** Undefined where there is nothing to do. */
export function foreignStep(
  { action }: HostChange,
  object: ObjectOf<'foreignRule' | 'iptablesTable' | 'connection' | 'unit'>,
): ForeignStep | undefined {
  switch (object.kind) {
    case 'foreignRule':
      if (action === 'change')
        throw new TypeError(`${printPlace(object.place)}: a rule of others does not become another`);
      return object.place.kind === 'nft'
        ? nftRule(action, object.place, object.rule)
        : iptablesRule(action, object.place, object.rule);
    case 'iptablesTable': {
      const { family, table, content } = object;
      if (action !== 'change') throw new TypeError(`${table}: a table of iptables is exchanged`);
      return { name: `iptables-legacy, table ${table}`, argv: script(EXCHANGE_LEGACY, String(family)), stdin: content };
    }
    case 'connection': {
      if (action !== 'remove') return undefined;
      const { protocol, source, destination, sourcePort, destinationPort } = object.connection;
      const ends = ['-s', printAddress(source), '-d', printAddress(destination)];
      const ports = ['--sport', String(sourcePort), '--dport', String(destinationPort)];
      // Status 1: it has ended by itself.
      const end = ['conntrack', '-D', '-p', protocol, ...ends, ...ports];
      return { name: 'a tracked connection', argv: script('"$@" || [ "$?" -eq 1 ]', ...end) };
    }
    case 'unit':
      return action === 'remove'
        ? undefined
        : { name: `restart of ${object.name}`, argv: ['systemctl', 'restart', object.name] };
  }
}

const nftRule = (
  action: 'add' | 'remove',
  place: Extract<RulePlace, { readonly kind: 'nft' }>,
  rule: Rule,
): ForeignStep => {
  const { family, table, chain } = place;
  const name = `rule in ${printPlace(place)}`;
  if (rule.comment === undefined) throw new TypeError(`${name}: it would not be found again without a comment`);
  if (action === 'add')
    return { name, argv: ['nft', '-f', '-'], stdin: `insert rule ${family} ${table} ${chain} ${printRule(rule)}\n` };
  return { name, argv: script(DELETE_NFT_RULE, family, table, chain, rule.comment) };
};

/** `text` is a line of iptables-save: `-A CHAIN …`. */
function iptablesRule(
  action: 'add' | 'remove',
  place: Extract<RulePlace, { readonly kind: 'iptables' }>,
  { text = '' }: Rule,
): ForeignStep {
  const { family, backend, table, chain, behind = 0 } = place;
  const begin = `-A ${chain} `;
  const name = `rule in ${printPlace(place)}`;
  if (!text.startsWith(begin)) throw new TypeError(`${name}: no line of its chain: ${text}`);
  const words = text.slice(begin.length);
  const line = action === 'add' ? `-I ${chain} ${behind + 1} ${words}` : `-D ${chain} ${words}`;
  const stdin = `*${table}\n${line}\nCOMMIT\n`;
  const at = [String(family), backend] as const;
  // Of one to delete that was never put in, what is said does not count.
  const undo = action === 'add' && [{ argv: script(INSERT_UNLESS_LISTED, ...at, table, text), stdin }];
  return { name, argv: script(RESTORE_IPTABLES, ...at), stdin, ...(undo && { undo }) };
}

/** A file of settings that lies where its reader looks for it. One that is there already is somebody else's. */
export function foreignFile(change: HostChange, { path, content }: ObjectOf<'file'>): ForeignStep {
  const name = `file ${path}`;
  switch (change.action) {
    case 'add':
      return { name, argv: script(WRITE_FILE, path), stdin: content };
    case 'remove':
      return { name, argv: script(REMOVE_FILE, path, content) };
    case 'change':
      throw new TypeError(`${name}: a file of others is not written over`);
  }
}
