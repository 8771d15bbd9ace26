/** The command line's entry. Only what every start needs is loaded here: `--version` answers before anything else is read. */
import { printVersion, wantsVersion } from './version.ts';

const argv = process.argv.slice(2);
if (wantsVersion(argv)) {
  printVersion();
} else {
  const { runCommandLine } = await import('./program.ts');
  process.exitCode = await runCommandLine(argv);
}
