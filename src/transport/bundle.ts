/**
 * A bundle: what the commands of a look said on a host on which nothing can be installed, in one file that the collect script writes
 * (docs/bundle.md). Read whole and checked whole before anything of it is believed.
 */
import { createHash } from 'node:crypto';
import { type Output, type Transport, TransportError } from './transport.ts';

/** The form that is written and read. */
export const BUNDLE_FORMAT = 1;

/** For state folders in the text and the identity of a command; where that of the host is another, it stands for it. */
export const BUNDLED_STATE = '/etc/sallyport';

/** A file that is no bundle, was cut off or was changed: `FILE:LINE: what`, the line from 1. */
export class BundleError extends Error {
  constructor(file: string, line: number, what: string) {
    super(`${file}:${line}: ${what}`);
    this.name = 'BundleError';
  }
}

export interface Bundle {
  readonly file: string;
  /** Of the Sallyport that wrote the script. */
  readonly version: string;
  readonly host: string;
  readonly stateFolder: string;
  /** boot_id, or `unknown`. */
  readonly boot: string;
  /** The name of its network namespace, where it has one. */
  readonly namespace?: string;
  /** By the identity of the command. */
  readonly outputs: ReadonlyMap<string, Output>;
}

/** What a command is called in a bundle: 32 hexadecimal digits of the SHA-256 of its words, each with a zero byte behind it. */
export const commandId = (argv: readonly string[]): string =>
  sha256(argv.map((word) => `${word}\0`).join('')).slice(0, 32);

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

const NEWLINE = 0x0a;
const OUTPUT = /^output ([0-9a-f]{32}) (\d{1,3}) (\d{1,12}) (\d{1,12}) ([0-9a-f]{64}) (.*)$/;
const END = /^end (\d{1,6}) ([0-9a-f]{64})$/;
const FIELDS = ['host', 'state', 'boot', 'namespace'] as const;
type Field = (typeof FIELDS)[number];

/** Reads the bytes of a bundle. Throws a BundleError for everything that is not exactly what a collect script wrote. */
export function readBundle(file: string, data: Uint8Array): Bundle {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  let line = 1;
  const wrong = (what: string): BundleError => new BundleError(file, line, what);
  /** The line that begins at `at`; ends of line are bytes, whatever the encoding. */
  const peek = (): { readonly text: string; readonly next: number } => {
    const end = bytes.indexOf(NEWLINE, at);
    if (end === -1) throw wrong('the bundle is cut off here: collect it again, or copy the whole file');
    return { text: bytes.toString('latin1', at, end), next: end + 1 };
  };
  const take = (): string => {
    const { text, next } = peek();
    at = next;
    line += 1;
    return text;
  };

  const first = peek().text;
  const [, format, version] = /^sallyport-bundle (\d{1,6}) (\S+)$/.exec(first.replace(/\r$/, '')) ?? [];
  if (format === undefined || version === undefined)
    throw wrong('this is no bundle: it does not begin with "sallyport-bundle"');
  if (first.endsWith('\r')) throw wrong('its ends of line were changed on the way: copy the file as binary');
  if (Number(format) !== BUNDLE_FORMAT)
    throw wrong(`the bundle is of format ${format}, and this Sallyport reads ${BUNDLE_FORMAT}`);
  take();
  const fields = new Map<Field, string>();
  for (const field of FIELDS) {
    const text = peek().text;
    if (!text.startsWith(`${field} `)) throw wrong(`damaged: "${field} ..." is expected here`);
    take();
    fields.set(field, text.slice(field.length + 1));
  }

  const outputs = new Map<string, Output>();
  for (;;) {
    const { text, next } = peek();
    const end = END.exec(text);
    if (end !== null) {
      const [, count, sum] = end;
      if (Number(count) !== outputs.size)
        throw wrong(`damaged: it says ${count} outputs, and there are ${outputs.size}`);
      if (sha256(bytes.subarray(0, at)) !== sum) throw wrong('damaged: something above does not match its checksum');
      if (next !== bytes.length) {
        line += 1;
        throw wrong('there is something behind the end of the bundle');
      }
      return bundleOf(file, version, fields, outputs);
    }
    const [, id, status, outSize, errSize, sum, label] = OUTPUT.exec(text) ?? [];
    if (id === undefined || label === undefined) throw wrong('damaged: neither an output nor the end');
    if (outputs.has(id)) throw wrong(`damaged: "${label}" stands there twice`);
    const outEnd = next + Number(outSize);
    const errEnd = outEnd + 1 + Number(errSize);
    if (errEnd + 1 > bytes.length)
      throw wrong(`the bundle is cut off in what "${label}" said: collect it again, or copy the whole file`);
    const head = `${id} ${status} ${outSize} ${errSize} ${label}\n`;
    if (sha256(Buffer.concat([Buffer.from(head, 'latin1'), bytes.subarray(next, errEnd + 1)])) !== sum)
      throw wrong(`damaged: what "${label}" said does not match its checksum`);
    outputs.set(id, {
      stdout: bytes.toString('utf8', next, outEnd),
      stderr: bytes.toString('utf8', outEnd + 1, errEnd),
      status: Number(status),
    });
    for (let index = at; index <= errEnd; index++) if (bytes[index] === NEWLINE) line += 1;
    at = errEnd + 1;
  }
}

