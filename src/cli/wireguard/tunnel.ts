/** Brings a pod's tunnel up, to what its file says now, and takes it down. Done again it does nothing, whatever a killed run left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { compilePodTunnel, type PodTunnel, podTableName } from '../../compile/index.ts';
import { printTable } from '../../nftables/index.ts';
import {
  addAddressArguments,
  addRouteArguments,
  addRuleArguments,
  type Link,
  MAIN_TABLE,
  printBatches,
  removeAddressArguments,
  removeRouteArguments,
  removeRuleArguments,
} from '../../routing/index.ts';
import type { Transport } from '../../transport/index.ts';
import { printWgConfiguration, type QuickFile, type QuickPeer } from '../../wireguard/index.ts';
import { CommandFailure } from '../exit.ts';
import { keysOf } from './conf.ts';
import { ALIAS, checksStrictly, lookAtPod, ownOf, type PodLook } from './look.ts';
import { resolvePeers } from './names.ts';
import { aliasWithSettings, ensure, noteRedirects, putSettingsBack, recall } from './settings.ts';

export interface PodOptions {
  readonly path: string;
  readonly link: string;
  readonly masquerade: boolean;
}

export interface PodContext {
  readonly transport: Transport;
  readonly say: (level: 'info' | 'warn', message: string) => void;
  readonly signal: AbortSignal;
}

/** What stands after it. */
export interface StandingPod {
  readonly plan: PodTunnel;
  /** The table as nft lists it, to know again. */
  readonly listing: string;
  /** Commands that changed something. */
  readonly changes: readonly string[];
  /** As the file has them, where there is one. */
  readonly peers?: readonly QuickPeer[];
}

/** The program that makes the link where the kernel has no WireGuard: our child, which ends with the link. */
let wireguardGo: ChildProcess | undefined;

/**
 * Makes all as the file says it: link, keys and peers (those that stay keep their sessions), addresses, routes, rules and the table. `before`
 * is what stood after the last time, whose table is not written again while it is listed so. Throws a CommandFailure with what is missing.
 */
export async function raisePod(
  file: QuickFile,
  { path, link, masquerade }: PodOptions,
  { transport, say, signal }: PodContext,
  before?: StandingPod,
): Promise<StandingPod> {
  const changes: string[] = [];
  const run = async (argv: readonly string[], stdin?: string): Promise<string> => {
    const { status, stdout, stderr } = await transport.run({ argv, ...(stdin !== undefined && { stdin }) }, signal);
    if (status !== 0) throw new CommandFailure(`${argv.join(' ')}: ${explain(stderr, status)}`);
    return stdout;
  };
  const keys = keysOf(file, path);
  let look = await lookAtPod(transport, link, signal);
  refuseForeign(look, link);
  recall(look.link?.alias);
  if (look.link === undefined) {
    await makeLink(transport, link, signal);
    changes.push(`link ${link} made`);
    look = await lookAtPod(transport, link, signal);
    if (look.link?.kind === 'wireguard' && wireguardLinks(look, link).length === 0) noteRedirects();
  }
  const byAddress = believesByMark(link, changes, say) === false;
  const plan = compilePodTunnel(file, look.facts, { link, masquerade, byAddress });
  if (masquerade) forward(plan, changes, say);
  const mtu = file.interface.mtu ?? mtuFor(look, link);
  await run(['ip', '-batch', '-'], `link set dev ${link} mtu ${mtu} alias "${aliasWithSettings()}"\n`);
  const listenPort = file.interface.listenPort ?? look.device?.listenPort;
  await run(
    [...SYNC, link],
    printWgConfiguration({
      ...keys,
      ...(listenPort !== undefined && { listenPort }),
      firewallMark: plan.mark,
      peers: await resolvePeers(file.peers, {
        ...{ device: look.device, before: before?.peers, nowSeconds: Math.floor(Date.now() / 1_000) },
        ...{ changes, warn: (message: string) => say('warn', message) },
      }),
    }),
  );
  const listing = await layPlan(plan, look, link, { run, changes, before });
  return { plan, listing, changes, peers: file.peers };
}

/** Those of the kernel beside ours. */
const wireguardLinks = ({ links }: PodLook, own: string): readonly Link[] =>
  links.filter(({ name, kind }) => name !== own && kind === 'wireguard');

interface Laying {
  readonly run: (argv: readonly string[], stdin?: string) => Promise<string>;
  readonly changes: string[];
  readonly before: StandingPod | undefined;
}

