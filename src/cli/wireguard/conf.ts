/** The wg-quick file that a pod's tunnel is made from, and the keys that it names. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { nearest, type Problem } from '../../resources/index.ts';
import {
  type KeySource,
  parsePublicKey,
  type QuickFile,
  type QuickProblem,
  readQuickFile,
  type WgConfiguration,
} from '../../wireguard/index.ts';
import { CommandFailure, InputProblems, UsageError } from '../exit.ts';

/** wg-quick's: a link's name of at most 15 characters, and `.conf`. */
const FILE_NAME = /^([A-Za-z0-9_=+.-]{1,15})\.conf$/;

/** `wg0` of `/etc/wireguard/wg0.conf`. Throws a UsageError for another name. */
export function linkOfFile(path: string): string {
  const link = FILE_NAME.exec(basename(path))?.[1];
  if (link !== undefined && link !== '.' && link !== '..') return link;
  throw new UsageError(`${path}: the link is named after the file: NAME.conf, NAME at most 15 characters, as wg0.conf`);
}

/** Throws InputProblems where the file is broken, with each line and column, and a CommandFailure where it cannot be read. */
export function readConf(path: string): QuickFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new CommandFailure(`${path}: ${error instanceof Error ? error.message.replace(/, open .*$/, '') : error}`, {
      cause: error,
    });
  }
  const read = readQuickFile(text);
  if (read.kind === 'problems') throw new InputProblems(read.problems.map((each) => problemOf(path, each)));
  return withKeyHook(read.file);
}

function problemOf(file: string, { line, column, path, what, meant, known }: QuickProblem): Problem {
  const near = known && nearest(path.replace(/^.* /, ''), known);
  return {
    code: known === undefined ? 'wrongValue' : 'unknownField',
    ...{ at: { file, line, column }, path, what: meant === undefined ? what : `${what} (${meant})` },
    ...(near !== undefined && { meant: near }),
  };
}

/** A line that many files have in place of the key. */
const KEY_HOOK = /^wg set %i private-key (\/[^\s;|&<>()]+)$/;

/** `PostUp = wg set %i private-key FILE` names the key, and needs no shell. */
function withKeyHook(file: QuickFile): QuickFile {
  const { hooks, privateKey } = file.interface;
  const found = hooks.find(({ at, command }) => at === 'PostUp' && KEY_HOOK.test(command));
  const path = found && KEY_HOOK.exec(found.command)?.[1];
  if (path === undefined) return file;
  return {
    ...file,
    interface: {
      ...file.interface,
      hooks: hooks.filter((each) => each !== found),
      privateKey: privateKey ?? { kind: 'file', path },
    },
  };
}

/** All keys in the clear, for wg's standard input and nothing else. Throws a CommandFailure where one is not to be had. */
export function keysOf(file: QuickFile, path: string): Pick<WgConfiguration, 'privateKey' | 'presharedKeys'> {
  const { privateKey } = file.interface;
  if (privateKey === undefined) throw new CommandFailure(`${path}: [Interface] has no PrivateKey`);
  const presharedKeys = new Map<string, string>();
  for (const { publicKey, presharedKey } of file.peers)
    if (presharedKey !== undefined) presharedKeys.set(publicKey, readKey(presharedKey));
  return { privateKey: readKey(privateKey), presharedKeys };
}

function readKey(source: KeySource): string {
  if (source.kind === 'inline') return source.key.reveal();
  let text: string;
  try {
    text = readFileSync(source.path, 'utf8').trim();
  } catch (error) {
    throw new CommandFailure(`the key in ${source.path}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  // What it holds is not repeated.
  if (parsePublicKey(text) === undefined) throw new CommandFailure(`${source.path} holds no key`);
  return text;
}
