import { TransportError } from '../../transport/index.ts';
import { type Answers, need } from './ask.ts';

/** Major, minor, patch. */
type Version = readonly number[];

export interface Versions {
  readonly kernel: string;
  readonly nft: Version;
  readonly iproute2: Version;
}

/** design.md, Floor: what older ones lack is not tested against. */
const FLOOR = { Linux: [5, 10], nft: [1, 0, 2], iproute2: [5, 10] } as const;

export const VERSION_COMMANDS = { kernel: ['uname', '-r'], nft: ['nft', '--version'], iproute2: ['ip', '-V'] } as const;

/** Reads the answers to VERSION_COMMANDS. Throws a TransportError that names what is missing, too old, or without a version to read. */
export function readVersions(answers: Answers): Versions {
  const kernel = need(answers, VERSION_COMMANDS.kernel).stdout.trim();
  check(answers.host, VERSION_COMMANDS.kernel, 'Linux', /^(\d+)\.(\d+)(?:\.(\d+))?/, kernel);
  const nft = need(answers, VERSION_COMMANDS.nft).stdout;
  // Snapshots up to 2020 are named by their date, `iproute2-ss200127`: all of them are older than 5.10.
  const iproute2 = need(answers, VERSION_COMMANDS.iproute2).stdout.replace(/iproute2-ss\d+/, 'iproute2-0.0.0');
  return {
    kernel,
    nft: check(answers.host, VERSION_COMMANDS.nft, 'nft', /\bv(\d+)\.(\d+)(?:\.(\d+))?/, nft),
    iproute2: check(
      answers.host,
      VERSION_COMMANDS.iproute2,
      'iproute2',
      /iproute2-v?(\d+)\.(\d+)(?:\.(\d+))?/,
      iproute2,
    ),
  };
}

function check(
  host: string,
  argv: readonly string[],
  name: keyof typeof FLOOR,
  pattern: RegExp,
  text: string,
): Version {
  const found = pattern
    .exec(text)
    ?.slice(1)
    .map((part) => Number(part ?? 0));
  if (found === undefined)
    throw new TransportError(host, argv, `the version of ${name} cannot be read from "${text.trim()}"`);
  const floor: Version = FLOOR[name];
  if (compare(found, floor) < 0) {
    const what = `${name} ${found.join('.')} is too old: Sallyport needs ${floor.join('.')} or newer`;
    throw new TransportError(host, argv, what);
  }
  return found;
}

function compare(left: Version, right: Version): number {
  const at = [0, 1, 2].find((index) => (left[index] ?? 0) !== (right[index] ?? 0));
  return at === undefined ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
}
