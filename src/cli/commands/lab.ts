import { LAB_FAULTS, labDown, labExec, labUp, showFault, showNetwork, storyNames, storyOf } from '../../lab/index.ts';
import { CommandFailure, DONE, FAILED, UsageError } from '../exit.ts';
import { listenForInterrupt } from '../interrupt.ts';
import type { Output } from '../output.ts';

/** `lab demo`, `lab up` and `lab down` of one story. */
export async function runLab(output: Output, what: 'demo' | 'up' | 'down', story: string): Promise<number> {
  requireStory(story);
  switch (what) {
    case 'demo':
      return await demo(output, story);
    case 'up': {
      const { pid, topology } = await expected(labUp(story));
      await output.result({ story, pid, hosts: topology.hosts.map(({ name }) => name) }, () => showNetwork(topology));
      output.say(`${story} is up. Commands in it:`);
      for (const command of storyOf(story).first) output.say(`  sallyport lab exec ${story} ${command}`);
      output.say(`Its end: sallyport lab down ${story}`);
      return DONE;
    }
    case 'down': {
      const was = await expected(labDown(story));
      output.say(was ? `${story} is down` : `${story} was not up`);
      return DONE;
    }
  }
}

/** Runs a command in a standing lab, beside its hosts; its exit status is ours. */
export async function execInLab(story: string, command: readonly string[]): Promise<number> {
  requireStory(story);
  return await expected(labExec(story, command));
}

/** Builds a fault on this machine's kernel and shows it from symptom to fix; without a name lists them all. */
export async function labFault(output: Output, code: string | undefined): Promise<number> {
  if (code === undefined) {
    const faults = LAB_FAULTS.map(({ code, title }) => ({ code, title }));
    await output.result({ faults }, () => faults.map(({ code, title }) => `${code.padEnd(22)} ${title}\n`).join(''));
    return DONE;
  }
  const fault = LAB_FAULTS.find((each) => each.code === code);
  if (fault === undefined)
    throw new UsageError(`there is no fault "${code}"; there is ${LAB_FAULTS.map((each) => each.code).join(', ')}`);
  const [, script = ''] = process.argv;
  using interrupt = listenForInterrupt(false);
  await expected(
    showFault(fault, {
      sallyport: [process.execPath, script],
      out: (text) => (output.format === 'text' ? void output.write(text) : output.say(text.trimEnd())),
      signal: interrupt.signal,
    }),
  );
  return DONE;
}

async function demo(output: Output, story: string): Promise<number> {
  const [, script = ''] = process.argv;
  using interrupt = listenForInterrupt(false);
  try {
    await storyOf(story).demo({
      sallyport: [process.execPath, script],
      out: (text) => void output.write(text),
      signal: interrupt.signal,
      ...(output.color && { env: { FORCE_COLOR: '1' } }),
    });
    return DONE;
  } catch (error) {
    output.say(`sallyport: the demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return FAILED;
  }
}

function requireStory(story: string): void {
  if (!storyNames.includes(story))
    throw new UsageError(`there is no story "${story}"; there is ${storyNames.join(', ')}`);
}

/** What the lab throws is about the machine it runs on, not a bug of ours. */
async function expected<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new CommandFailure(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
