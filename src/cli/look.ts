/** One look at all hosts of a set: how they stand, and where something is amiss, what more can be told of it. */
import { type CompiledHost, compile, compileRemoval } from '../compile/index.ts';
import { printAddress } from '../net/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { tunnelsStopped } from '../verify/index.ts';
import { deafEnds } from './arrivals.ts';
import { findDrift } from './drift/report.ts';
import { InputProblems } from './exit.ts';
import { reportStatus, type StatusReport } from './status-report.ts';
import type { Survey } from './survey.ts';
import { sallyportVersion } from './version.ts';

/** How the surveyed hosts stand. Who changed a setting, and who stops a tunnel, is asked only where there is such a thing. */
export async function lookAt(
  set: ResourceSet,
  setName: string,
  survey: Survey,
  signal: AbortSignal,
): Promise<StatusReport> {
  const { managed, facts, unreachable } = survey;
  const wanted = wantedOf(set, setName, survey);
  const [silent, deaf] = await Promise.all([silentPeers(survey, setName, signal), deafEnds(survey, setName, signal)]);
  const seen = { set, facts, unreachable, wanted, setName, silent, deaf, now: Date.now() / 1000 };
  const report = reportStatus(seen);
  const differ = new Set(report.hosts.flatMap(({ host, drift }) => (drift.length > 0 ? [host] : [])));
  const isSilent = report.resources.some((resource) => resource.lookAt !== undefined);
  if (differ.size === 0 && !isSilent) return report;
  const changed = await findDrift(
    managed.filter(({ name }) => differ.has(name)),
    facts,
    signal,
  );
  return reportStatus({
    ...seen,
    changed,
    ...(isSilent && { stopped: tunnelsStopped({ set, compiled: { hosts: wanted, probes: [], problems: [] }, facts }) }),
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
