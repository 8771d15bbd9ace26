import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { readFastYaml } from './fast-yaml.ts';
import { readSlowYaml } from './slow-yaml.ts';

const example = readFileSync(new URL('testdata/slim-edge.yaml', import.meta.url), 'utf8');

/** Whenever the fast reader answers, the `yaml` package must answer the same, with nothing to complain of. */
function expectSame(text: string): 'fast' | 'slow' {
  const fast = readFastYaml(text);
  if (fast === undefined) return 'slow';
  const documents = readSlowYaml(text);
  expect(
    documents.flatMap(({ problems }) => problems),
    text,
  ).toEqual([]);
  expect(documents.length, text).toBeLessThan(2);
  expect(fast.data, text).toStrictEqual(documents[0]?.data ?? null);
  return 'fast';
}

const scalars = fc.oneof(
  fc.constantFrom(
    'TCP',
    'UDP',
    '10.0.0.1/24',
    '2001:db8::1',
    '::/0',
    '198.51.100.10:51820',
    '30000-30100',
    'edge-node',
  ),
  fc.constantFrom(
    'yes',
    'no',
    'on',
    'y',
    'null',
    '~',
    'true',
    '010',
    '0x10',
    '1e3',
    '.5',
    '+.5',
    '1_0',
    '-',
    '-1',
    '<<',
    '',
    ' ',
  ),
  fc.constantFrom(
    'a: b',
    'a #b',
    '#a',
    'a:',
    ':a',
    "it's",
    'say "x"',
    '[a',
    '{a',
    'a,b',
    '*a',
    '&a',
    '!a',
    '|',
    '>',
    '%',
    '@',
    '`',
  ),
  fc.string(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
);
const keys = fc.oneof(
  fc.constantFrom('host', 'via', 'ports', 'spec', '10.0.0.5', 'a b', '80', 'on', '__proto__', '<<', 'x:y'),
  fc.string(),
);
const { data } = fc.letrec((tie) => ({
  data: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalars, tie('list'), tie('map')),
  list: fc.array(tie('data'), { maxLength: 4 }),
  map: fc.dictionary(keys, tie('data'), { maxKeys: 4 }),
}));

const styles = fc.record({
  indent: fc.integer({ min: 1, max: 4 }),
  indentSeq: fc.boolean(),
  lineWidth: fc.constantFrom(0, 20, 80),
  collectionStyle: fc.constantFrom('any', 'block', 'flow'),
  defaultStringType: fc.constantFrom('PLAIN', 'QUOTE_SINGLE', 'QUOTE_DOUBLE'),
  defaultKeyType: fc.constantFrom('PLAIN', 'QUOTE_SINGLE', null),
  flowCollectionPadding: fc.boolean(),
} as const);

test('both readers agree on documents in every style', () => {
  fc.assert(
    fc.property(data, styles, (document, style) => {
      expectSame(stringify(document, style));
    }),
    { numRuns: 2_000 },
  );
});

const pieces = [
  '',
  ' ',
  '  ',
  '\n',
  '\n ',
  '- ',
  '-',
  ':',
  ': ',
  ' #',
  '#',
  ',',
  '[',
  ']',
  '{',
  '}',
  '"',
  "'",
  '|',
  '&a ',
  '*a',
  '? ',
  '!',
  '---',
  '\n---\n',
  '...',
  '~',
  '0',
  '.',
  '<<: ',
  '\t',
  '\r',
];

/** A text with a few bytes replaced, as a slip of the hand or an editor leaves it. */
const mutated = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(...example.split('---\n')),
      fc.tuple(data, styles).map(([document, style]) => stringify(document, style)),
    ),
    fc.array(fc.record({ at: fc.nat(), cut: fc.integer({ min: 0, max: 3 }), put: fc.constantFrom(...pieces) }), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([text, edits]) =>
    edits.reduce((edited, { at, cut, put }) => {
      const place = at % (edited.length + 1);
      return edited.slice(0, place) + put + edited.slice(place + cut);
    }, text),
  );

test('both readers agree on texts with slips in them', () => {
  let fast = 0;
  fc.assert(
    fc.property(mutated, (text) => {
      if (expectSame(text) === 'fast') fast++;
    }),
    { numRuns: 10_000 },
  );
  // Were the fast reader to give up always, it would agree always.
  expect(fast).toBeGreaterThan(500);
});

test('both readers agree on what people write', () => {
  for (const text of [
    'a: 1 # one\nb:\n- x\n-   p: 1\n    q: 2\n-\n  - 1\n- - 2\n  - 3\nc:\n',
    '# only a comment\n',
    '---   # a mark\na: {b: [1, 2,], "c":d, e: "f, g"}\n',
    'a: [1,\n  2, # two\n  3]\nb: {\n  c: d,\n  e: f\n }\n',
    "a: 'it''s'\n\"b c\": \"d # e\"\n'f' : g\n",
    'a: 10.0.0.1/24\nb: fd90::1/64\nc: 30000-30100\nd: 1.2.3.4:80\ne: http://x/y?z#k\n',
    'deep:\n  - name: a\n    list:\n    - b\n    - c: d\n  - name: e\nnext: 1\n',
    '- a: 1\n  b: 2\n\n\n-\n- {}\n- []\n',
  ]) {
    expect(expectSame(text), text).toBe('fast');
  }
});

test('the plain subset covers the example', () => {
  for (const document of example.split(/^(?=---\n)/m)) expect(expectSame(document)).toBe('fast');
});

test('what needs judgement is left to the other reader', () => {
  for (const text of [
    'a: yes\n',
    'on: 1\n',
    'a: 010\n',
    'a: 0x10\n',
    'a: 1.5\n',
    'a: 1_0\n',
    'a: &x 1\nb: *x\n',
    'a: |\n  x\n',
    'a: !!str 1\n',
    'a: b\n  c\n',
    'a: "b\n  c"\n',
    'a: "\\u0041"\n',
    'a:\tb\n',
    'a: b\r\n',
    'a: 1\na: 2\n',
    '__proto__: 1\n',
    '<<: 1\n',
    '? a\n: b\n',
    'a: b: c\n',
    'a: [1, 2\n',
    'a: {b}\n',
    'a\n',
    '%YAML 1.1\n---\na: 1\n',
    'a: "b" c\n',
    `${'['.repeat(100)}${']'.repeat(100)}`,
  ]) {
    expect(readFastYaml(text), text).toBeUndefined();
  }
});