/** All but the link and its keys; gives the table as nft lists it. */
export async function layPlan(
  plan: PodTunnel,
  look: PodLook,
  link: string,
  { run, changes, before }: Laying,
): Promise<string> {
  const listing = await writeTable(plan, link, before, run, changes);
  const wanted = new Set(plan.addresses.map((each) => addAddressArguments(each).join(' ')));
  const standing = look.facts.addresses.filter((each) => each.link === link && each.scope === 'global');
  const has = new Set(standing.map((each) => addAddressArguments(each).join(' ')));
  const own = [plan.mark, look.facts.mark ?? plan.mark].map((mark) => ownOf(look, link, mark));
  const [routes, rules] = [new Set(own.flatMap((each) => each.routes)), new Set(own.flatMap((each) => each.rules))];
  const goes = [
    ...difference([...rules], plan.rules, removeRuleArguments).map(removeRuleArguments),
    ...difference([...routes], plan.routes, removeRouteArguments).map(removeRouteArguments),
    ...(plan.ownsLink
      ? standing.filter((each) => !wanted.has(addAddressArguments(each).join(' '))).map(removeAddressArguments)
      : []),
  ];
  const comes = [
    ...plan.addresses.filter((each) => !has.has(addAddressArguments(each).join(' '))).map(addAddressArguments),
    ...(look.link?.up === true || !plan.ownsLink ? [] : [['link', 'set', 'dev', link, 'up']]),
    ...difference(plan.routes, [...routes], addRouteArguments).map(addRouteArguments),
    ...difference(plan.rules, [...rules], addRuleArguments).map(addRuleArguments),
  ];
  for (const { argv, stdin } of printBatches([...goes, ...comes])) await run(argv, stdin);
  changes.push(...[...goes, ...comes].map((each) => each.join(' ')));
  return listing;
}

/** LINK, a configuration on stdin: wg opens its standard input anew, which can be done with a pipe and not with the socket that it is for us. */
const SYNC = ['sh', '-c', 'cat | wg syncconf "$1" /dev/stdin', 'sh'];

/** Those of the one list that the other has not, by their words. */
function difference<T>(these: readonly T[], others: readonly T[], words: (each: T) => readonly string[]): readonly T[] {
  const known = new Set(others.map((each) => words(each).join(' ')));
  return these.filter((each) => !known.has(words(each).join(' ')));
}

async function writeTable(
  { table }: PodTunnel,
  link: string,
  before: StandingPod | undefined,
  run: (argv: readonly string[], stdin?: string) => Promise<string>,
  changes: string[],
): Promise<string> {
  const name = podTableName(link);
  // Where there is none, what a killed run left goes.
  const list = async (): Promise<string> => {
    const all = await run(['nft', '-s', '-t', 'list', 'ruleset']);
    return new RegExp(`^table inet ${name.replaceAll('.', '\\.')} \\{\n[^]*?^\\}\n`, 'm').exec(all)?.[0] ?? '';
  };
  const stands = await list();
  if (table === undefined ? stands === '' : before !== undefined && stands === before.listing) return stands;
  const head = `table inet ${name}\ndelete table inet ${name}\n`;
  await run(['nft', '-f', '-'], table === undefined ? head : `${head}${printTable(table)}`);
  changes.push(`table inet ${name}`);
  return await list();
}

/** Takes back all that raisePod made, and nothing else. What is gone already is no error. */
export async function lowerPod(link: string, { transport, say }: Pick<PodContext, 'transport' | 'say'>): Promise<void> {
  const look = await lookAtPod(transport, link);
  const isOurs = look.link?.alias?.startsWith(ALIAS) === true;
  const quiet = async (argv: readonly string[], stdin?: string): Promise<void> => {
    const { status, stderr } = await transport.run({ argv, ...(stdin !== undefined && { stdin }) });
    if (status !== 0) say('warn', `${argv.join(' ')}: ${stderr.trim()}`);
  };
  const { routes, rules } = ownOf(look, link, look.device?.firewallMark ?? 0);
  const goes = [
    ...rules.map(removeRuleArguments),
    ...routes.map(removeRouteArguments),
    ...(isOurs ? [['link', 'delete', 'dev', link]] : []),
  ];
  for (const { argv, stdin } of printBatches(goes)) await quiet(argv, stdin);
  const name = podTableName(link);
  await quiet(['nft', '-f', '-'], `table inet ${name}\ndelete table inet ${name}\n`);
  putSettingsBack(isOurs ? look.link?.alias : undefined, wireguardLinks(look, link).length > 0);
  await new Promise<void>((resolve) => {
    if (wireguardGo === undefined || wireguardGo.exitCode !== null) return resolve();
    wireguardGo.once('exit', () => resolve());
    wireguardGo.kill('SIGTERM');
  });
}