function bundleOf(
  file: string,
  version: string,
  fields: ReadonlyMap<Field, string>,
  outputs: ReadonlyMap<string, Output>,
): Bundle {
  const of = (field: Field): string => fields.get(field) ?? '';
  const namespace = of('namespace');
  return {
    ...{ file, version, host: of('host'), stateFolder: of('state'), boot: of('boot'), outputs },
    ...(namespace !== '-' && { namespace }),
  };
}

/** Statuses by which the script says that an output is not whole: of `timeout` (BusyBox: that of its signal), and its own. */
const CUT_SHORT: ReadonlyMap<number, string> = new Map([
  [124, 'did not end in time'],
  [143, 'did not end in time'],
  [125, 'said keys, which could not be taken out'],
]);

/** Answers as the host of the bundle did. What was not collected is a TransportError: not known, which is never the same as empty. */
export function bundleTransport(host: string, bundle: Bundle): Transport {
  const { file, stateFolder, namespace, outputs } = bundle;
  const refuse = (argv: readonly string[], what: string): TransportError =>
    new TransportError(host, argv, `${what} (${file}, collected by sallyport ${bundle.version})`);
  // The script was written before anybody knew the host's state folder and namespace.
  const collected = (word: string): string => {
    if (word === stateFolder || word.startsWith(`${stateFolder}/`))
      return `${BUNDLED_STATE}${word.slice(stateFolder.length)}`;
    return namespace !== undefined && word === `/run/netns/${namespace}` ? '' : word;
  };
  const find = ({ argv, stdin }: { readonly argv: readonly string[]; readonly stdin?: string }): Output => {
    const found = stdin === undefined ? outputs.get(commandId(argv.map(collected))) : undefined;
    if (found === undefined) throw refuse(argv, `not in the bundle: ${labelOf(argv)}`);
    const why = CUT_SHORT.get(found.status);
    if (why !== undefined) throw refuse(argv, `not in the bundle: ${labelOf(argv)} ${why}`);
    return found;
  };
  const readOnly = async (path: string): Promise<never> => {
    throw refuse([], `${path} cannot be changed: a bundle is only read`);
  };
  return {
    host,
    ...(namespace !== undefined && { namespace }),
    kernel: bundle.boot === 'unknown' ? file : bundle.boot,
    run: async (command) => find(command),
    runAll: async (commands) => commands.map(find),
    follow: async (argv) => {
      throw refuse(argv, 'nothing happens in a bundle');
    },
    readFile: async (path) => {
      throw refuse(['cat', path], `not in the bundle: ${path}`);
    },
    writeFile: readOnly,
    removeFile: readOnly,
    stateFolder: async () => stateFolder,
  };
}

/** A command for people, on one line; of a script its arguments and its first words. */
export function labelOf([program = '', ...args]: readonly string[]): string {
  const words =
    program === 'sh' && args[0] === '-c' ? ['a script', ...args.slice(3), `(${args[1] ?? ''})`] : [program, ...args];
  const line = words
    .join(' ')
    .replaceAll(/[^\x21-\x7e]+/g, ' ')
    .trim();
  return line.length > 100 ? `${line.slice(0, 97)}...` : line;
}
