import { pendingCommand, readPending } from '../../apply/index.ts';
import {
  dormantUfw,
  firewalldAccept,
  type HostFacts,
  type HostState,
  readAccepts,
  tagOwned,
} from '../../host/index.ts';
import { CHAINS_COMMAND } from '../../nftables/index.ts';
import {
  ADDRESSES_COMMAND,
  isOuterKind,
  LINKS_COMMAND,
  type Link,
  learntCommand,
  NEXTHOPS_COMMAND,
  readAddresses,
  readLearnt,
  readLinks,
  readNexthops,
  readRoutes,
  readRules,
  readSysctls,
  routesCommand,
  rulesCommand,
  sysctlCommand,
} from '../../routing/index.ts';
import { script, type Transport, TransportError } from '../../transport/index.ts';
import { readDump, type WireGuardDevice } from '../../wireguard/index.ts';
import { ask, failure, need } from './ask.ts';
import { daemonsCommand, readDaemons } from './daemons.ts';
import { CONNTRACK_COMMAND, flowsProblem } from './flows.ts';
import { listCommand } from './generation.ts';
import { IPTABLES_COMMANDS, LEGACY_TABLES, withIptables } from './iptables.ts';
import { keyFolder, readKeys, readKeyTimes, readPresharedKeys, withPresharedKeys } from './keys.ts';
import { namesCommand, readNames } from './names.ts';
import { OWNERS_COMMAND, readOwners } from './owners.ts';
import type { Readings } from './readings.ts';
import { readRestore, restoreCommand } from './restore.ts';
import { DUMP_WIREGUARD, PROBE_INSIDE, PROBE_LINKS, READ_IF_THERE, READ_KEYS } from './scripts.ts';
import { OBSERVED_SYSCTLS } from './sysctls.ts';
import { readTables, TABLES_COMMAND } from './tables.ts';
import { readVersions, VERSION_COMMANDS } from './versions.ts';

/** What links the host can make. */
export type LinkSupport = Pick<HostFacts, 'wireguard' | 'vxlan' | 'flowtables' | 'absentKinds'>;

const ROUTES = { 4: routesCommand(4), 6: routesCommand(6) } as const;
const LEARNT = { 4: learntCommand(4), 6: learntCommand(6) } as const;
const RULES = { 4: rulesCommand(4), 6: rulesCommand(6) } as const;
const DEVICES = script(DUMP_WIREGUARD);
const SYSCTLS = sysctlCommand(OBSERVED_SYSCTLS);
/** What links the host can make. */
export const PROBE = script(PROBE_LINKS, PROBE_INSIDE);
const MEMORY = script(READ_IF_THERE, '/proc/meminfo');

/**
 * Looks at a Linux host in one round trip, after the one for its state folder; in one more where iptables wrote rules there. What links it can make is asked where `support` is
 * not known yet; `readings` remember the last look. Throws a TransportError, also for what is older than we work with.
 */
export async function observe(
  transport: Transport,
  support: LinkSupport | undefined,
  readings: Readings,
  signal: AbortSignal,
): Promise<HostFacts> {
  const { host } = transport;
  const stateFolder = await transport.stateFolder(signal);
  const clockAheadSeconds = await transport.clockAhead?.();
  const { record, restore, pending, named, keys, daemons, ruleset, all } = looksAt(
    stateFolder,
    transport.namespace,
    readings.standing()?.generation,
  );
  const answers = await ask(transport, [...all, ...(support === undefined ? [PROBE] : [])], signal);
  const stdout = (argv: readonly string[]): string => need(answers, argv).stdout;
  const versions = readVersions(answers);
  const listed = await readTables(transport, answers(ruleset), answers(LINKS_COMMAND).stdout, readings, signal);
  const legacy = { 4: answers(LEGACY_TABLES[4]).stdout, 6: answers(LEGACY_TABLES[6]).stdout };
  const { tables: read, notes: unread } = await withIptables(transport, listed, legacy, signal);
  const owners = readOwners(answers(OWNERS_COMMAND).stdout, read, transport.namespace);
  const tables = tagOwned(read, owners);
  return reading(host, () => {
    // Its status tells of what is missing: that is not there. Something always is, unless grep is one that cannot be asked so.
    if (answers(SYSCTLS).stdout === '') throw failure(host, SYSCTLS, answers(SYSCTLS));
    const sysctls = readSysctls(answers(SYSCTLS).stdout);
    // A kernel without IPv6 refuses to list its routes and rules, and has none.
    const families = [...sysctls.keys()].some((path) => path.startsWith('net/ipv6/'))
      ? ([4, 6] as const)
      : ([4] as const);
    const { names, unknown } = readNames(stdout(named));
    const notes = [...unread, ...unknown];
    const found =
      daemons === undefined ? { daemons: [], files: new Map(), init: undefined } : readDaemons(answers(daemons).stdout);
    // A kernel or an ip without them has none.
    const nexthops = readNexthops(answers(NEXTHOPS_COMMAND).status === 0 ? answers(NEXTHOPS_COMMAND).stdout : '');
    const devices = withPresharedKeys(readDump(answers(DEVICES).stdout), answers(keys).stdout);
    const presharedKeys = readPresharedKeys(answers(keys).stdout);
    const state: HostState = {
      links: readLinks(stdout(LINKS_COMMAND)).map((link) => nameWireGuard(link, devices)),
      addresses: readAddresses(stdout(ADDRESSES_COMMAND)),
      routes: families.flatMap((family) => readRoutes(stdout(ROUTES[family]), family, nexthops)),
      rules: families.flatMap((family) => readRules(stdout(RULES[family]), family)),
      sysctls,
      devices,
      tables,
      accepts: [...readAccepts(tables), ...firewalldAccept(tables, owners), ...dormantUfw(tables, owners)],
      files: found.files,
    };
    const armedFor = readPending(answers(pending).stdout);
    const learntMtus = new Map(families.flatMap((family) => [...readLearnt(stdout(LEARNT[family]), family)]));
    return {
      source: 'observed',
      state,
      keys: readKeys(answers(keys).stdout),
      keysMade: readKeyTimes(answers(keys).stdout),
      ...(presharedKeys.length > 0 && { presharedKeys }),
      versions,
      stateFolder,
      daemons: found.daemons,
      ...(found.init !== undefined && { init: found.init }),
      ...readRestore(answers(restore).stdout),
      ...readMemory(answers(MEMORY).stdout),
      ...(learntMtus.size > 0 && { learntMtus }),
      ...(armedFor !== undefined && { pending: armedFor }),
      ...(names !== undefined && { names }),
      ...(clockAheadSeconds !== undefined && { clockAheadSeconds }),
      ...(notes.length > 0 && { notes }),
      ...flowsProblem(answers(CONNTRACK_COMMAND)),
      ...(transport.namespace !== undefined && { namespace: transport.namespace }),
      ...(support ?? readSupport(stdout(PROBE))),
      ...readings.record(stdout(record)),
    };
  });
}

