/** The one host that a command is about: a name in the documents, or an address. */
import type { Access } from '../resources/index.ts';
import { UsageError } from './exit.ts';
import { readSshUrl } from './hosts.ts';
import { loadSet } from './load.ts';

export interface NamedHost {
  readonly name: string;
  readonly access: Access;
  /** Where its Host is written; undefined of an address. */
  readonly file: string | undefined;
}

/** `NAME` of a Host in the documents of `files`, or `ssh://USER@HOST:PORT` without. Throws UsageError. */
export async function nameHost(given: string, files: readonly string[] | undefined): Promise<NamedHost> {
  if (given.startsWith('ssh://')) {
    if (files !== undefined) throw new UsageError(`${given} and -f: give a name of the documents, or an address alone`);
    const url = readSshUrl('the host', given);
    return { name: url.address, access: { kind: 'ssh', port: 22, ...url }, file: undefined };
  }
  if (files === undefined) throw new UsageError(`${given}: give the documents by -f, or ssh://USER@HOST`);
  const { hosts } = await loadSet(files);
  const host = hosts.get(given);
  if (host === undefined)
    throw new UsageError(`no Host "${given}" in the documents: there are ${[...hosts.keys()].join(', ') || 'none'}`);
  return { name: host.name, access: host.access, file: host.at.file };
}
