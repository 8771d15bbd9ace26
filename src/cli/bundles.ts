/** Hosts that nobody can reach, from the bundles that were collected on them. */
import { readFile } from 'node:fs/promises';
import type { ManagedHost } from '../apply/index.ts';
import { COLLECT_TABLES, linuxDriver, observedCommands } from '../drivers/index.ts';
import { loadResources, type ResourceSet } from '../resources/index.ts';
import {
  BUNDLED_STATE,
  type Bundle,
  BundleError,
  bundleTransport,
  collectScript,
  readBundle,
} from '../transport/index.ts';
import { LOOK_COMMANDS } from '../verify/index.ts';
import { SETTINGS_COMMAND } from './causes.ts';
import { UsageError } from './exit.ts';
import { type JUDGED, loadSet } from './load.ts';
import { SIGHT_COMMANDS } from './sightings.ts';
import { sallyportVersion } from './version.ts';

/** All that trace and doctor ask of a host. */
const COLLECTED: readonly (readonly string[])[] = [
  ...observedCommands(BUNDLED_STATE),
  ...SIGHT_COMMANDS,
  ...LOOK_COMMANDS,
  SETTINGS_COMMAND,
];

/** The script for the host. */
export const collector = (): string => collectScript(sallyportVersion(), COLLECTED, COLLECT_TABLES);

export interface Bundled {
  readonly set: ResourceSet;
  readonly managed: readonly ManagedHost[];
}

/** Opens `FILE` and `NAME=FILE`. The hosts are those of the documents in `files`, or one for each bundle. Throws a UsageError. */
export async function openBundles(
  given: readonly string[],
  files: readonly string[] | undefined,
  known?: typeof JUDGED,
): Promise<Bundled> {
  const bundles = new Map<string, Bundle>();
  for (const { name, bundle } of await Promise.all(given.map(openBundle))) {
    const other = bundles.get(name);
    if (other !== undefined)
      throw new UsageError(`${other.file} and ${bundle.file} are both of a host "${name}": write --bundle NAME=FILE`);
    bundles.set(name, bundle);
  }
  const set = files === undefined ? hostsOnly([...bundles.keys()]) : await loadSet(files, known);
  for (const [name, { file }] of bundles)
    if (!set.hosts.has(name))
      throw new UsageError(
        `${file} is of "${name}", and the documents have no such Host: there are ${[...set.hosts.keys()].join(', ')}; write --bundle NAME=FILE`,
      );
  return { set, managed: [...bundles].map(([name, bundle]) => manageBundle(name, bundle)) };
}

/** Reads and looks; what links its kernel could make, nobody tried there. */
function manageBundle(name: string, bundle: Bundle): ManagedHost {
  const transport = bundleTransport(name, bundle);
  const support = { wireguard: 'unknown', vxlan: 'unknown', flowtables: 'unknown' } as const;
  return { name, transport, driver: linuxDriver(transport, { support: Promise.resolve(support) }) };
}

async function openBundle(given: string): Promise<{ readonly name: string; readonly bundle: Bundle }> {
  // A path may have an equals sign; a name has no slash.
  const [, named, path] = /^([a-z0-9][a-z0-9.-]*)=(.+)$/.exec(given) ?? [];
  const file = path ?? given;
  try {
    const bundle = readBundle(file, await readFile(file));
    return { name: named ?? hostName(bundle.host), bundle };
  } catch (error) {
    if (error instanceof BundleError) throw new UsageError(error.message);
    if (error instanceof Error && 'code' in error) throw new UsageError(`--bundle ${file}: ${error.message}`);
    throw error;
  }
}

/** A host's name as a resource may bear it. */
export const hostName = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .replaceAll(/^-+|-+$/g, '') || 'host';

function hostsOnly(names: readonly string[]): ResourceSet {
  const text = names
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { access: { netns: { name: ${JSON.stringify(name)} } } }\n`,
    )
    .join('---\n');
  const { set, problems } = loadResources([{ name: '--bundle', text }]);
  if (set === undefined || problems.length > 0)
    throw new UsageError(`--bundle: ${problems.map(({ what }) => what).join('; ')}; write --bundle NAME=FILE`);
  return set;
}
