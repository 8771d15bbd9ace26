import { nlbManifests, printJson, printYaml } from '../../manifests/index.ts';
import { DONE } from '../exit.ts';
import { type GenerateNlbFlags, readNlbFlags } from '../generate/nlb-flags.ts';
import type { Output } from '../output.ts';

export type { GenerateNlbFlags };

/** Manifests to stdout; what must be done beside them at the head of the YAML and, where nobody reads that, on stderr. */
export async function generateNlb(output: Output, conf: string | undefined, flags: GenerateNlbFlags): Promise<number> {
  const { options, warnings } = readNlbFlags(conf, flags);
  const { objects, sources, notes } = nlbManifests(options);
  for (const each of warnings) output.say(each);
  if (flags.output === 'json' || process.stdout.isTTY !== true) for (const each of notes) output.say(each);
  await output.write(flags.output === 'json' ? printJson(objects) : printYaml(objects, notes, sources));
  return DONE;
}
