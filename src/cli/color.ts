import { styleText } from 'node:util';

/** Paints text, or leaves it as it is. */
export interface Paint {
  readonly added: (text: string) => string;
  readonly changed: (text: string) => string;
  readonly removed: (text: string) => string;
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
}

type Style = Parameters<typeof styleText>[0];

/** Green, yellow and red for what comes, changes and goes: the colours of `terraform plan` and `git diff`. */
export function paint(color: boolean): Paint {
  const as = (style: Style) => (text: string) => (color ? styleText(style, text, { validateStream: false }) : text);
  return { added: as('green'), changed: as('yellow'), removed: as('red'), strong: as('bold'), faint: as('dim') };
}

/** Whether results on stdout are coloured: a terminal, unless NO_COLOR is set and not empty, or TERM is dumb. */
export function wantsColor(environment: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  if ((environment.NO_COLOR ?? '') !== '') return false;
  if ((environment.FORCE_COLOR ?? '') !== '' && environment.FORCE_COLOR !== '0') return true;
  return isTerminal && environment.TERM !== 'dumb';
}
