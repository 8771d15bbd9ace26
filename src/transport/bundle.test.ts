/** A bundle is written by the script on a real shell, and read back; what was cut off or damaged is never believed. */
import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { BUNDLED_STATE, BundleError, bundleTransport, collectScript, readBundle, script } from './index.ts';

const CUT = 'echo half; exit 124';

const COMMANDS: readonly (readonly string[])[] = [
  ['echo', 'with  spaces', "it's", '$HOME `x` \\ "q" *'],
  script('printf "no newline"; echo problem >&2; exit 3', 'a\nb'),
  script('printf "line\\n\\nline\\n\\377\\000\\n"'),
  ['there-is-no-such-program', '-j'],
  script(CUT),
  script('printf %s "$1"', `${BUNDLED_STATE}/record.json`),
  ['echo', `x${BUNDLED_STATE}/record.json`],
];
const SCRIPT = collectScript('1.2.3', COMMANDS, 'for n in one two; do more echo "named here" "$n"; done');

const SHELLS = [['dash'], ['busybox', 'sh']] as const;

function collect([shell = '', ...before]: readonly string[], text = SCRIPT): Buffer {
  return execFileSync(shell, [...before, '-s'], { input: text, stdio: ['pipe', 'pipe', 'ignore'] });
}

describe.each(SHELLS.map((shell) => [shell.join(' '), shell] as const))('%s', (_, shell) => {
  test('finds no fault in the script', () => {
    const [program = '', ...before] = shell;
    expect(spawnSync(program, [...before, '-n'], { input: SCRIPT, encoding: 'utf8' })).toMatchObject({
      ...{ status: 0, stderr: '' },
    });
  });

  test('writes what each command said, and how it ended', async () => {
    const bundle = readBundle('b', collect(shell));
    expect(bundle).toMatchObject({ file: 'b', version: '1.2.3' });
    const transport = bundleTransport('far', bundle);
    const state = await transport.stateFolder();
    const asked = COMMANDS.filter((argv) => argv[2] !== CUT).map((argv) => ({
      argv: argv.map((word) => (word.startsWith(`${BUNDLED_STATE}/`) ? word.replace(BUNDLED_STATE, state) : word)),
    }));
    expect(await transport.runAll(asked)).toEqual([
      { status: 0, stderr: '', stdout: `with  spaces it's $HOME \`x\` \\ "q" *\n` },
      { status: 3, stderr: 'problem\n', stdout: 'no newline' },
      { status: 0, stderr: '', stdout: 'line\n\nline\n\ufffd\0\n' },
      { status: 127, stdout: '', stderr: expect.stringContaining('there-is-no-such-program') },
      { status: 0, stderr: '', stdout: `${state}/record.json` },
      { status: 0, stderr: '', stdout: `x${BUNDLED_STATE}/record.json\n` },
    ]);
    expect(await transport.run({ argv: ['echo', 'named here', 'two'] })).toMatchObject({ stdout: 'named here two\n' });
  });
});

describe('what was not collected is not known', () => {
  const open = () => bundleTransport('far', readBundle('far.bundle', collect(['dash'])));
  const words = 'far: not in the bundle: ip -j link (far.bundle, collected by sallyport 1.2.3)';
  test('a command', () => expect(open().run({ argv: ['ip', '-j', 'link'] })).rejects.toThrow(words));
  test('one among others', () =>
    expect(open().runAll([{ argv: COMMANDS[0] ?? [] }, { argv: ['ip', '-j', 'link'] }])).rejects.toThrow(words));
  test('one with stdin', () =>
    expect(open().run({ argv: COMMANDS[0] ?? [], stdin: 'x' })).rejects.toThrow('not in the bundle'));
  test('one that was cut short', () =>
    expect(open().run({ argv: script(CUT) })).rejects.toThrow('(echo half; exit 124) did not end in time'));
  test('a file', () => expect(open().readFile('/etc/hosts')).rejects.toThrow('not in the bundle: /etc/hosts'));
  test('and nothing is written', () =>
    expect(open().writeFile('/x', '', 0o600)).rejects.toThrow('/x cannot be changed: a bundle is only read'));
});

describe('damage', () => {
  let whole: Buffer;
  beforeAll(() => {
    whole = collect(['dash']);
  });
  const read = (bytes: Uint8Array) => () => readBundle('b', bytes);
  /** What it throws, which names the file and a line that is there, or the one behind the last. */
  const expectRefused = (bytes: Buffer): void => {
    expect(read(bytes)).toThrow(BundleError);
    expect(read(bytes)).toThrow(/^b:\d+: \S/);
    try {
      readBundle('b', bytes);
    } catch (error) {
      const line = Number(/^b:(\d+):/.exec(String((error as Error).message))?.[1]);
      expect(line).toBeLessThanOrEqual(bytes.toString('latin1').split('\n').length);
      expect(line).toBeGreaterThan(0);
    }
  };

  test('cut off anywhere', () => {
    for (let length = 0; length < whole.length; length++) expectRefused(whole.subarray(0, length));
  });
  test('one byte changed anywhere', () =>
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ by;
        expectRefused(bytes);
      }),
      { numRuns: 500 },
    ));
  test('a piece lost, doubled, or put in', () =>
    fc.assert(
      fc.property(
        fc.nat({ max: whole.length - 1 }),
        fc.integer({ min: 1, max: 400 }),
        fc.constantFrom('lost', 'doubled'),
        fc.uint8Array({ minLength: 1, maxLength: 20 }),
        (at, length, kind, put) => {
          const piece = whole.subarray(at, at + length);
          const rest = whole.subarray(at + piece.length);
          expectRefused(Buffer.concat([whole.subarray(0, at), ...(kind === 'lost' ? [] : [piece, piece]), rest]));
          expectRefused(Buffer.concat([whole.subarray(0, at), put, whole.subarray(at)]));
        },
      ),
      { numRuns: 300 },
    ));
  test('a whole output lost', () => {
    const text = whole.toString('latin1');
    const [first = 0, second = 0] = [...text.matchAll(/^output /gm)].map(({ index }) => index);
    expect(read(Buffer.from(text.slice(0, first) + text.slice(second), 'latin1'))).toThrow(
      /says 9 outputs, and there are 8$/,
    );
  });
  test('anything at all', () =>
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => expectRefused(Buffer.from(bytes)))));

  for (const [name, change, words] of [
    [
      'ends of line',
      (text: string) => text.replaceAll('\n', '\r\n'),
      'b:1: its ends of line were changed on the way: copy the file as binary',
    ],
    [
      'another format',
      (text: string) => text.replace('bundle 1', 'bundle 2'),
      'b:1: the bundle is of format 2, and this Sallyport reads 1',
    ],
    ['another file', () => 'kind: Host\n', 'b:1: this is no bundle: it does not begin with "sallyport-bundle"'],
    ['an empty file', () => '', 'b:1: the bundle is cut off here: collect it again, or copy the whole file'],
    [
      'an output',
      (text: string) => text.replace('with  spaces', 'with  Spaces'),
      `b:6: damaged: what "echo with spaces it's $HOME \`x\` \\ "q" *" said does not match its checksum`,
    ],
    [
      'the host',
      (text: string) => text.replace(/^host /m, 'host x'),
      'damaged: something above does not match its checksum',
    ],
  ] as const)
    test(name, () => {
      const changed = Buffer.from(change(whole.toString('latin1')), 'latin1');
      expect(changed.equals(whole)).toBe(false);
      expect(read(changed)).toThrow(words);
    });
});
