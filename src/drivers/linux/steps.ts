/** What `apply` does, as data: the changes of a plan, in their order, in as few commands as keep that order and say exactly what stands. */

import {
  type AcceptPlace,
  type AcceptTraffic,
  type Daemon,
  daemonOf,
  type HandedOver,
  type HostState,
} from '../../host/index.ts';
import { printPrefix } from '../../net/index.ts';
import { printTransaction, type RulesetChange } from '../../nftables/index.ts';
import type { Change, HostChange, HostObject, MovedFlows } from '../../plan/index.ts';
import {
  addAddressArguments,
  addLinkArguments,
  addRouteArguments,
  addRuleArguments,
  changeLinkArguments,
  isNetworkSysctl,
  type Link,
  type Route,
  removeAddressArguments,
  removeLinkArguments,
  removeRouteArguments,
  removeRuleArguments,
} from '../../routing/index.ts';
import { sameKey, wgRemovePeerArguments } from '../../wireguard/index.ts';
import type { DaemonFileItem } from './daemons.ts';
import { deviceStep, setPeerArguments } from './device-step.ts';
import { type ForeignStep, foreignFile, foreignStep } from './foreign.ts';
import { areOfOne, type HandMadeStep, joined } from './hand-made.ts';

export type Step =
  /** Lines for `ip -batch -`. */
  | { readonly kind: 'ip'; readonly items: readonly IpItem[] }
  /** One transaction for all; before it a file of which a little changes. */
  | {
      readonly kind: 'nft';
      readonly changes: readonly HostChange[];
      readonly transaction: string;
      readonly file?: FileStep;
    }
  | { readonly kind: 'sysctl'; readonly items: readonly SysctlItem[] }
  /** Arguments for `wg set LINK`, one list after the other. */
  | { readonly kind: 'wg'; readonly link: string; readonly items: readonly WgItem[] }
  /** Another private key for a link: its file and the link, by one command. */
  | { readonly kind: 'rekey'; readonly change: HostChange; readonly link: string; readonly argv: readonly string[] }
  /** One command, atomic by itself: `traffic` is all that shall stand there of ours. */
  | {
      readonly kind: 'accept';
      readonly change: HostChange;
      readonly place: AcceptPlace;
      readonly traffic: readonly AcceptTraffic[];
    }
  | { readonly kind: 'flows'; readonly change: HostChange; readonly moved: MovedFlows }
  /** Connections get a mark of ours. */
  | { readonly kind: 'handOver'; readonly change: HostChange; readonly handed: HandedOver }
  /** Rules of one table of iptables that are not ours go, by one command: all of them or none. `back`: they come back. */
  | HandMadeStep
  /** What a link has of its own, or comes by itself: nothing to do, and done all the same. */
  | { readonly kind: 'goesWithLink'; readonly change: HostChange }
  /** A WireGuard link by the kernel's driver or by wireguard-go, whichever the host has. */
  | { readonly kind: 'addWireGuard'; readonly change: HostChange; readonly link: Link }
  | { readonly kind: 'removeWireGuard'; readonly change: HostChange; readonly link: Link }
  | FileStep
  /** Files of one network daemon, which is told then. */
  | {
      readonly kind: 'daemonFiles';
      readonly daemon: Daemon;
      readonly items: readonly (DaemonFileItem & { readonly change: HostChange })[];
    }
  | { readonly kind: 'writeRestore'; readonly change: HostChange; readonly path: string; readonly state: HostState }
  | { readonly kind: 'removeFile'; readonly change: HostChange; readonly path: string }
  /** Of what is others'. */
  | (ForeignStep & { readonly kind: 'foreign'; readonly change: HostChange });

interface FileStep {
  readonly kind: 'writeFile';
  readonly change: HostChange;
  readonly path: string;
  readonly mode: number;
  readonly content: string;
  /** What stands there before. */
  readonly standing?: string;
}

/** A change and the `ip` commands that make it; each with the one that takes it back, should the next one of the change fail. */
export interface IpItem {
  readonly change: HostChange;
  readonly commands: readonly { readonly argv: readonly string[]; readonly inverse: readonly string[] }[];
}

