import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem, SourceText } from '../resources/index.ts';

/** Larger input is a mistake: ten thousand forwards are 3 MB. In bytes. */
const MOST_BYTES = 64 * 1024 * 1024;

export interface Source {
  readonly texts: readonly SourceText[];
  readonly problems: readonly Problem[];
}

/** What `readSource` needs of the process: `process.stdin` fits. */
export interface SourceStreams {
  readonly stdin: AsyncIterable<Uint8Array | string>;
}

/**
 * Reads what `-f` names, in this order: files, folders (every *.yaml, *.yml and *.json below, sorted by path), and `-` for stdin.
 * What cannot be read is a problem; nothing is thrown.
 */
export async function readSource(paths: readonly string[], { stdin }: SourceStreams): Promise<Source> {
  const texts: SourceText[] = [];
  const problems: Problem[] = [];
  const read = new Set<string>();
  for (const path of paths) {
    if (path !== '-') {
      for (const found of await filesOf(path)) {
        // A folder and a file in it may both be named.
        if ('file' in found && !read.has(found.file)) {
          read.add(found.file);
          keep(found.file, await readFileBytes(found.file));
        } else if ('what' in found) problems.push(unreadable(found.path, found.what));
      }
    } else if (read.has('-')) problems.push(unreadable('<stdin>', 'is named twice; it can be read once'));
    else {
      read.add('-');
      keep('<stdin>', await readStream(stdin));
    }
  }
  return { texts, problems };

  function keep(name: string, bytes: Buffer | string): void {
    const text = typeof bytes === 'string' ? { what: bytes } : decode(bytes);
    if ('what' in text) problems.push(unreadable(name, text.what));
    else texts.push({ name, text: text.text });
  }
}

const unreadable = (file: string, what: string): Problem => ({
  code: 'unreadable',
  at: { file, line: 1, column: 1 },
  path: '',
  what,
});

type Found = { readonly file: string } | { readonly path: string; readonly what: string };

/** The files that a path stands for: itself, or what lies below it. */
async function filesOf(path: string): Promise<readonly Found[]> {
  try {
    const { isDirectory, isFile } = kindOf(await stat(path));
    // A pipe, as of `<(command)`, is read like a file.
    if (!isDirectory) return isFile ? [{ file: path }] : [{ path, what: 'is neither a file nor a folder' }];
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => !entry.isDirectory() && /\.(?:ya?ml|json)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    return files.length === 0
      ? [{ path, what: 'holds no .yaml, .yml or .json file' }]
      : files.map((file) => ({ file }));
  } catch (error) {
    return [{ path, what: describe(error) }];
  }
}

function kindOf(found: Awaited<ReturnType<typeof stat>>): { readonly isDirectory: boolean; readonly isFile: boolean } {
  return { isDirectory: found.isDirectory(), isFile: found.isFile() || found.isFIFO() || found.isCharacterDevice() };
}

/** The bytes of a file, or why there are none. Reads no further than the limit, so that /dev/zero ends too. */
async function readFileBytes(path: string): Promise<Buffer | string> {
  try {
    await using file = await open(path, 'r');
    return await readStream(file.createReadStream({ autoClose: false }));
  } catch (error) {
    return describe(error);
  }
}

async function readStream(stream: SourceStreams['stdin']): Promise<Buffer | string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > MOST_BYTES) return `is larger than ${MOST_BYTES / 1024 / 1024} MiB`;
      chunks.push(bytes);
    }
  } catch (error) {
    return describe(error);
  }
  return Buffer.concat(chunks);
}

/** Bytes as text; editors on Windows save UTF-16, which holds zero bytes as binary files do. */
function decode(bytes: Buffer): { readonly text: string } | { readonly what: string } {
  if (bytes.includes(0)) return { what: 'is no text: it holds zero bytes (a binary file, or UTF-16; write UTF-8)' };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { what: 'is no text in UTF-8' };
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'no such file or folder',
  EACCES: 'may not be read (permission denied)',
  EPERM: 'may not be read (operation not permitted)',
  EISDIR: 'is a folder',
  ELOOP: 'leads in a circle of links',
  ENAMETOOLONG: 'is too long a name',
};

/** What the system said, in words. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return WORDS[code] ?? `cannot be read: ${error.message}`;
}
