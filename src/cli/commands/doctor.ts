import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { FAULTS, isCode } from '../../verify/index.ts';
import { type Bundled, collector, hostName, openBundles } from '../bundles.ts';
import { requireConsent } from '../carry.ts';
import { printDiagnosis } from '../doctor-text.ts';
import { examine, type ManyHosts } from '../examine.ts';
import { DONE, FAILED, UsageError } from '../exit.ts';
import { fix } from '../fix.ts';
import { manageAll, readSshUrl } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Format, Output } from '../output.ts';

export interface DoctorFlags {
  readonly file?: readonly string[];
  readonly host?: string;
  readonly netns?: string;
  readonly bundle?: readonly string[];
  readonly collect?: boolean;
  readonly fix?: string;
  readonly yes?: boolean;
  /** Milliseconds. */
  readonly confirmTimeout?: number;
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
  if (flags.fix !== undefined && isCode(flags.fix)) return await fix(output, flags, flags.fix, { set, managed });
  using interrupt = listenForInterrupt(false);
  const diagnosis = await examine(output, set, managed, interrupt.signal);
  const hosts = [...set.hosts.keys()];
  await output.result(shown(diagnosis), () => printDiagnosis(diagnosis, hosts, output.color));
  const isHarmed = diagnosis.findings.some(({ severity }) => severity === 'error');
  return isHarmed || diagnosis.unreachable.length > 0 ? FAILED : DONE;
}

/** As design.md has it: what is carried out of a fix is for us. */
const shown = ({ findings, ...rest }: ManyHosts) => ({
  findings: findings.map(({ steps: _, ...finding }) => finding),
  ...rest,
});

function refuseLater(flags: DoctorFlags): void {
  const { file, host, netns, bundle, collect, fix } = flags;
  if (host !== undefined && (file ?? netns ?? bundle) !== undefined)
    throw new UsageError('--host beside -f, --netns or --bundle: it is another host; give one of them');
  if (fix !== undefined && !isCode(fix))
    throw new UsageError(`--fix ${fix}: there is no such fault; there is ${Object.keys(FAULTS).join(', ')}`);
  if (fix === undefined && flags.yes === true) throw new UsageError('--yes is for --fix CODE: nothing else is changed');
  if (fix !== undefined && bundle !== undefined)
    throw new UsageError('--fix and --bundle: a bundle is no host; run it where the host can be reached');
  if (fix !== undefined) requireConsent('doctor --fix', { ...flags, file: file ?? [] });
  if (file !== undefined && netns !== undefined)
    throw new UsageError('--netns and -f: the hosts of -f are looked at; give one of them');
  if (bundle !== undefined && netns !== undefined)
    throw new UsageError('--netns and --bundle: a bundle is of another look; give one of them');
  if (collect === true && (bundle ?? file ?? netns ?? host ?? fix) !== undefined)
    throw new UsageError('--collect prints a script to run on the host itself: it takes no other host');
}

async function openHosts(flags: DoctorFlags): Promise<Bundled> {
  if (flags.bundle !== undefined) return await openBundles(flags.bundle, flags.file);
  const set = await hostsOf(flags);
  return { set, managed: manageAll(set) };
}

/** The hosts of the documents, or one that stands for this machine or a namespace of it. */
async function hostsOf({ file, netns, host }: DoctorFlags): Promise<ResourceSet> {
  if (file !== undefined) return await loadSet(file);
  if (netns !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(netns))
    throw new UsageError(`--netns "${netns}" is no name of a network namespace`);
  const far = host === undefined ? undefined : readSshUrl('--host', host);
  const name = hostName(far?.address ?? netns ?? 'local');
  const near = netns === undefined ? { local: {} } : { netns: { name: netns } };
  const access = JSON.stringify(far === undefined ? near : { ssh: far });
  const text = `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { access: ${access} }\n`;
  const { set, problems } = loadResources([{ name: host === undefined ? '--netns' : '--host', text }]);
  if (set === undefined) throw new UsageError(problems.map(({ what }) => what).join('; '));
  return set;
}
