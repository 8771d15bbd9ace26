/** Many commands as input of few `ip -batch -`: one process instead of one a line. */

/** One run of `ip`: its argument vector and standard input. */
export interface IpBatch {
  readonly argv: readonly string[];
  readonly stdin: string;
}

/**
 * The commands in as few batches as keep their order. A batch has one family option for all its lines, so each run of IPv6 rules
 * is a batch of its own. `ip` stops at the first line that fails, and names it: `Command failed -:3`, counted from 1.
 */
export function printBatches(commands: readonly (readonly string[])[]): readonly IpBatch[] {
  const batches: { readonly family: readonly string[]; readonly lines: string[] }[] = [];
  for (const command of commands) {
    const family = command[0] === '-6' ? ['-6'] : [];
    let batch = batches.at(-1);
    if (batch === undefined || batch.family.length !== family.length) {
      batch = { family, lines: [] };
      batches.push(batch);
    }
    batch.lines.push(printBatchLine(command.slice(family.length)));
  }
  return batches.map(({ family, lines }) => ({ argv: ['ip', ...family, '-batch', '-'], stdin: lines.join('') }));
}

/** One line of a batch, its newline included. Throws a TypeError for what a batch cannot say: a family option, a line break, `#`, both quotes. */
export function printBatchLine(command: readonly string[]): string {
  if (command[0]?.startsWith('-')) throw new TypeError(`an option is no line of a batch: ${command.join(' ')}`);
  return `${command.map(quote).join(' ')}\n`;
}

/** As iproute2 splits lines (lib/utils.c, getcmdline and makeargs): quotes hold until their like, `#` begins a comment even in quotes, a `\` at the end of a line goes on. */
function quote(argument: string): string {
  if (/[#\n\r\\]/.test(argument)) throw new TypeError(`not to be said in a batch of ip: ${JSON.stringify(argument)}`);
  if (/^[^\s'"]+$/.test(argument)) return argument;
  const mark = argument.includes('"') ? "'" : '"';
  if (argument.includes(mark)) throw new TypeError(`not to be said in a batch of ip: ${JSON.stringify(argument)}`);
  return `${mark}${argument}${mark}`;
}
