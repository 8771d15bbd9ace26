import { describe, expect, test } from 'vitest';
import { slimEdge } from '../lab/index.ts';
import { paint } from './color.ts';
import type { PromiseReport } from './plan-report.ts';
import { printProof, requirePromises } from './proof.ts';
import { documents, startStory } from './testdata/story.ts';

const promise = (holds: PromiseReport['holds'], name = 'reachable', reason?: string): PromiseReport => ({
  resource: 'PortForward/web',
  promise: name,
  holds,
  ...(reason !== undefined && { reason }),
});

describe('what may be carried out', () => {
  const broken = promise(false, 'answers', 'edge: rp_filter');
  const open = promise('undecided', 'client kept');
  for (const [what, promises, flags, refused] of [
    ['all hold', [promise(true)], {}, undefined],
    ['one is undecided', [promise(true), open], {}, undefined],
    [
      'one is undecided and proof is required',
      [open],
      { requireProof: true },
      /PortForward\/web: client kept: undecided/,
    ],
    [
      'one does not hold',
      [promise(true), broken],
      {},
      /nothing was changed: a promise does not hold\n {2}PortForward\/web: answers: does not hold: edge: rp_filter/,
    ],
    ['the one that does not hold is accepted', [broken], { accept: ['PortForward/web: answers'] }, undefined],
    ['its resource is accepted', [broken, broken], { accept: ['PortForward/web'] }, undefined],
    ['another is accepted', [broken], { accept: ['PortForward/mail'] }, /does not hold/],
  ] as const)
    test(what, () => {
      const judge = (): void => requirePromises(promises, flags);
      if (refused === undefined) expect(judge).not.toThrow();
      else expect(judge).toThrow(refused);
    });
});

test('the proof in a line, with what is not proven below', () => {
  const text = printProof(
    [promise(true), promise(true), promise('undecided', 'client kept', 'a rule is not modelled')],
    paint(false),
  );
  expect(text).toBe(
    'Simulated: 2 promises hold, 1 undecided\n  PortForward/web: client kept: undecided: a rule is not modelled\n',
  );
  expect(printProof([], paint(false))).toBe('');
});

test('a plan that a rule of somebody else would break, where no accept can stand, is refused with that rule, changes nothing, and is carried out once accepted', async () => {
  await using story = await startStory(slimEdge(), async (lab) => {
    await lab.host('edge').run(['nft', '-f', '-'], {
      stdin:
        'table inet theirs { chain late { type filter hook postrouting priority 0; policy accept; tcp dport 8080 drop; }\n}\n',
    });
  });
  const text = documents();
  const before = await story.lab.dump('edge');
  const refused = await story.sallyport(['apply', '--yes', '-f', '-'], text);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/nothing was changed: .*not hold/);
  expect(refused.stderr).toMatch(/8080 drop/);
  expect(await story.lab.dump('edge')).toBe(before);
  const planned = await story.sallyport(['plan', '-o', 'json', '-f', '-'], text);
  expect(planned.status).toBe(1);
  const { promises } = JSON.parse(planned.stdout);
  expect(promises.some(({ holds, trace }: PromiseReport) => holds === false && trace !== undefined)).toBe(true);
  const accepted = await story.sallyport(['apply', '--yes', '--accept', 'PortForward/services', '-f', '-'], text);
  expect(accepted, accepted.stderr).toMatchObject({ status: 0 });
  await story.destroy(text);
});
