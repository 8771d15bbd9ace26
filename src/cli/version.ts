import { readFileSync } from 'node:fs';

/** The version of this Sallyport. scripts/build.ts puts it in; run from src/ it is read from package.json. */
export function sallyportVersion(): string {
  const built = process.env.SALLYPORT_VERSION;
  if (built !== undefined) return built;
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const named =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined;
  return typeof named === 'string' ? named : 'unknown';
}

/** Whether the command line asks for the version and nothing else. */
export const wantsVersion = (argv: readonly string[]): boolean =>
  argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V');

/** Writes the version to stdout: a single line, for people and scripts alike. */
export const printVersion = (): void => {
  process.stdout.write(`${sallyportVersion()}\n`);
};
