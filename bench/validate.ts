/** How long `validate` takes, and its memory, beside the yaml package that reads the same text and does nothing with it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { makeFolder, manyForwards } from './documents.ts';
import { atMost, inTurns, type Line, median, readPeak, TELL_PEAK } from './measure.ts';

const run = promisify(execFile);

const YAML_ALONE = `
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from ${JSON.stringify(import.meta.resolve('yaml'))};
for (const document of parseAllDocuments(readFileSync(process.argv[1], 'utf8'))) document.toJS();`;

export async function measureValidate(sallyport: string, count: number, rounds: number): Promise<readonly Line[]> {
  await using folder = await makeFolder();
  const file = await folder.write('forwards.yaml', manyForwards(count - 1)); // and the Host
  const peaks = new Map<string, number[]>();
  const tell = async (name: string, args: readonly string[]): Promise<void> => {
    const { stderr } = await run(process.execPath, [...TELL_PEAK, ...args]);
    peaks.set(name, [...(peaks.get(name) ?? []), readPeak(stderr)]);
  };
  const times = await inTurns(rounds, {
    validate: () => tell('validate', [sallyport, 'validate', '-f', file]),
    yaml: () => tell('yaml', ['--input-type=module', '-e', YAML_ALONE, file]),
  });
  const [ms, peak] = [median(times('validate')), median(peaks.get('validate') ?? [])];
  const what = `sallyport validate of ${count} documents`;
  return [
    {
      what,
      value: ms,
      unit: 'ms',
      beside: { what: 'the yaml package alone', value: median(times('yaml')) },
      goal: atMost(1_000, 'ms', ms),
    },
    {
      what: `${what}, peak memory`,
      value: peak,
      unit: 'MiB',
      beside: { what: 'the yaml package alone', value: median(peaks.get('yaml') ?? []) },
      goal: atMost(200, 'MiB', peak),
    },
  ];
}
