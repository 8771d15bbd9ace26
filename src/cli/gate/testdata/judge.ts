/** The gate's judgement alone, without a host: what it would run, or why not. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeGateWord } from '../../../transport/index.ts';
import { CHECK } from '../check.ts';
import { CHECK_TEXTS } from '../check-texts.ts';
import { gate } from '../text.ts';

export const STATE = '/run/sallyport/netns/4026532000';

export interface Judge extends Disposable {
  /** The words that would run, or what is refused; a text for a shell is called by `@NAME`. */
  (argv: readonly string[], stdin?: string): { readonly runs: string } | { readonly refused: string };
}

export function startJudge(awk: readonly string[] = ['awk'], state = STATE): Judge {
  const folder = mkdtempSync(join(tmpdir(), 'sp-judge-'));
  const [file, input] = [join(folder, 'gate'), join(folder, 'input')];
  writeFileSync(file, gate().text);
  const program = `${CHECK}${CHECK_TEXTS}`.replaceAll('@PROTOCOL@', '83');
  const judge = (argv: readonly string[], stdin?: string): ReturnType<Judge> => {
    if (stdin !== undefined) writeFileSync(input, stdin);
    const whole = stdin === undefined ? argv : ['sh', '-c', '@WITH_WHOLE_STDIN', 'sh', '0', ...argv];
    const words = whole.map((word, index) =>
      whole[index - 1] === '-c' && /^@[A-Z_0-9]+$/.test(word) ? word : encodeGateWord(word),
    );
    const env = { PATH: process.env.PATH, LC_ALL: 'C', STATE: state, INPUT: input, REQUEST: `sallyport x ${words.join(' ')}` };
    const [name = '', ...rest] = awk;
    const { status, stdout, stderr } = spawnSync(name, [...rest, program, file], { env, encoding: 'utf8' });
    if (stderr !== '' || (status !== 0 && status !== 3)) throw new Error(`awk: ${status} ${stderr}`);
    return status === 0 ? { runs: stdout } : { refused: stdout.trim() };
  };
  return Object.assign(judge, { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) });
}

/** Whether a text is one that this machine's shell can read. */
export const isShell = (text: string): boolean => {
  execFileSync('sh', ['-n'], { input: text });
  return true;
};
