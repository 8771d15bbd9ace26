/** From `-f` to a checked set of resources. */
import { loadResources, type ResourceSet } from '../resources/index.ts';
import { readSource } from '../sources/index.ts';
import { InputProblems } from './exit.ts';
import { saveMemory } from './memory.ts';

/** Kinds that nobody carries out yet, for who only judges what stands. */
export const JUDGED: ReadonlySet<'EgressRoute'> = new Set(['EgressRoute']);

/** Reads files, folders and `-`, and checks them. `known`: as loadResources has it. Throws InputProblems with all that is wrong. */
export async function loadSet(paths: readonly string[], known?: typeof JUDGED): Promise<ResourceSet> {
  const { texts, problems } = await readSource(paths, { stdin: process.stdin });
  if (problems.length > 0) throw new InputProblems(problems);
  saveMemory(texts.reduce((sum, { text }) => sum + text.length, 0));
  const loaded = loadResources(texts, known);
  if (loaded.set === undefined || loaded.problems.length > 0) throw new InputProblems(loaded.problems);
  return loaded.set;
}
