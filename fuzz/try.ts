/** `node fuzz/try.ts SEED COUNT FLOWS`: for whoever looks for a difference by hand. */
import { checkScenario } from './check.ts';
import { drawFrom } from './draw.ts';

const [from = 1, count = 1, flows = 40] = process.argv.slice(2).map(Number);
for (let seed = from; seed < from + count; seed++) {
  const scenario = drawFrom(seed, flows);
  const begin = Date.now();
  try {
    const { checks, packets, endings, undecided, difference } = await checkScenario(scenario);
    console.log(
      seed,
      `${Date.now() - begin} ms`,
      checks,
      packets,
      JSON.stringify([...endings]),
      'undecided',
      undecided.length,
    );
    if (process.env.WHY !== undefined) console.log(undecided.join('\n'));
    if (difference !== undefined)
      console.log(
        JSON.stringify(scenario.flows[difference.flow]),
        difference.flow,
        difference.packet,
        `\n  ${difference.text}`,
      );
  } catch (error) {
    console.log(seed, String(error).slice(0, 1500));
  }
}
process.exit(0);
