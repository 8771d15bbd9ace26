import { setTimeout as sleep } from 'node:timers/promises';
import { type CompiledHost, compile, compileRemoval } from '../../compile/index.ts';
import { printAddress } from '../../net/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { DONE, FAILED, InputProblems } from '../exit.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { allWell, reportStatus, type StatusReport } from '../status-report.ts';
import { printStatus } from '../status-text.ts';
import { type Survey, surveyHosts } from '../survey.ts';
import { sallyportVersion } from '../version.ts';

export interface StatusFlags {
  readonly file: readonly string[];
  readonly set: string;
  readonly watch?: boolean;
  /** Milliseconds. */
  readonly wait: number;
}

/** Between two looks, in milliseconds. */
const WATCH_EVERY = 2_000;
const WAIT_EVERY = 200;

/** Tells whether hosts are in sync and resources ready; --watch does so until Ctrl-C or until stdout is closed. */
export async function status(output: Output, flags: StatusFlags): Promise<number> {
  const set = await loadSet(flags.file);
  using interrupt = listenForInterrupt(false);
  const deadline = Date.now() + flags.wait;
  let report = await look(output, set, flags.set, interrupt.signal);
  while (!allWell(report) && Date.now() < deadline) {
    output.progress(`waiting: ${report.resources.find(({ ready }) => !ready)?.reason ?? ''}`);
    await sleep(WAIT_EVERY, undefined, { signal: interrupt.signal });
    report = await look(output, set, flags.set, interrupt.signal);
  }
  await output.result(report, () => printStatus(report, output.color));
  while (flags.watch === true && !output.closed()) {
    await sleep(WATCH_EVERY, undefined, { signal: interrupt.signal });
    report = await look(output, set, flags.set, interrupt.signal);
    await output.result(report, () => `\n${new Date().toISOString()}\n${printStatus(report, output.color)}`);
  }
  return allWell(report) ? DONE : FAILED;
}

async function look(output: Output, set: ResourceSet, setName: string, signal: AbortSignal): Promise<StatusReport> {
  const survey = await surveyHosts(set, signal, output);
  const silent = await silentPeers(survey, setName, signal);
  const { facts, unreachable } = survey;
  return reportStatus({
    set,
    facts,
    unreachable,
    wanted: wantedOf(set, setName, survey),
    setName,
    silent,
    now: Date.now() / 1000,
  });
}

/** What the documents ask; where a host did not answer they cannot be compiled whole, and each host is held against its record. */
function wantedOf(
  set: ResourceSet,
  setName: string,
  { facts, unreachable }: Survey,
): ReadonlyMap<string, CompiledHost> {
  const version = sallyportVersion();
  if (unreachable.size === 0) {
    const { hosts, problems } = compile(set, facts, { setName, version });
    if (problems.length > 0) throw new InputProblems(problems);
    return hosts;
  }
  // No set is named so (set names are not empty): taking it away leaves what the record says.
  return new Map([...facts].map(([name, known]) => [name, compileRemoval(name, known, '', version)]));
}

/** Peers of VXLAN and Direct tunnels that the neighbour table calls FAILED, as `host address`. */
async function silentPeers(
  { managed, facts, unreachable }: Survey,
  setName: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const found = managed.map(async ({ name, transport }) => {
    const tunnels = facts.get(name)?.record?.sets.get(setName)?.tunnels ?? [];
    const peers = tunnels
      .filter(({ type }) => type !== 'WireGuard')
      .flatMap(({ peer }) => peer.addresses.map(printAddress));
    if (unreachable.has(name) || peers.length === 0) return [];
    const { stdout, status } = await transport.run({ argv: ['ip', '-j', 'neigh', 'show', 'nud', 'failed'] }, signal);
    const failed = status === 0 ? failedNeighbours(stdout) : new Set<string>();
    return peers.filter((address) => failed.has(address)).map((address) => `${name} ${address}`);
  });
  return new Set((await Promise.all(found)).flat());
}

/** The addresses in `ip -j neigh`. */
function failedNeighbours(json: string): ReadonlySet<string> {
  const listed: unknown = json.trim() === '' ? [] : JSON.parse(json);
  if (!Array.isArray(listed)) return new Set();
  return new Set(
    listed.flatMap((entry: unknown) => {
      const address = typeof entry === 'object' && entry !== null && 'dst' in entry ? entry.dst : undefined;
      return typeof address === 'string' ? [address] : [];
    }),
  );
}
