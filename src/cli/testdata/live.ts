/** `trace --live` within the test's own process: the hosts of a lab are read and asked as the command does it, without its start. */
import type { ManagedHost } from '../../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../../drivers/index.ts';
import type { Lab } from '../../lab/index.ts';
import { loadResources } from '../../resources/index.ts';
import { amongStanding, type Network, reportTrace, simulate, simulateAll, startDraws, type TraceReport } from '../../simulate/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { liveNetwork } from '../../verify/index.ts';
import { sightAll, sightingsOf } from '../sightings.ts';
import { knownEntries, listEntries } from '../standing.ts';
import { surveyManaged } from '../survey.ts';
import { placeQuestion, type QuestionFlags, readQuestion } from '../trace-question.ts';

/** A Host for each host of the lab. */
export const hostDocuments = (names: readonly string[]): string =>
  names
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
    )
    .join('---\n');

export interface Live {
  /** The hosts as they stand now. */
  look(): Promise<Network>;
  /** All traces of each question on the hosts as they stand now. */
  ask(...questions: readonly QuestionFlags[]): Promise<readonly (readonly TraceReport[])[]>;
}

const kernel: SharedKernel = { support: Promise.resolve({ wireguard: 'unknown', vxlan: 'unknown', flowtables: 'unknown' }) };

export function liveOf(lab: Lab, names: readonly string[] = lab.topology.hosts.map(({ name }) => name)): Live {
  const { set, problems } = loadResources([{ name: 'hosts.yaml', text: hostDocuments(names) }]);
  if (set === undefined) throw new Error(JSON.stringify(problems));
  const entry = ['nsenter', '-t', String(lab.pid), '--mount', '--pid', '--net'];
  const managed = names.map((name): ManagedHost => {
    const transport = namespaceTransport(name, name, { entry });
    return { name, transport, driver: linuxDriver(transport, kernel) };
  });
  const { signal } = new AbortController();
  const silent = { progress() {} };
  const look = async (): Promise<Network> => {
    const [survey, seen, entries] = await Promise.all([
      surveyManaged(set, managed, signal, silent),
      sightAll(managed, signal),
      listEntries(managed, signal),
    ]);
    if (survey.unreachable.size > 0) throw new Error(JSON.stringify([...survey.unreachable]));
    const sightings = { ...sightingsOf(seen, survey.facts), entries: knownEntries(entries) };
    return liveNetwork(set, survey.facts, survey.unreachable, sightings);
  };
  return {
    look,
    async ask(...questions) {
      const network = await look();
      return questions.map((flags) => {
        const { flow } = amongStanding(network, placeQuestion(network, readQuestion(flags, names)));
        return simulateAll(network, flow).traces.map(({ ways }) =>
          reportTrace(simulate(network, flow, { hops: true, draws: startDraws(ways) })),
        );
      });
    },
  };
}
