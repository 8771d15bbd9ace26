/** The gate of this version, and what the client must know of it. */
import { createHash } from 'node:crypto';
import { APPLY_SCRIPTS, undoText } from '../../apply/index.ts';
import {
  LINUX_SCRIPTS,
  OBSERVED_SYSCTLS,
  observedCommands,
  PROBE,
  restoreFrame,
  watchCommand,
} from '../../drivers/index.ts';
import { DAEMON_FILES, FILE_MARK, RECORD_FORMAT, undoScript } from '../../host/index.ts';
import { SALLYPORT_PROTOCOL } from '../../routing/index.ts';
import { encodeGateWord, type GateWords, TRANSPORT_SCRIPTS } from '../../transport/index.ts';
import { LOOK_COMMANDS } from '../../verify/index.ts';
import { FIND_SETTINGS, SETTINGS_COMMAND } from '../causes.ts';
import { CLUES_COMMAND, FIND_CLUES } from '../drift/clues.ts';
import { ASK, PERL } from '../run/probe-script.ts';
import { SIGHT_COMMANDS } from '../sightings.ts';
import { sallyportVersion } from '../version.ts';
import { CHECK } from './check.ts';
import { CHECK_TEXTS } from './check-texts.ts';
import { FORMS, NFT_WORDS } from './forms.ts';
import { GATE_PATH, gateShell } from './shell.ts';

/** A host's own network, and another one: states lie elsewhere there, and the texts differ. */
const MACHINE = '/etc/sallyport';
const INODE = '4026531999';
const NAMESPACE = `/run/sallyport/netns/${INODE}`;

/** The groups of this login alone: each begins with a gate. */
const END_GATE = `
[ "$(tr '\\0' ' ' <"/proc/$1/cmdline")" = '/bin/sh ${GATE_PATH} within ' ] || exit 0
${TRANSPORT_SCRIPTS.END_GROUP}`;

const looks = LOOK_COMMANDS.flatMap(([program, flag, text], index) =>
  program === 'sh' && flag === '-c' && text !== undefined ? [[`LOOK_${index}`, text] as const] : [],
);

/** Every text that a gate has, by name. */
export const GATE_SCRIPTS: ReadonlyMap<string, string> = new Map([
  ...Object.entries({ ...TRANSPORT_SCRIPTS, ...APPLY_SCRIPTS, ...LINUX_SCRIPTS, ASK, FIND_CLUES, FIND_SETTINGS }),
  ...looks,
]);

const names: ReadonlyMap<string, string> = new Map([...GATE_SCRIPTS].map(([name, text]) => [text, name]));

/** Commands that never vary but for the state folder. */
function exactForms(): readonly string[] {
  const asked = [
    ...observedCommands(MACHINE),
    PROBE,
    ['stat', '-L', '-c', '%i', '/proc/self/ns/net', '/proc/1/ns/net'],
    SETTINGS_COMMAND,
    CLUES_COMMAND(MACHINE),
    ...SIGHT_COMMANDS,
    ...LOOK_COMMANDS,
  ];
  return [...asked.map((argv) => `r - ${printExact(argv)}`), `f * ${printExact(watchCommand())}`];
}

const printExact = (argv: readonly string[]): string =>
  argv
    .map((word, index) => {
      if (word === MACHINE || word.startsWith(`${MACHINE}/`)) return `=/${encodeGateWord(word.slice(MACHINE.length))}`;
      const name = argv[index - 1] === '-c' ? names.get(word) : undefined;
      return name === undefined ? encodeGateWord(word) : `@${name}`;
    })
    .join(' ');

/** What is the same in each text that root runs later, with marks where it is not. */
function texts(stateFolder: string): Readonly<Record<string, string>> {
  const token = '00000000-1111-4222-8333-444444444444';
  const folder = `${stateFolder}/pending`;
  const step = { step: 1, commands: [{ argv: ['SAMPLE'] }] };
  const pending = (wipes: boolean): readonly string[] => {
    const undo = { steps: [step], files: [], count: 1 };
    const text = undoText({ folder, token, windowMs: 1_234_567_890, undo, wipes, hasOwnMounts: false })
      .replaceAll(token, '@TOKEN@')
      .replaceAll('123456789', '@WINDOW@');
    return text.split(/n=1\nif .*\nback 'SAMPLE' <\/dev\/null\nfi\n/);
  };
  const numbers = { mark: { value: 1, mask: 1 }, suppressPriority: 1, tunnels: new Map() };
  const record = {
    format: RECORD_FORMAT,
    version: sallyportVersion(),
    sets: new Map(),
    numbers,
    sysctlsBefore: new Map([['SAMPLE', '']]),
  };
  const [undoHead = '', undoTail = ''] = undoScript(record, stateFolder).split("try put 'SAMPLE' ''\n");
  const restore = restoreFrame(stateFolder, undefined);
  const [head = '', tail = ''] = pending(false);
  return {
    'pending-head': head,
    'pending-tail': tail,
    'pending-tail-wipes': pending(true)[1] ?? '',
    'undo-head': undoHead,
    'undo-tail': undoTail,
    'restore-head': restore.head,
    'restore-tail': restore.tail,
  };
}

function data(): readonly string[] {
  const named = (kind: string, stateFolder: string): readonly string[] =>
    Object.entries(texts(stateFolder)).map(
      ([name, text]) => `text ${name}.${kind} ${encodeGateWord(text.replaceAll(INODE, '@INODE@'))}`,
    );
  const kinds = new Map([
    ['<daemonmark>', encodeGateWord(FILE_MARK)],
    ['<prober>', encodeGateWord(PERL)],
  ]);
  const forms = [...FORMS, ...exactForms()].map((form) =>
    form
      .split(' ')
      .map((word) => kinds.get(word) ?? word)
      .join(' '),
  );
  return [
    ...[...GATE_SCRIPTS].map(
      ([name, text]) => `script ${name} ${encodeGateWord(name === 'END_GROUP' ? END_GATE : text)}`,
    ),
    ...named('machine', MACHINE),
    ...named('namespace', NAMESPACE),
    ...OBSERVED_SYSCTLS.map((path) => `sysctl ${path}`),
    `word ${NFT_WORDS}`,
    ...DAEMON_FILES.map(({ path, content }) => `daemon ${encodeGateWord(path)} ${encodeGateWord(content)}`),
    ...[...new Set(forms)].map((form) => `form ${form}`),
  ];
}

/** The text of the gate, and what is told to it. */
export interface Gate {
  readonly text: string;
  readonly words: GateWords;
}

let made: Gate | undefined;

/** Always the same one of a version: its sum is what the client and the gate know each other by. */
export function gate(): Gate {
  if (made !== undefined) return made;
  const judge = `${CHECK}${CHECK_TEXTS}`.replaceAll('@PROTOCOL@', String(SALLYPORT_PROTOCOL));
  const lines = data().map((line) => `#: ${line}\n`);
  const printed = (sum: string): string => `${gateShell(sallyportVersion(), sum, judge)}${lines.join('')}`;
  const sum = createHash('sha256').update(printed('')).digest('hex').slice(0, 32);
  made = { text: printed(sum), words: { sum, names } };
  return made;
}
