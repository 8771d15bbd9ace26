/** From `-f` to a checked set of resources. */
import { loadResources, type ResourceSet } from '../resources/index.ts';
import { readSource } from '../sources/index.ts';
import { InputProblems } from './exit.ts';
import { saveMemory } from './memory.ts';

/** Reads files, folders and `-`, and checks them. Throws InputProblems with all that is wrong. */
export async function loadSet(paths: readonly string[]): Promise<ResourceSet> {
  const { texts, problems } = await readSource(paths, { stdin: process.stdin });
  if (problems.length > 0) throw new InputProblems(problems);
  saveMemory(texts.reduce((sum, { text }) => sum + text.length, 0));
  const loaded = loadResources(texts);
  if (loaded.set === undefined || loaded.problems.length > 0) throw new InputProblems(loaded.problems);
  return loaded.set;
}
