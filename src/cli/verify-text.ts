/** Promises for people: those that hold, a line each; those that do not, with the walk of the packet that shows it. */
import type { Promised } from '../verify/index.ts';
import { type Paint, paint } from './color.ts';
import type { ProbeReport } from './probing.ts';
import { printTrace } from './trace-text.ts';

interface VerifyTextOptions {
  readonly color: boolean;
  /** Of the terminal, in columns; absent: lines are as long as they are. */
  readonly width?: number;
}

/** The whole text, by resource, ending with the counts. */
export function printVerified(
  promises: readonly Promised[],
  probes: readonly ProbeReport[],
  { color, width }: VerifyTextOptions,
): string {
  const colors = paint(color);
  if (promises.length === 0) return 'Nothing is promised: no PortForward and no Tunnel is declared.\n';
  const resources = [...new Set(promises.map(({ resource }) => resource))];
  const blocks = resources.map((resource) => {
    const own = promises.filter((each) => each.resource === resource);
    // The first walk shows where; others mostly end there too.
    const shown = own.find(({ holds }) => holds === false);
    return [colors.strong(resource), ...own.flatMap((each) => printPromised(each, each === shown, colors, width))];
  });
  const probed = probes.length === 0 ? [] : [['', ...printProbes(probes, colors)]];
  return `${[...blocks, ...probed, ['', printCounts(promises)]].flat().join('\n')}\n`;
}

function printPromised(
  { promise, holds, reason, except = [], trace }: Promised,
  isWalked: boolean,
  colors: Paint,
  width?: number,
): readonly string[] {
  const others = except.length > SHOWN ? [`and ${except.length - SHOWN} kinds of clients more`] : [];
  const refused = [...except.slice(0, SHOWN), ...others].map((each) => colors.changed(`    not for ${each}`));
  if (holds === true) return [`  ${colors.added('✓')} ${promise}`, ...refused];
  const paintIt = holds === false ? colors.removed : colors.changed;
  const word = holds === false ? 'does not hold' : 'undecided';
  const walk = trace === undefined || !isWalked ? [] : printTrace(trace, colors, width && width - WALK.length);
  const fix = trace?.reply?.fix ?? trace?.fix;
  return [
    `  ${paintIt(holds === false ? '✗' : '?')} ${promise}: ${paintIt(reason === undefined ? word : `${word}: ${reason}`)}`,
    ...refused,
    ...walk.map((line) => `${WALK}${line}`.trimEnd()),
    ...(walk.length === 0 ? [] : ['']),
    ...(fix === undefined || !isWalked ? [] : [colors.strong(`${WALK}Fix: ${fix}`), '']),
  ];
}

const WALK = '    ';

function printProbes(probes: readonly ProbeReport[], colors: Paint): readonly string[] {
  const wrong = probes.filter(({ agrees }) => agrees === false);
  const open = probes.filter(({ agrees }) => agrees === 'undecided');
  const line = ({ resource, from, to, predicted, seen }: ProbeReport): string =>
    `  ${resource}: ${to}${from === null ? '' : ` from ${from}`}: ${seen}, predicted ${predicted}`;
  const parts = [
    `${probes.length - wrong.length - open.length} of ${probes.length} as predicted`,
    ...(wrong.length === 0 ? [] : [`${wrong.length} otherwise`]),
    ...(open.length === 0 ? [] : [`${open.length} tell nothing`]),
  ];
  return [
    `Probed: ${parts.join(', ')}`,
    ...wrong.slice(0, SHOWN).map((each) => colors.removed(line(each))),
    ...open.slice(0, SHOWN).map((each) => colors.changed(line(each))),
  ];
}

/** Of each kind; -o json has all. */
const SHOWN = 10;

function printCounts(promises: readonly Promised[]): string {
  const broken = promises.filter(({ holds }) => holds === false).length;
  const open = promises.filter(({ holds }) => holds === 'undecided').length;
  const kept = promises.length - broken - open;
  return [
    `${kept} ${kept === 1 ? 'promise holds' : 'promises hold'}`,
    ...(broken === 0 ? [] : [`${broken} ${broken === 1 ? 'does' : 'do'} not`]),
    ...(open === 0 ? [] : [`${open} undecided`]),
  ].join(', ');
}