/** Whether who asks by another link is believed: the kernel asks for the way back with the mark, or is content with any. */
export function believesByMark(link: string, changes: string[], say: PodContext['say']): boolean {
  if (ensure('net/ipv4/conf/all/src_valid_mark', '1', changes) || !checksStrictly(link)) return true;
  if (!hasSaid) {
    hasSaid = true;
    say(
      'warn',
      'rp_filter is strict and /proc/sys is read-only: answers are told apart by their source address, so what binds to it does not take the tunnel (securityContext.sysctls: net.ipv4.conf.all.src_valid_mark=1 mends that)',
    );
  }
  return false;
}
let hasSaid = false;

function forward(plan: PodTunnel, changes: string[], say: PodContext['say']): void {
  const families = new Set(plan.addresses.map(({ address }) => address.address.family));
  const settings = [
    ...(families.has(4) ? ['net/ipv4/ip_forward'] : []),
    ...(families.has(6) ? ['net/ipv6/conf/all/forwarding'] : []),
  ];
  for (const path of settings)
    if (!ensure(path, '1', changes))
      say(
        'warn',
        `${path} is not 1 and may not be written: what peers send on goes nowhere (set it in securityContext.sysctls)`,
      );
}

/** The link is another's: nothing was done, and nothing is to be taken back. */
export class ForeignLink extends CommandFailure {}

function refuseForeign({ link }: PodLook, name: string): void {
  if (link === undefined || link.alias?.startsWith(ALIAS) === true) return;
  throw new ForeignLink(
    `${name} is there already, and was not made by sallyport wireguard run: ip link delete ${name} first, or keep it: sallyport wireguard mend ${name}`,
  );
}

/** The widest packets that fit the default lines, less what WireGuard adds over IPv6 (80 bytes), as wg-quick has it. */
function mtuFor({ facts, links }: PodLook, own: string): number {
  const lines = facts.routes.filter(
    ({ table, destination, link }) => table === MAIN_TABLE && destination.length === 0 && link !== own,
  );
  const mtus = lines.flatMap(({ link, mtu }) => [mtu ?? links.find(({ name }) => name === link)?.mtu ?? 1500]);
  return Math.max(1280, Math.min(1500, ...mtus) - 80);
}

/** By the kernel, else by wireguard-go. */
async function makeLink(transport: Transport, link: string, signal: AbortSignal): Promise<void> {
  const kernel = await transport.run({ argv: ['ip', 'link', 'add', 'dev', link, 'type', 'wireguard'] }, signal);
  if (kernel.status === 0) return;
  if (!/Unknown device type|not supported/i.test(kernel.stderr))
    throw new CommandFailure(`ip link add ${link}: ${explain(kernel.stderr, kernel.status)}`);
  const program = spawn('wireguard-go', ['-f', link], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LOG_LEVEL: 'error' },
  });
  let said = '';
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-2_000);
  });
  const failed = new Promise<string>((resolve) => {
    program.once('error', ({ message }) =>
      resolve(
        /ENOENT/.test(message)
          ? 'this kernel has no WireGuard, and there is no wireguard-go (package wireguard-go, or boringtun-cli is not enough)'
          : message,
      ),
    );
    program.once('exit', (status) => resolve(`wireguard-go ended with ${status}: ${goReason(said)}`));
  });
  wireguardGo = program;
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; ) {
    const { status } = await transport.run({ argv: ['wg', 'show', link, 'listen-port'] }, signal);
    if (status === 0) return;
    const why = await Promise.race([failed, new Promise<undefined>((wait) => setTimeout(() => wait(undefined), 20))]);
    if (why !== undefined) throw new CommandFailure(why);
  }
  throw new CommandFailure(`wireguard-go does not make ${link}: ${goReason(said)}`);
}

const goReason = (text: string): string =>
  /\/dev\/net\/tun/.test(text)
    ? '/dev/net/tun is not there (a device plugin, or mknod in an init container)'
    : text.trim().split('\n').at(-1) || 'it said nothing';

/** Without that capability nothing of this can be done (capabilities(7)). */
const CAP_NET_ADMIN = 12n;

/** Throws a CommandFailure where this process may not change networks. */
export function needNetAdmin(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (effective === undefined || (BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) return;
  throw new CommandFailure(
    'CAP_NET_ADMIN is missing: in the pod securityContext.capabilities.add: [NET_ADMIN], with docker --cap-add NET_ADMIN',
  );
}

function explain(stderr: string, status: number): string {
  const text = stderr.trim();
  if (status === 127) return 'there is no such program here';
  return /Operation not permitted/.test(text) ? `${text} (is CAP_NET_ADMIN missing?)` : text || `status ${status}`;
}
