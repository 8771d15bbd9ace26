/** What the demos have in common: a story told in steps on a lab, by the command line as users run it. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';

export interface DemoOptions {
  /** How this command line is started: `[process.execPath, '…/sallyport.js']`. */
  readonly sallyport: readonly string[];
  /** Takes the text, whole lines. */
  readonly out: (text: string) => void;
  readonly signal: AbortSignal;
  /** Added to the environment of the command line, for example FORCE_COLOR. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Telling {
  /** A new part of the story; throws where it is to stop. */
  step(title: string): void;
  /** Shows the command and gives what it says; a status that is not `status` (0 unless given) ends the story. */
  sallyport(argv: readonly string[], status?: number): Promise<string>;
  /** Throws where the host is another than in this dump of it. */
  asItWas(host: string, before: string): Promise<void>;
  /** The last words. */
  end(): void;
}

export function openTelling(lab: Lab, { out, signal, sallyport: start, env }: DemoOptions): Telling {
  const began = performance.now();
  const examples = examplePath('');
  return {
    step(title) {
      signal.throwIfAborted();
      out(`\n── ${title} ${'─'.repeat(Math.max(0, 74 - title.length))}\n`);
    },
    async sallyport(argv, expected = 0) {
      out(`$ sallyport ${argv.join(' ').replace(examples, 'examples/')}\n`);
      const { stdout, stderr, status } = await lab.run([...start, ...argv], {
        ...{ signal, timeoutMs: 60_000, cwd: process.cwd(), allowFailure: expected !== 0 },
        ...(env === undefined ? {} : { env }),
      });
      if (status !== expected) throw new Error(`sallyport ${argv.join(' ')}: status ${status}: ${stderr}${stdout}`);
      return stderr + stdout;
    },
    async asItWas(host, before) {
      const difference = differingLines(before, await lab.dump(host));
      if (difference.length > 0) throw new Error(`${host} is not as it was:\n${difference.join('\n')}`);
      out(`  ${host} is as it was: rules, links, addresses, routes and ${sysctlCount(before)} settings\n`);
    },
    end() {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      out(`\nThe whole story took ${seconds} s; nothing of it is left on this machine.\n`);
    },
  };
}

/** What stands in one text alone, `-` before or `+` after it. */
function differingLines(before: string, after: string): readonly string[] {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}

const sysctlCount = (dump: string): number => dump.split('\n').filter((line) => line.startsWith('net.')).length;

/** A file of the folder `examples`, which stands at the top of the checkout as of the package. */
export function examplePath(name: string): string {
  for (const top of ['../../examples/', '../examples/']) {
    const path = fileURLToPath(new URL(top + name, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new Error(`examples/${name} is not there`);
}
