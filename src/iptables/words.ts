/** One word of a line; what stood in quotes is never an option or a `!`. */
export interface Word {
  readonly text: string;
  readonly quoted: boolean;
}

/**
 * The words of a line as iptables-restore splits it (add_param_to_argv of its xshared.c): apart by spaces and tabs; in double quotes
 * everything stands for itself but `\`, which takes the next character as it is; a closing quote ends the word.
 * Undefined where a quote is not closed.
 */
export function wordsOf(line: string): readonly Word[] | undefined {
  const words: Word[] = [];
  let text = '';
  let quoted = false;
  let open = false;
  const end = (): void => {
    if (text !== '' || quoted) words.push({ text, quoted });
    text = '';
    quoted = false;
  };
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (open) {
      if (character === '"') {
        open = false;
        end();
      } else if (character === '\\') {
        at++;
        text += line.charAt(at);
      } else text += character;
    } else if (character === '"') {
      open = true;
      quoted = true;
    } else if (character === ' ' || character === '\t') end();
    else text += character;
  }
  if (open) return undefined;
  end();
  return words;
}
