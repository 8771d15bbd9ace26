import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DAEMON_FILES, FILE_MARK, INIT_SCRIPTS } from './index.ts';

const golden = (name: string): string => readFileSync(new URL(`testdata/${name}`, import.meta.url), 'utf8');

for (const [init, file] of [
  ['OpenRC', 'boot.openrc'],
  ['procd', 'boot.procd'],
] as const)
  test(`what ${init} runs at a boot is this text, and a shell can read it`, () => {
    const text = INIT_SCRIPTS[init];
    expect(text).toBe(golden(file));
    expect(() => execFileSync('sh', ['-n'], { input: text })).not.toThrow();
  });

test('every file says in its first line whose it is, and ends its last', () => {
  for (const { content } of DAEMON_FILES) expect(content).toMatch(new RegExp(`^${FILE_MARK}\\n[^]*\\n$`));
});

test('the units are these', () => {
  const units = DAEMON_FILES.filter(({ daemon }) => daemon === 'systemd');
  expect(units.map(({ path, content }) => `==> ${path}\n${content}`).join('')).toBe(golden('boot.systemd'));
});
