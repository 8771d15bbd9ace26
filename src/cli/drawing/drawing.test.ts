import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reportTrace } from '../../simulate/index.ts';
import { tellVerdict } from '../trace-verdict.ts';
import { type DrawingFormat, drawTraces } from './index.ts';
import { type Layout, layOut } from './layout.ts';
import { breakText, columnsOf, escapeText } from './markup.ts';
import type { Box } from './measure.ts';
import { sceneOf } from './stage.ts';
import { CASES, type Drawable, HOSTILE } from './testdata/drawn.ts';
import { type Element, readMarkup } from './testdata/well-formed.ts';

const caseOf = (name: string): Drawable => {
  const make = CASES[name];
  if (make === undefined) throw new TypeError(name);
  return make();
};
/** What a reader of the drawing sees of a text. */
const shown = (text: string): string => readMarkup(`<t>${escapeText(text)}</t>`)[0]?.text ?? '';

/** HTML's elements without an end tag are written as XML would have them. */
const elementsOf = (format: DrawingFormat, drawing: string): readonly Element[] =>
  readMarkup(
    format === 'svg' ? drawing : drawing.replace(/^<!doctype html>\n/, '').replace(/<(meta|br)\b([^>]*)>/g, '<$1$2/>'),
  );
const withClass = (elements: readonly Element[], name: string): readonly Element[] =>
  elements.filter(({ attributes }) => attributes.get('class')?.split(' ').includes(name));

for (const [name, make] of Object.entries(CASES))
  for (const format of ['svg', 'html'] as const)
    test(`${format}, ${name}: well-formed, the same again, with each host of the trace, its verdict and its fix`, () => {
      const drawable = make();
      const drawing = drawTraces(format, drawable);
      const elements = elementsOf(format, drawing);
      expect(drawTraces(format, make())).toBe(drawing);
      // Lines are broken where they must be.
      const text = elements[0]?.text.replace(/\s+/g, '') ?? '';
      for (const trace of drawable.traces) {
        const report = reportTrace(trace);
        const { sentence, fix } = tellVerdict(report);
        for (const { host } of [...report.hops, ...(report.reply?.hops ?? [])])
          expect(text).toContain(shown(host).replace(/\s+/g, ''));
        for (const each of [sentence, fix ?? '']) expect(text).toContain(shown(each).replace(/\s+/g, ''));
      }
      const pictures = elements.filter(({ attributes }) => attributes.has('aria-labelledby'));
      expect(pictures.length).toBe(format === 'svg' ? 1 : drawable.traces.length);
      const ids = new Set(elements.flatMap(({ attributes }) => attributes.get('id') ?? []));
      for (const { attributes } of pictures) {
        expect(attributes.get('role')).toBe('img');
        for (const id of attributes.get('aria-labelledby')?.split(' ') ?? []) expect(ids).toContain(id);
      }
    });

for (const [name, word, host, times] of [
  ['over a tunnel and back', 'arrives', 'node', 2],
  ['dropped by a firewall', 'dies here', 'node', 1],
  ['to a host that nobody could look at', 'not known from here', 'node', 1],
  ['back by another way', 'leaves the known network', '192.0.2.7', 1],
  // The packet where the 64th router has it, and what tells of it.
  ['in a ring', 'dies here', 'node', 2],
  ['without a route', 'dies here', 'node', 1],
  ['in a ring through one host', 'dies here', 'edge', 2],
  // In the tunnel, and where what carries it ends.
  ['by a tunnel whose own packets die', 'dies here', 'a2', 2],
  ['into a link that is down', 'leaves the known network', 'The Internet', 1],
] as const)
  test(`${name}: "${word}" stands at ${host}, by a word and a sign`, () => {
    const elements = readMarkup(drawTraces('svg', caseOf(name)));
    const marked = withClass(elements, 'word').filter(({ text }) => text === word);
    expect(marked.length).toBe(times);
    const places = [...withClass(elements, 'host'), ...withClass(elements, 'outside')];
    const there = places.find(({ text }) => text.startsWith(host));
    expect(there?.text).toContain(word);
    expect(withClass(elements, 'sign').length).toBeGreaterThanOrEqual(times);
  });

test('stretches are numbered along the packet and on along its answer, with the packet as it is there', () => {
  const { network, flow, traces } = caseOf('through five hosts and back by others');
  const [trace] = traces;
  if (trace === undefined) throw new TypeError('no trace');
  const told = sceneOf(network, flow, trace).steps.map(({ number, direction, from, to }) => {
    const name = (plug: typeof to): string =>
      plug?.spot.kind === 'host' ? `${plug.spot.host} ${plug.link}` : 'elsewhere';
    return `${number} ${direction}: ${name(from)} - ${name(to)}`;
  });
  expect(told).toEqual([
    '1 request: client eth0 - first-gateway a',
    '2 request: first-gateway b - second-gateway a',
    '3 request: second-gateway b - server eth0',
    '4 answer: server eth1 - third-gateway a',
    '5 answer: third-gateway b - client eth0',
  ]);
});

test('a ring is drawn once, with its numbers, and so is that of what tells of it', () => {
  const elements = readMarkup(drawTraces('svg', caseOf('in a ring')));
  expect(withClass(elements, 'number').map(({ text }) => text)).toContain('2, 4, 6…');
  expect(withClass(elements, 'card').length).toBe(5);
});