export interface WgItem {
  readonly change: HostChange;
  /** What stands behind `set LINK`. */
  readonly words: readonly string[];
}

export interface SysctlItem {
  readonly change: HostChange;
  readonly path: string;
  readonly value: string;
}

/**
 * The steps that carry out `changes`, in their order; nft changes that stand together are one step.
 * Throws a TypeError for a change that nothing can carry out, before anything is done.
 */
export function makeSteps(changes: readonly HostChange[], stateFolder: string): readonly Step[] {
  const steps: Step[] = [];
  let nft: HostChange[] = [];
  const endTransaction = (): void => {
    if (nft.length === 0) return;
    const last = steps.at(-1);
    const file = last?.kind === 'writeFile' && last.standing !== undefined ? last : undefined;
    if (file !== undefined) steps.pop();
    const transaction = printTransaction(nft.map(rulesetChange));
    steps.push({ kind: 'nft', changes: nft, transaction, ...(file !== undefined && { file }) });
    nft = [];
  };
  for (const change of changes) {
    if (objectOf(change).kind === 'nft') {
      nft.push(change);
      continue;
    }
    endTransaction();
    const step = makeStep(change, stateFolder);
    const last = steps.at(-1);
    if (step.kind === 'ip' && last?.kind === 'ip')
      steps[steps.length - 1] = { kind: 'ip', items: [...last.items, ...step.items] };
    else if (step.kind === 'sysctl' && last?.kind === 'sysctl')
      steps[steps.length - 1] = { kind: 'sysctl', items: [...last.items, ...step.items] };
    else if (step.kind === 'daemonFiles' && last?.kind === 'daemonFiles' && last.daemon === step.daemon)
      steps[steps.length - 1] = { ...last, items: [...last.items, ...step.items] };
    else if (step.kind === 'handMade' && last?.kind === 'handMade' && areOfOne(last, step))
      steps[steps.length - 1] = joined(last, step);
    else if (step.kind === 'wg' && last?.kind === 'wg' && canJoin(last, step))
      steps[steps.length - 1] = { ...last, items: [...last.items, ...step.items] };
    else steps.push(step);
  }
  endTransaction();
  return steps;
}

/** The changes a step carries out, in order. */
export function changesOf(step: Step): readonly HostChange[] {
  switch (step.kind) {
    case 'ip':
    case 'wg':
    case 'sysctl':
    case 'daemonFiles':
      return step.items.map(({ change }) => change);
    case 'nft':
      return step.file === undefined ? step.changes : [step.file.change, ...step.changes];
    case 'handMade':
      return step.changes;
    case 'rekey':
    case 'accept':
    case 'flows':
    case 'handOver':
    case 'goesWithLink':
    case 'addWireGuard':
    case 'removeWireGuard':
    case 'writeFile':
    case 'writeRestore':
    case 'removeFile':
    case 'foreign':
      return [step.change];
  }
}

/** What a change is about: both sides of a `change` are of one kind. */
export const objectOf = (change: HostChange): HostObject => (change.action === 'remove' ? change.before : change.after);

