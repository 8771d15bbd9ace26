/** The stories that `sallyport lab` knows, by name. */
import { behindBalancer, STORY_CONF, startBehindBalancer, startSidecar } from './behind-balancer.ts';
import { demoSlimEdge } from './demo.ts';
import { demoBehindBalancer } from './demo-behind-balancer.ts';
import type { Lab } from './lab.ts';
import { slimEdge } from './slim-edge.ts';
import type { DemoOptions } from './telling.ts';
import type { Topology } from './topology.ts';

export interface LabStory {
  readonly topology: () => Topology;
  /** What runs in it beside its network, and goes on when who started it has ended. */
  readonly prepare?: (lab: Lab) => Promise<void>;
  /** Tells it from its beginning to its end; throws where anything that it promises does not hold. */
  readonly demo: (options: DemoOptions) => Promise<void>;
  /** Commands to begin with, in a lab that stands. */
  readonly first: readonly string[];
}

const STORIES: Readonly<Record<string, LabStory>> = {
  'slim-edge': { topology: () => slimEdge(), demo: demoSlimEdge, first: ['ip netns exec edge ip addr'] },
  'wireguard-behind-lb': {
    topology: () => behindBalancer(),
    async prepare(lab) {
      await startBehindBalancer(lab);
      await startSidecar(lab, 'pod');
    },
    demo: demoBehindBalancer,
    first: [
      `/run/story/on pod wg-quick up ${STORY_CONF}`,
      'ip netns exec balancer nft list table inet balancer',
      `/run/story/on pod sallyport wireguard run ${STORY_CONF}`,
    ],
  },
};

export const storyNames: readonly string[] = Object.keys(STORIES);

/** An error names the stories there are. */
export function storyOf(name: string): LabStory {
  const story = STORIES[name];
  if (story === undefined) throw new Error(`there is no story ${name}; there is ${storyNames.join(', ')}`);
  return story;
}
