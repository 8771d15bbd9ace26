/** Many cases of chaos, a few labs side by side; what came of them, counted. */
import { type Case, type ChaosLane, drawCase, type Fault, type Outcome, printCase, startChaosLane, WINDOW_MS } from './chaos.ts';

export interface ChaosOptions {
  /** By what each is called, a seed or a number. */
  readonly cases: ReadonlyMap<number, Case>;
  /** Labs side by side. */
  readonly lanes: number;
  readonly onCase?: (name: number, text: string) => void;
}

interface Tried {
  readonly drawn: Case;
  readonly outcome: Outcome;
}

export interface ChaosReport {
  readonly tried: readonly Tried[];
  /** What was not as it must be, with its seed. */
  readonly failures: readonly string[];
}

/** Those that the seeds from `from` on draw. */
export const drawCases = (from: number, count: number): ReadonlyMap<number, Case> =>
  new Map(Array.from({ length: count }, (_, index) => [from + index, drawCase(from + index)]));

export async function runChaos({ cases, lanes, onCase = () => {} }: ChaosOptions): Promise<ChaosReport> {
  const tried: Tried[] = [];
  const failures: string[] = [];
  const waiting = [...cases];
  /** One that begins where the lane stands needs no way there. */
  const next = (lane: ChaosLane | undefined) => {
    const found = waiting.findIndex(([, drawn]) => drawn.from === lane?.stands());
    return waiting.splice(Math.max(0, found), 1)[0];
  };
  const work = async (): Promise<void> => {
    let lane: ChaosLane | undefined;
    try {
      lane = await startChaosLane();
      for (let one = next(lane); one !== undefined; one = next(lane)) {
        const [name, drawn] = one;
        lane ??= await startChaosLane();
        try {
          const outcome = await lane.run(drawn);
          tried.push({ drawn, outcome });
          onCase(name, `${printCase(drawn)}: ${printOutcome(outcome)}`);
        } catch (error) {
          const what = `${name}: ${printCase(drawn)}: ${error instanceof Error ? error.message : String(error)}`;
          failures.push(what);
          onCase(name, `FAILED ${what}`);
          await lane[Symbol.asyncDispose]();
          lane = undefined;
        }
      }
    } finally {
      await lane?.[Symbol.asyncDispose]();
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return { tried, failures };
}

const isBack = ({ edge, node }: Outcome): boolean => edge.back && node.back;
const isOn = ({ edge, node }: Outcome): boolean => edge.on && node.on;

function printOutcome(outcome: Outcome): string {
  const { said, lateMs } = outcome;
  const end = isBack(outcome) ? 'as it was' : isOn(outcome) ? 'stands' : 'one host stands, the other went back';
  const late = lateMs === undefined ? '' : `, after ${Math.round(lateMs)} ms`;
  return `${end}${late}; ${said === undefined ? 'killed' : said.split('\n').at(-1)}`;
}

/** A table by what went wrong, for people. */
export function printChaos({ tried, failures }: ChaosReport): string {
  const faults = [...new Set(tried.map(({ drawn }) => drawn.fault))].sort();
  const lines = faults.map((fault) => printFault(fault, tried.filter(({ drawn }) => drawn.fault === fault)));
  return `| what goes wrong | cases | hostile too | as it was | stands | one each | alone: within the window + 2 s | slowest beyond the window |
|---|--:|--:|--:|--:|--:|--:|--:|
${[...lines, printFault('all', tried)].join('\n')}

${failures.length} of ${tried.length + failures.length} not as it must be
${failures.map((each) => `${each}\n`).join('')}`;
}

function printFault(name: Fault | 'all', tried: readonly Tried[]): string {
  const count = (isOne: (each: Tried) => boolean): number => tried.filter(isOne).length;
  const late = tried.flatMap(({ outcome: { lateMs } }) => (lateMs === undefined ? [] : [lateMs - WINDOW_MS]));
  const inTime = late.filter((ms) => ms <= 2_000).length;
  return `| ${[
    name,
    tried.length,
    count(({ drawn }) => drawn.hostile !== undefined),
    count(({ outcome }) => isBack(outcome)),
    count(({ outcome }) => isOn(outcome)),
    count(({ outcome }) => !isBack(outcome) && !isOn(outcome)),
    late.length === 0 ? '' : `${inTime} of ${late.length}`,
    late.length === 0 ? '' : `${(Math.max(0, ...late) / 1000).toFixed(1)} s`,
  ].join(' | ')} |`;
}