function makeStep(change: HostChange, stateFolder: string): Step {
  const object = objectOf(change);
  switch (object.kind) {
    case 'link':
      return linkStep(change, of(change, 'link'));
    case 'address':
      return ipStep(change, addressCommands(of(change, 'address')));
    case 'route':
      return ipStep(change, routeCommands(of(change, 'route')));
    case 'rule':
      return ipStep(change, ruleCommands(of(change, 'rule')));
    case 'device':
      return change.action === 'remove'
        ? { kind: 'goesWithLink', change }
        : deviceStep(change, object.device, stateFolder);
    case 'peer':
      return wgStep(change, object.link, peerCommand(of(change, 'peer'), stateFolder));
    case 'sysctl':
      if (change.action === 'remove') return { kind: 'goesWithLink', change };
      return { kind: 'sysctl', items: [{ change, path: networkPath(object.path), value: object.value }] };
    case 'accept': {
      const { place, traffic } = object.accept;
      return { kind: 'accept', change, place, traffic: change.action === 'remove' ? [] : traffic };
    }
    case 'connections':
      if (change.action === 'remove') return { kind: 'goesWithLink', change };
      return { kind: 'handOver', change, handed: object };
    case 'iptables':
      return { kind: 'handMade', rules: [object.rule], changes: [change], back: change.action === 'add' };
    case 'flows':
      if (change.action !== 'remove') return { kind: 'goesWithLink', change };
      return { kind: 'flows', change, moved: object };
    case 'file': {
      const daemon = daemonOf(object.path);
      if (daemon !== undefined) {
        const item =
          change.action === 'remove' ? { path: object.path } : { path: object.path, content: object.content };
        return { kind: 'daemonFiles', daemon, items: [{ change, ...item }] };
      }
      if (!object.path.startsWith(`${stateFolder}/`))
        return { kind: 'foreign', change, ...foreignFile(change, object) };
      if (change.action === 'remove') return { kind: 'removeFile', change, path: object.path };
      const { path, mode, content } = object;
      const standing = change.action === 'change' && change.before.kind === 'file' ? change.before.content : undefined;
      return { kind: 'writeFile', change, path, mode, content, ...(standing !== undefined && { standing }) };
    }
    case 'foreignRule':
    case 'iptablesTable':
    case 'connection':
    case 'unit': {
      const step = foreignStep(change, object);
      return step === undefined ? { kind: 'goesWithLink', change } : { kind: 'foreign', change, ...step };
    }
    case 'restore':
      return change.action === 'remove'
        ? { kind: 'removeFile', change, path: object.path }
        : { kind: 'writeRestore', change, path: object.path, state: object.state };
    case 'nft':
      throw new TypeError('an nft change is part of the transaction');
  }
}

/** A peer that is taken away to be added again is two commands. */
const canJoin = (last: WgStep, { link, items: [next] }: WgStep): boolean =>
  last.link === link &&
  last.items.length < MOST_PEERS &&
  last.items.every(({ words: [, key] }) => key !== next?.words[1]);

type WgStep = Extract<Step, { readonly kind: 'wg' }>;

/** In one command: far below what the kernel takes as arguments (128 KiB on the smallest). */
const MOST_PEERS = 200;

type ObjectOf<Kind extends HostObject['kind']> = Extract<HostObject, { readonly kind: Kind }>;

const isOf = <Kind extends HostObject['kind']>(object: HostObject, kind: Kind): object is ObjectOf<Kind> =>
  object.kind === kind;

/** The change of an object of this kind. Throws a TypeError where one side is of another. */
function of<Kind extends HostObject['kind']>(change: HostChange, kind: Kind): Change<ObjectOf<Kind>> {
  const side = (object: HostObject): ObjectOf<Kind> => {
    if (!isOf(object, kind)) throw new TypeError(`a ${kind} cannot change into a ${object.kind}`);
    return object;
  };
  switch (change.action) {
    case 'add':
      return { action: 'add', after: side(change.after) };
    case 'remove':
      return { action: 'remove', before: side(change.before) };
    case 'change':
      return { action: 'change', before: side(change.before), after: side(change.after) };
  }
}

function rulesetChange(change: HostChange): RulesetChange {
  const nft = of(change, 'nft');
  switch (nft.action) {
    case 'add':
      return { action: 'add', after: nft.after.object };
    case 'remove':
      return { action: 'remove', before: nft.before.object };
    case 'change':
      return { action: 'change', before: nft.before.object, after: nft.after.object };
  }
}

/** What a step of `ip` does, each command with its inverse. */
type IpCommands = IpItem['commands'];

/** `argv` is `set LINK …`. */
const wgStep = (change: HostChange, link: string, argv: readonly string[]): Step => ({
  kind: 'wg',
  link,
  items: [{ change, words: argv.slice(2) }],
});

const ipStep = (change: HostChange, commands: IpCommands): Step => ({ kind: 'ip', items: [{ change, commands }] });