test('a tunnel is drawn and named, and hosts off the way are faint or named below', () => {
  expect(drawTraces('svg', caseOf('over a tunnel and back'))).toContain('>WireGuard tunnel<');
  expect(
    withClass(readMarkup(drawTraces('svg', caseOf('into a link that is down'))), 'idle').map(({ text }) => text),
  ).toContain('node');
  expect(drawTraces('svg', caseOf('by chance'))).toContain('>Off its way, not drawn: one, two<');
});

describe('what comes from hosts stays text', () => {
  for (const format of ['svg', 'html'] as const)
    test(format, () => {
      const drawing = drawTraces(format, caseOf('dropped by hostile words'));
      const elements = elementsOf(format, drawing);
      expect(elements.some(({ name }) => name === 'script')).toBe(false);
      expect(drawing).not.toMatch(/<script|<!--|&'|\u202e/);
      expect(elements[0]?.text).toContain('<script>alert("x")</script>');
      // No attribute but the drawing's own.
      const names = new Set(elements.flatMap(({ attributes }) => [...attributes.keys()]));
      expect([...names].filter((each) => /^on|href|src/.test(each))).toEqual([]);
    });

  test('whatever it is', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const [element] = readMarkup(`<t a="${escapeText(text)}">${escapeText(text)}</t>`);
        expect(element?.attributes.get('a')).toBe(element?.text);
        if (/^[\p{L}\p{N}<>&"' ]*$/u.test(text)) expect(element?.text).toBe(text);
      }),
    ));

  test('a host may be named by anything', () =>
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 80 }), (host) => {
        const drawable = caseOf('dropped by a firewall');
        const text = (value: unknown): string => JSON.stringify(value);
        const [trace] = drawable.traces;
        if (trace === undefined) throw new TypeError('no trace');
        const { request } = trace;
        const rename = (name: string): string => (name === 'node' ? host : name);
        const renamed = {
          ...trace,
          request: {
            ...request,
            hops: request.hops.map((hop) => ({ ...hop, host: rename(hop.host), decidedBy: host })),
            crossings: request.crossings.map((each) => ({
              ...each,
              ...(each.to && { to: { ...each.to, host: rename(each.to.host) } }),
            })),
            reason: text(host),
          },
        };
        for (const format of ['svg', 'html'] as const)
          elementsOf(format, drawTraces(format, { ...drawable, traces: [renamed] }));
      }),
      { numRuns: 40 },
    ));
});

test('the page needs nothing else: no script, nothing to fetch, every way and every decider', () => {
  const drawable = caseOf('by chance');
  const page = drawTraces('html', drawable);
  expect(page).not.toMatch(/<script|<link|<img|@import|url\(|https?:/);
  expect(page).toContain("default-src 'none'");
  expect(page).toContain('prefers-color-scheme: dark');
  expect(page).toContain('width=device-width');
  const text = elementsOf('html', page)[0]?.text ?? '';
  expect(text.match(/Way \d of 3, by chance/g)).toEqual(
    ['Way 1', 'Way 2', 'Way 3'].map((way) => `${way} of 3, by chance`),
  );
  expect(text).toContain('1 of 3 ways work.');
  for (const { hops } of drawable.traces.map(reportTrace))
    for (const { detail, stage } of hops) {
      expect(text).toContain(detail);
      expect(text).toContain(stage);
    }
  expect(text).toContain('inet guard input: tcp dport 80 drop');
});

test('the page is of one way: the end of the walk is marked', () => {
  const ends = withClass(elementsOf('html', drawTraces('html', caseOf('dropped by a firewall'))), 'end');
  expect(ends.map(({ name, text }) => [name, text.replace(/\s+/g, ' ')])).toEqual([
    ['li', 'input dies here droppedinet guard input: tcp dport 80 drop comment "only from the office"'],
  ]);
});

const overlap = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const isIn = (box: Box, { width, height }: Layout): boolean =>
  box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;

for (const [name, make] of Object.entries(CASES))
  test(`${name}: nothing covers another, and texts fit their boxes`, () => {
    const { network, flow, traces } = make();
    for (const trace of traces) {
      const layout = layOut(sceneOf(network, flow, trace));
      const boxes = [
        ...layout.places.map(({ box }) => box),
        ...layout.media.filter(({ cards }) => cards.length > 0).map(({ box }) => box),
      ];
      for (const [index, box] of boxes.entries()) {
        expect(isIn(box, layout)).toBe(true);
        for (const other of boxes.slice(index + 1)) expect(overlap(box, other)).toBe(false);
      }
      for (const [index, { box }] of layout.chips.entries())
        for (const other of layout.chips.slice(index + 1)) expect(overlap(box, other.box)).toBe(false);
      for (const { box, rows, names, notes } of layout.places)
        for (const row of rows) {
          expect(row.box.y).toBeGreaterThan(box.y + 34 + (names.length - 1) * 20 + notes.length * 17);
          expect(row.box.y + row.box.height).toBeLessThanOrEqual(box.y + box.height);
          for (const line of row.lines) expect(columnsOf(line) * 7.6).toBeLessThanOrEqual(row.box.width);
        }
    }
  });

test('text breaks at spaces, else where it must', () => {
  expect(breakText('a rule that drops', 8)).toEqual(['a rule', 'that', 'drops']);
  expect(breakText('0123456789abc d', 8)).toEqual(['01234567', '89abc d']);
  expect(breakText('one two three four', 5, 2)).toEqual(['one', 'two…']);
  expect(breakText('網絡網絡', 4)).toEqual(['網絡', '網絡']);
  expect(HOSTILE.length).toBeGreaterThan(columnsOf(breakText(HOSTILE, 20)[0] ?? ''));
});