/** What one look at a host asks at once; `all` holds the others too. */
function looksAt(stateFolder: string, namespace: string | undefined, generation?: string) {
  const record = script(READ_IF_THERE, `${stateFolder}/record.json`);
  const restore = restoreCommand(stateFolder);
  const pending = pendingCommand(stateFolder);
  const named = namesCommand(stateFolder);
  const keys = script(READ_KEYS, keyFolder(stateFolder));
  const daemons = daemonsCommand(stateFolder);
  const ruleset = listCommand(namespace, generation);
  const all: readonly (readonly string[])[] = [
    ...Object.values(VERSION_COMMANDS),
    ruleset,
    LINKS_COMMAND,
    ADDRESSES_COMMAND,
    ROUTES[4],
    ROUTES[6],
    NEXTHOPS_COMMAND,
    RULES[4],
    RULES[6],
    LEARNT[4],
    LEARNT[6],
    DEVICES,
    SYSCTLS,
    CONNTRACK_COMMAND,
    LEGACY_TABLES[4],
    LEGACY_TABLES[6],
    MEMORY,
    named,
    OWNERS_COMMAND,
    record,
    restore,
    pending,
    keys,
    ...(daemons === undefined ? [] : [daemons]),
  ];
  return { record, restore, pending, named, keys, daemons, ruleset, all };
}

/**
 * What `observe` may ask of a host whose kernel support nobody needs, for those who carry the answers away: the look itself, and what it may
 * ask for besides; tables one by one are left to COLLECT_TABLES.
 */
export const observedCommands = (stateFolder: string): readonly (readonly string[])[] => [
  ...looksAt(stateFolder, undefined).all,
  TABLES_COMMAND,
  CHAINS_COMMAND,
  ...IPTABLES_COMMANDS,
];

/** `MemAvailable:   12345 kB`. */
function readMemory(text: string): Pick<HostFacts, 'memoryAvailableBytes'> {
  const kib = /^MemAvailable:\s*(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? {} : { memoryAvailableBytes: Number(kib) * 1024 };
}

/** Asks what links the host can make, and nothing else. */
export async function probeLinks(transport: Transport, signal?: AbortSignal): Promise<LinkSupport> {
  return readSupport(need(await ask(transport, [PROBE], signal), PROBE).stdout);
}

function readSupport(text: string): LinkSupport {
  const [wireguard, vxlan, flowtables, absent] = text.trim().split('\n');
  return {
    wireguard: wireguard === 'kernel' || wireguard === 'userspace' || wireguard === 'absent' ? wireguard : 'unknown',
    vxlan: vxlan === 'kernel' || vxlan === 'absent' ? vxlan : 'unknown',
    flowtables:
      flowtables === 'kernel' || flowtables === 'forgetful' || flowtables === 'absent' ? flowtables : 'unknown',
    ...(absent?.startsWith('absent:') === true && { absentKinds: absent.split(' ').filter(isOuterKind) }),
  };
}

/** A link of wireguard-go is a tun to the kernel; that `wg` knows it makes it a WireGuard link. */
const nameWireGuard = (link: Link, devices: readonly WireGuardDevice[]): Link =>
  link.kind === 'tun' && devices.some((device) => device.link === link.name) ? { ...link, kind: 'wireguard' } : link;

/** Runs `read`; an output that is not what its command prints becomes a TransportError. */
function reading<T>(host: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TransportError || !(error instanceof Error)) throw error;
    throw new TransportError(host, [], error.message, { cause: error });
  }
}
