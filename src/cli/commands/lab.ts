import { demoSlimEdge, labDown, labExec, labUp, showNetwork, storyNames } from '../../lab/index.ts';
import { CommandFailure, DONE, FAILED, UsageError } from '../exit.ts';
import { listenForInterrupt } from '../interrupt.ts';
import type { Output } from '../output.ts';

/** `lab demo`, `lab up` and `lab down` of one story. */
export async function runLab(output: Output, what: 'demo' | 'up' | 'down', story: string): Promise<number> {
  requireStory(story);
  switch (what) {
    case 'demo':
      return await demo(output);
    case 'up': {
      const { pid, topology } = await expected(labUp(story));
      await output.result({ story, pid, hosts: topology.hosts.map(({ name }) => name) }, () => showNetwork(topology));
      output.say(
        `${story} is up. A command in it: sallyport lab exec ${story} ip netns exec edge ip addr. Its end: sallyport lab down ${story}`,
      );
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

async function demo(output: Output): Promise<number> {
  const [, script = ''] = process.argv;
  using interrupt = listenForInterrupt(false);
  try {
    await demoSlimEdge({
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
