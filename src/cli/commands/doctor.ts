import { type ManagedHost, reasonOf } from '../../apply/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import {
  type Diagnosis,
  diagnose,
  FAULTS,
  isCode,
  LOOK_COMMANDS,
  type Looks,
  liveNetwork,
  readLooks,
} from '../../verify/index.ts';
import { type Bundled, collector, hostName, openBundles } from '../bundles.ts';
import { findSettings, type SettingLine } from '../causes.ts';
import { printDiagnosis } from '../doctor-text.ts';
import { CommandFailure, DONE, FAILED, UsageError } from '../exit.ts';
import { manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Format, Output } from '../output.ts';
import { type Sighting, sightAll, sightingsOf } from '../sightings.ts';
import { surveyManaged } from '../survey.ts';

export interface DoctorFlags {
  readonly file?: readonly string[];
  readonly host?: string;
  readonly netns?: string;
  readonly bundle?: readonly string[];
  readonly collect?: boolean;
  readonly fix?: string;
  readonly output?: Format;
}

/** Looks for every fault it knows on each host, and changes nothing; 1 where it finds one that harms. */
export async function doctor(output: Output, flags: DoctorFlags): Promise<number> {
  refuseLater(flags);
  if (flags.collect === true) {
    await output.write(collector());
    return DONE;
  }
  const { set, managed } = await openHosts(flags);
  using interrupt = listenForInterrupt(false);
  const diagnosis = await examine(output, set, managed, interrupt.signal);
  const hosts = [...set.hosts.keys()];
  await output.result(diagnosis, () => printDiagnosis(diagnosis, hosts, output.color));
  const isHarmed = diagnosis.findings.some(({ severity }) => severity === 'error');
  return isHarmed || diagnosis.unreachable.length > 0 ? FAILED : DONE;
}

function refuseLater({ file, host, netns, bundle, collect, fix }: DoctorFlags): void {
  if (host !== undefined)
    throw new UsageError(`not yet supported: --host ${host}; look at this machine, or by --netns`);
  if (fix !== undefined && !isCode(fix))
    throw new UsageError(`--fix ${fix}: there is no such fault; there is ${Object.keys(FAULTS).join(', ')}`);
  // A fix changes what others own, and only the remote work arms such a change from outside.
  if (fix !== undefined)
    throw new UsageError(
      `not yet supported: --fix ${fix}; the finding shows the commands, each to be run on the host it names`,
    );
  if (file !== undefined && netns !== undefined)
    throw new UsageError('--netns and -f: the hosts of -f are looked at; give one of them');
  if (bundle !== undefined && netns !== undefined)
    throw new UsageError('--netns and --bundle: a bundle is of another look; give one of them');
  if (collect === true && (bundle ?? file ?? netns) !== undefined)
    throw new UsageError('--collect prints a script to run on the host itself: it takes no other host');
}

export interface ManyHosts extends Diagnosis {
  /** Hosts that did not answer. */
  readonly unreachable: readonly { readonly host: string; readonly why: string }[];
}

async function openHosts(flags: DoctorFlags): Promise<Bundled> {
  if (flags.bundle !== undefined) return await openBundles(flags.bundle, flags.file);
  const set = await hostsOf(flags);
  return { set, managed: manageAll(set) };
}

/** The hosts of the documents, or one that stands for this machine or a namespace of it. */
async function hostsOf({ file, netns }: DoctorFlags): Promise<ResourceSet> {
  if (file !== undefined) return await loadSet(file);
  if (netns !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(netns))
    throw new UsageError(`--netns "${netns}" is no name of a network namespace`);
  const name = hostName(netns ?? 'local');
  const access = netns === undefined ? '{ local: {} }' : `{ netns: { name: ${JSON.stringify(netns)} } }`;
  const text = `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { access: ${access} }\n`;
  const { set, problems } = loadResources([{ name: '--netns', text }]);
  if (set === undefined) throw new UsageError(problems.map(({ what }) => what).join('; '));
  return set;
}

/** Looks at the hosts and says what is wrong with them; by whatever transport they were opened. */
export async function examine(
  output: Output,
  set: ResourceSet,
  managed: readonly ManagedHost[],
  signal: AbortSignal,
): Promise<ManyHosts> {
  const [survey, seen, looked] = await Promise.all([
    surveyManaged(set, managed, signal, output),
    sightAll(managed, signal),
    Promise.all(managed.map(async (host) => [host.name, await lookCloser(host, signal)] as const)),
  ]);
  const { facts, unreachable } = survey;
  const known = sightingsOf(seen, facts);
  const network = liveNetwork(set, facts, unreachable, known);
  const diagnoses = [...network.hosts.values()].flatMap((simulated): readonly Diagnosis[] => {
    const { name } = simulated;
    const known = facts.get(name);
    const closer = new Map(looked).get(name);
    if (known === undefined || closer === undefined || unreachable.has(name)) return [];
    return [diagnose({ host: name, facts: known, simulated, network, ...socketsOf(seen.get(name)), ...closer })];
  });
  return {
    findings: diagnoses.flatMap(({ findings }) => findings),
    notLooked: diagnoses.flatMap(({ notLooked }) => notLooked),
    unreachable: [...unreachable].map(([host, why]) => ({ host, why })),
  };
}

const socketsOf = (sighting: Sighting | undefined) =>
  sighting?.sockets === undefined ? {} : { sockets: sighting.sockets };

interface Closer {
  readonly looks: Looks;
  readonly settings: readonly SettingLine[];
}

/** Undefined of a host that does not answer: why, the look at its facts says. */
async function lookCloser({ name, transport }: ManagedHost, signal: AbortSignal): Promise<Closer | undefined> {
  try {
    const [outputs, settings] = await Promise.all([
      transport.runAll(
        LOOK_COMMANDS.map((argv) => ({ argv })),
        signal,
      ),
      findSettings(transport, signal),
    ]);
    return { looks: readLooks(outputs), settings };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && error.name === 'TransportError') return undefined;
    throw new CommandFailure(`${name}: ${reasonOf(name, error)}`, { cause: error });
  }
}
