import type { HostFacts } from '../../host/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { amongStanding, type Network, reportTrace, simulate, simulateAll, startDraws } from '../../simulate/index.ts';
import { futureNetwork, liveNetwork, type Sightings } from '../../verify/index.ts';
import { aimOfSet } from '../aims.ts';
import { type Bundled, openBundles } from '../bundles.ts';
import type { DrawingFormat } from '../drawing/index.ts';
import { DONE, FAILED, InputProblems, UsageError } from '../exit.ts';
import { manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Format, Output } from '../output.ts';
import { sightAll, sightingsOf } from '../sightings.ts';
import { type HostEntries, knownEntries, listEntries } from '../standing.ts';
import { surveyManaged } from '../survey.ts';
import { placeQuestion, type QuestionFlags, readQuestion } from '../trace-question.ts';
import { printTraces } from '../trace-text.ts';

export interface TraceFlags extends QuestionFlags {
  readonly file?: readonly string[];
  readonly bundle?: readonly string[];
  readonly set: string;
  readonly live?: boolean;
  readonly output?: Format | DrawingFormat;
}

/** Tells the way of a packet and of its answer, hop by hop; 0 where every way of it works. */
export async function trace(output: Output, flags: TraceFlags): Promise<number> {
  const { set, managed } = await openHosts(flags);
  // Of hosts without documents there is nothing but what stands.
  const live = flags.live === true || flags.file === undefined;
  const question = readQuestion(flags, [...set.hosts.keys()]);
  using interrupt = listenForInterrupt(false);
  const [survey, seen, entries] = await Promise.all([
    surveyManaged(set, managed, interrupt.signal, output),
    sightAll(managed, interrupt.signal),
    // What an apply ends of them, and what goes on, is the plan's to say.
    live ? listEntries(managed, interrupt.signal) : new Map<string, HostEntries>(),
  ]);
  const known = sightingsOf(seen, survey.facts);
  for (const [host, reason] of survey.unreachable)
    output.say(`${host}: ${reason}${live ? '' : ' (taken as declared)'}`);
  const network = live
    ? liveNetwork(set, survey.facts, survey.unreachable, { ...known, entries: knownEntries(entries) })
    : declaredOf(set, flags.set, survey.facts, known);
  const { flow, standing } = amongStanding(network, placeQuestion(network, question));
  if (standing !== undefined) output.say(`${standing.host} tracks this connection: a packet of it is traced`);
  for (const line of notListed(network, entries, survey.unreachable)) output.say(line);
  const { traces: all, complete } = simulateAll(network, flow);
  const told = all.map(({ ways }) => simulate(network, flow, { hops: true, draws: startDraws(ways) }));
  const traces = told.map(reportTrace);
  if (!complete) output.say('chance has more ways than are traced: these are the first');
  if (flags.output === 'svg' || flags.output === 'html') {
    const { drawTraces } = await import('../drawing/index.ts');
    await output.write(drawTraces(flags.output, { network, flow, traces: told }));
  } else
    await output.result({ traces }, () =>
      printTraces(traces, {
        flow,
        color: output.color,
        ...(process.stdout.isTTY && { width: process.stdout.columns }),
      }),
    );
  return complete && traces.every(({ works }) => works === true) ? DONE : FAILED;
}

/** Of hosts that track connections, whose are not known. */
function notListed(
  { hosts }: Network,
  entries: ReadonlyMap<string, HostEntries>,
  unreachable: ReadonlyMap<string, string>,
): readonly string[] {
  return [...entries].flatMap(([name, listed]) => {
    const tracks = hosts.get(name)?.tracks;
    if (typeof listed !== 'string' || unreachable.has(name) || tracks === undefined) return [];
    return tracks[4] || tracks[6]
      ? [`${name}: which connections it tracks is not known, and none are taken to stand: ${listed}`]
      : [];
  });
}

async function openHosts({ file, bundle }: TraceFlags): Promise<Bundled> {
  if (bundle !== undefined) return await openBundles(bundle, file);
  if (file === undefined) throw new UsageError('of which hosts? Give -f PATH, or --bundle FILE');
  const set = await loadSet(file);
  return { set, managed: manageAll(set) };
}

/** What the documents would make of the hosts, as `plan` proves it. */
function declaredOf(
  set: ResourceSet,
  setName: string,
  facts: ReadonlyMap<string, HostFacts>,
  seen: Sightings,
): Network {
  const compiled = aimOfSet(set, setName)(facts);
  if (compiled.problems.length > 0) throw new InputProblems(compiled.problems);
  return futureNetwork(set, compiled, facts, seen);
}
