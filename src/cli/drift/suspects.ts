/** What changed on a host behind our back, and who it looks like, with the evidence for it. Pure. */
import { compileRemoval } from '../../compile/index.ts';
import { type AcceptPlace, daemonOf, type HostFacts, isOwnLink, isOwnTable } from '../../host/index.ts';
import { describeChange, type HostChange, type HostObject, planHost } from '../../plan/index.ts';
import { causeOf } from '../causes.ts';
import type { Clues, SudoCommand } from './clues.ts';

export interface Suspect {
  /** What was done, in a clause: `the table inet sallyport is gone`. */
  readonly did: string;
  /** Who it looks like; null where nothing points to anybody. */
  readonly who: string | null;
  /** Lines that were found on the host. */
  readonly evidence: readonly string[];
}

/** With the changes that put it right. */
export interface DriftGroup extends Suspect {
  readonly changes: readonly HostChange[];
}

/**
 * What makes a host again what its own record says: nothing where nobody touched it since our last apply, or it has no record. While a
 * change of ours is pending, what differs may be half of that.
 */
export function driftOf(host: string, facts: HostFacts, version: string): readonly HostChange[] {
  if (facts.record === undefined || facts.recordProblem !== undefined || facts.pending !== undefined) return [];
  // No set is named so (set names are not empty): taking it away leaves what the record says.
  return planHost(facts, compileRemoval(host, facts, '', version)).filter(
    (change) => !isBookkeeping(subjectOf(change)),
  );
}

/** Record and undo.sh are written by us alone: another version writes them anew. */
const isBookkeeping = (object: HostObject): boolean =>
  object.kind === 'restore' || (object.kind === 'file' && daemonOf(object.path) === undefined);

const subjectOf = (change: HostChange): HostObject => (change.action === 'remove' ? change.before : change.after);

/** Each change in one group, in the order in which to look. */
export function suspectsOf(changes: readonly HostChange[], facts: HostFacts, clues: Clues): readonly DriftGroup[] {
  const scene: Scene = { facts, clues };
  const rebooted = findReboot(scene);
  if (rebooted !== undefined && changes.length > 0) return [{ ...rebooted, changes }];
  const groups = new Map<string, { readonly suspect: Suspect; readonly changes: HostChange[] }>();
  for (const change of changes) {
    const suspect = judge(change, changes, scene);
    const key = JSON.stringify(suspect);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { suspect, changes: [change] });
    else group.changes.push(change);
  }
  return [...groups.values()].map(({ suspect, changes: those }) => ({ ...suspect, changes: those }));
}

interface Scene {
  readonly facts: HostFacts;
  readonly clues: Clues;
}

const hasTable = ({ state }: HostFacts): boolean => state.tables.some(isOwnTable);

/** All of ours that a boot takes is gone, and the host was booted after we wrote. */
function findReboot({ facts, clues: { bootedAt, appliedAt } }: Scene): Suspect | undefined {
  const { links, tables } = facts.state;
  if (bootedAt === undefined || appliedAt === undefined || bootedAt < appliedAt) return undefined;
  if (tables.some(isOwnTable) || links.some(({ name }) => isOwnLink(name))) return undefined;
  return {
    did: 'table, links, routes and rules of ours are gone',
    who: 'a reboot',
    evidence: [`the host was booted at ${iso(bootedAt)}, after our last apply at ${iso(appliedAt)}`],
  };
}

function judge(change: HostChange, all: readonly HostChange[], scene: Scene): Suspect {
  const object = subjectOf(change);
  switch (object.kind) {
    case 'nft':
    case 'flows':
    case 'connections':
      return hasTable(scene.facts) ? inTable(change, scene) : tableGone(scene);
    case 'sysctl':
      return setting(change, all, object.path, scene);
    case 'accept':
      return inFirewall(object.accept.place, scene);
    case 'iptables':
    case 'rule':
      return gone(change, 'a routing rule of ours', ['ip'], scene);
    case 'route':
      return withLink(object.route.link, all) ?? gone(change, 'a route of ours', ['ip'], scene);
    case 'address':
      return withLink(object.address.link, all) ?? gone(change, `an address on ${object.address.link}`, ['ip'], scene);
    case 'link':
      return change.action === 'add'
        ? linkGone(object.link.name, scene)
        : gone(change, `the link ${object.link.name}`, ['ip'], scene);
    case 'device':
      return withLink(object.device.link, all) ?? gone(change, `key or port of ${object.device.link}`, ['wg'], scene);
    case 'peer':
      return withLink(object.link, all) ?? gone(change, `a peer on ${object.link}`, ['wg', 'wg-quick'], scene);
    case 'file':
    case 'restore':
      return named({ did: `${object.path} is not as we wrote it`, who: null, evidence: [] }, [], scene);
    // A fix alone touches these: what others do with what is theirs is no drift.
    case 'foreignRule':
    case 'iptablesTable':
    case 'connection':
    case 'unit':
      return { did: 'what is not ours was changed', who: null, evidence: [] };
  }
}

const verb = ({ action }: HostChange): string =>
  action === 'add' ? 'is gone' : action === 'remove' ? 'was added' : 'was changed';