function linkStep(change: HostChange, link: Change<ObjectOf<'link'>>): Step {
  switch (link.action) {
    case 'add':
      if (link.after.link.kind === 'wireguard') return { kind: 'addWireGuard', change, link: link.after.link };
      return ipStep(change, addLinkCommands(link.after.link));
    case 'remove':
      if (link.before.link.kind === 'wireguard') return { kind: 'removeWireGuard', change, link: link.before.link };
      return ipStep(change, inverses(addLinkCommands(link.before.link)).slice(-1));
    case 'change': {
      const { before, after } = link;
      const argv = changeLinkArguments(before.link, after.link);
      return ipStep(change, [{ argv, inverse: changeLinkArguments(after.link, before.link) }]);
    }
  }
}

/** Makes a link of the kernel's, with its alias, which `ip link add` does not take. */
export function addLinkCommands(link: Link): IpCommands {
  const add = { argv: addLinkArguments(link), inverse: removeLinkArguments(link) };
  if (link.alias === undefined) return [add];
  const { alias, ...plain } = link;
  return [add, { argv: changeLinkArguments(plain, link), inverse: changeLinkArguments(link, plain) }];
}

function addressCommands(change: Change<ObjectOf<'address'>>): IpCommands {
  const add = ({ address }: ObjectOf<'address'>): IpCommands => [
    { argv: addAddressArguments(address), inverse: removeAddressArguments(address) },
  ];
  return commandsOf(change, add, (before, after) => [...inverses(add(before)), ...add(after)]);
}

function routeCommands(change: Change<ObjectOf<'route'>>): IpCommands {
  const add = ({ route }: ObjectOf<'route'>): IpCommands => [
    { argv: addRouteArguments(route), inverse: removeRouteArguments(route) },
  ];
  return commandsOf(change, add, (before, after) =>
    samePlace(before.route, after.route)
      ? [{ argv: replaceRoute(after.route), inverse: replaceRoute(before.route) }]
      : [...add(after), ...inverses(add(before))],
  );
}

/** What the kernel tells routes of a table apart by: of these, `ip route replace` exchanges one for the other at once. */
const samePlace = (left: Route, right: Route): boolean =>
  left.table === right.table &&
  left.metric === right.metric &&
  printPrefix(left.destination) === printPrefix(right.destination);

const replaceRoute = (route: Route): readonly string[] => ['route', 'replace', ...addRouteArguments(route).slice(2)];

function ruleCommands(change: Change<ObjectOf<'rule'>>): IpCommands {
  const add = ({ rule }: ObjectOf<'rule'>): IpCommands => [
    { argv: addRuleArguments(rule), inverse: removeRuleArguments(rule) },
  ];
  return commandsOf(change, add, (before, after) => [...add(after), ...inverses(add(before))]);
}

function commandsOf<T>(
  change: Change<T>,
  add: (object: T) => IpCommands,
  exchange: (before: T, after: T) => IpCommands,
): IpCommands {
  switch (change.action) {
    case 'add':
      return add(change.after);
    case 'remove':
      return inverses(add(change.before));
    case 'change':
      return exchange(change.before, change.after);
  }
}

const inverses = (commands: IpCommands): IpCommands =>
  commands.map(({ argv, inverse }) => ({ argv: inverse, inverse: argv })).reverse();

function peerCommand(change: Change<ObjectOf<'peer'>>, stateFolder: string): readonly string[] {
  switch (change.action) {
    case 'add':
      return setPeerArguments(change.after, stateFolder);
    case 'remove':
      return wgRemovePeerArguments(change.before.link, change.before.peer);
    case 'change': {
      const { before, after } = change;
      if (before.link !== after.link || !sameKey(before.peer.publicKey, after.peer.publicKey))
        throw new TypeError(`${after.link}: a peer with another key is another peer: remove one, add one`);
      return setPeerArguments(after, stateFolder, before.peer);
    }
  }
}

/** Only what belongs to a network namespace: anything else would change the machine around it. */
function networkPath(path: string): string {
  if (isNetworkSysctl(path)) return path;
  throw new TypeError(`not the path of a sysctl of a network: ${path}`);
}