/** What is on a link goes with it. */
function withLink(name: string | undefined, all: readonly HostChange[]): Suspect | undefined {
  const isMade = all.some(({ action, ...each }) => {
    const object = action === 'add' && 'after' in each ? each.after : undefined;
    return object?.kind === 'link' && object.link.name === name;
  });
  return isMade && name !== undefined
    ? { did: `the link ${name} is gone, and what was on it`, who: null, evidence: [] }
    : undefined;
}

function linkGone(name: string, scene: Scene): Suspect {
  return named(
    { did: `the link ${name} is gone, and what was on it`, who: null, evidence: [] },
    [`ip link del.* ${name}`, `wg-quick down ${name}`],
    scene,
  );
}

/** Routes and rules of others are taken away by two daemons on their own; everything else of ours by nobody that is known. */
function gone(change: HostChange, what: string, tools: readonly string[], scene: Scene): Suspect {
  const object = subjectOf(change);
  const taken = change.action === 'add' && (object.kind === 'rule' || object.kind === 'route');
  const daemon = taken ? running(scene, ['systemd-network', 'NetworkManager']) : undefined;
  const did = `${what} ${verb(change)}`;
  const patterns = tools.map((tool) => `/${tool} .*${object.kind === 'device' ? 'set' : object.kind}`);
  const found = named({ did, who: null, evidence: [] }, patterns, scene);
  if (found.who !== null || daemon === undefined) return found;
  const why = 'takes away routes and rules that it did not make whenever it sets up a link';
  return { did, who: daemon.who, evidence: [...daemon.evidence, `${daemon.who} ${why}`] };
}

// ---- the table

function tableGone(scene: Scene): Suspect {
  const { facts, clues } = scene;
  const did = 'the table inet sallyport is gone';
  const byHand = named(
    { did, who: null, evidence: [] },
    ['nft (flush ruleset|delete table inet sallyport|-f)', 'systemctl .*nftables'],
    scene,
  );
  if (byHand.who !== null) return byHand;
  const others = facts.state.tables.filter(({ origin }) => origin !== 'iptables-legacy');
  const stand = `nft list tables: ${others.map(({ family, name }) => `${family} ${name}`).join(', ') || 'none'}`;
  const flushes = clues.nftFiles.filter((line) => /^[^:]+:\d+:\s*flush\s+ruleset/.test(line));
  const [first] = flushes;
  if (first === undefined)
    return others.length === 0
      ? {
          did,
          who: 'a person',
          evidence: [stand, 'no file that nftables.service loads flushes: as after "nft flush ruleset" by hand'],
        }
      : { did, who: 'a person', evidence: [stand, 'the others stand: as after "nft delete table inet sallyport"'] };
  const file = first.slice(0, first.indexOf(':'));
  const makes = clues.nftFiles.flatMap((line) => {
    const [, family, name] = line.startsWith(`${file}:`) ? (/:\s*table\s+(\S+)\s+(\S+)/.exec(line) ?? []) : [];
    return family === undefined || name === undefined ? [] : [`${family} ${name}`];
  });
  const missing = makes.filter((made) => !others.some(({ family, name }) => made === `${family} ${name}`));
  const when = changedSince(scene, 'nftables');
  if (missing.length > 0 && when === undefined)
    return {
      did,
      who: 'a person',
      evidence: [
        stand,
        `${file} flushes too, and would have made ${missing.join(', ')}, which ${missing.length === 1 ? 'does' : 'do'} not stand`,
      ],
    };
  return {
    did,
    who: clues.isMachine ? 'nftables.service' : `whoever loads ${file}`,
    evidence: [first, stand, ...(when === undefined ? [] : [when])],
  };
}

/** Nobody but us writes to a table of our name. */
const inTable = (change: HostChange, scene: Scene): Suspect =>
  named(
    {
      did: `${describeChange(change).name} in the table inet sallyport ${verb(change)}`,
      who: 'a person',
      evidence: ['no program that is known writes to a table of that name: somebody, or a script of theirs'],
    },
    ['nft '],
    scene,
  );

// ---- settings

function setting(change: HostChange, all: readonly HostChange[], path: string, scene: Scene): Suspect {
  const { clues } = scene;
  const [, family, , link = '', name = ''] = path.split('/');
  const dotted = path.replaceAll('.', '/').replaceAll('/', '.');
  const lost = withLink(link, all);
  if (lost !== undefined) return lost;
  const did = `${dotted} is ${change.action === 'change' && change.before.kind === 'sysctl' ? change.before.value : 'not as we set it'}`;
  const now = change.action === 'change' && change.before.kind === 'sysctl' ? change.before.value : '';
  const cause = causeOf(path, now, clues.settings);
  if (cause !== undefined) {
    const isUfw = cause.startsWith('/etc/ufw/');
    const when = changedSince(scene, isUfw ? 'ufw' : 'systemd-sysctl');
    return {
      did,
      who: isUfw ? 'ufw' : 'sysctl --system (systemd-sysctl)',
      evidence: [cause, ...(when === undefined ? [] : [when])],
    };
  }
  const writers: Readonly<Record<string, readonly string[]>> = {
    nf_conntrack_max: ['kube-proxy', 'k3s-server', 'k3s-agent'],
    accept_ra: ['systemd-network', 'NetworkManager', 'dhcpcd'],
    forwarding: family === 'ipv6' ? ['systemd-network', 'NetworkManager'] : ['systemd-network'],
    rp_filter: ['calico-node', 'cilium-agent'],
  };
  const by = running(scene, writers[path.endsWith('nf_conntrack_max') ? 'nf_conntrack_max' : name] ?? []);
  const found = named({ did, who: null, evidence: [] }, ['sysctl '], scene);
  if (found.who !== null || by === undefined) return found;
  return { did, who: by.who, evidence: [...by.evidence, `${by.who} sets it`] };
}

// ---- the firewalls of others

function inFirewall(place: AcceptPlace, scene: Scene): Suspect {
  const { facts } = scene;
  const chainsOf = (family: string, name: string): readonly string[] =>
    facts.state.tables
      .filter((table) => table.family === family && table.name === name)
      .flatMap(({ chains }) => chains.map(({ name: chain }) => chain));
  const table = place.kind === 'nft' ? `${place.family} ${place.table}` : '';
  const did = `what lets our packets through in ${placeWords(place)} is not there as we put it`;
  if (place.kind === 'ufw') return owned(did, 'ufw', 'its own rules are there: ufw-user-*', scene);
  if (place.kind === 'firewalld') return owned(did, 'firewalld', 'its own table is there: inet firewalld', scene);
  const chains =
    place.kind === 'iptables'
      ? chainsOf(place.family === 6 ? 'ip6' : 'ip', place.table)
      : chainsOf(place.family, place.table);
  const owner = OWNERS.find(({ chain }) => chains.some((each) => chain.test(each)));
  if (owner !== undefined) {
    const example = chains.find((each) => owner.chain.test(each)) ?? '';
    return owned(did, owner.who, `its chain ${example} is in that table`, scene);
  }
  return named(
    { did, who: null, evidence: [] },
    place.kind === 'iptables' ? ['ip6?tables', 'netfilter-persistent', 'ufw'] : [`nft .*${table}`, 'nft '],
    scene,
  );
}

/** By the chains that each makes for itself. */
const OWNERS: readonly { readonly who: string; readonly chain: RegExp }[] = [
  { who: 'ufw', chain: /^ufw6?-/ },
  { who: 'Docker', chain: /^DOCKER(-|$)/ },
  { who: 'kube-proxy', chain: /^KUBE-/ },
  { who: 'Calico', chain: /^cali-/ },
  { who: 'Cilium', chain: /^(OLD_)?CILIUM_/ },
  { who: 'Tailscale', chain: /^ts-/ },
];

function owned(did: string, who: string, evidence: string, scene: Scene): Suspect {
  const when = changedSince(scene, UNIT_OF[who] ?? '');
  return { did, who, evidence: [evidence, ...(when === undefined ? [] : [when])] };
}

const UNIT_OF: Readonly<Record<string, string>> = { ufw: 'ufw', Docker: 'docker', firewalld: 'firewalld' };

function placeWords(place: AcceptPlace): string {
  switch (place.kind) {
    case 'ufw':
      return 'ufw';
    case 'firewalld':
      return 'firewalld';
    case 'iptables':
      return `${place.family === 6 ? 'ip6tables' : 'iptables'} -t ${place.table} ${place.chain}`;
    case 'nft':
      return `${place.family} ${place.table} ${place.chain}`;
  }
}

// ---- evidence

/** The first of these programs that runs on the host. */
function running(
  { clues }: Scene,
  names: readonly string[],
): { readonly who: string; readonly evidence: readonly string[] } | undefined {
  const program = clues.programs.find(({ name }) => names.includes(name));
  if (program === undefined) return undefined;
  const who = program.name === 'systemd-network' ? 'systemd-networkd' : program.name;
  return { who, evidence: [`${who} runs here (process ${program.pid}, since ${iso(program.since)})`] };
}

/** A unit that started, was loaded anew or ended after our last apply. */
function changedSince({ clues: { units, appliedAt } }: Scene, unit: string): string | undefined {
  const at = units.get(unit);
  return at === undefined || appliedAt === undefined || at < appliedAt
    ? undefined
    : `${unit}.service was started, loaded anew or stopped at ${iso(at)}, after our last apply at ${iso(appliedAt)}`;
}

/** Whom the journal names with such a command since our last apply. */
function named(suspect: Suspect, patterns: readonly string[], { clues: { sudo, appliedAt } }: Scene): Suspect {
  const words = patterns.map((each) => new RegExp(each));
  const found = sudo.findLast(
    ({ command, seconds }) => seconds >= (appliedAt ?? 0) && words.some((each) => each.test(command)),
  );
  return found === undefined ? suspect : { ...suspect, who: `${found.who}, by sudo`, evidence: [journalLine(found)] };
}

const journalLine = ({ seconds, who, command }: SudoCommand): string =>
  `the journal: ${iso(seconds)} sudo: ${who} ran ${command}`;

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
