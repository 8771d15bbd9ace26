/** What apply and destroy want of the hosts, as functions of what is known of them. */
import { type Aim, type AimFor, type LeftHost, leftHosts } from '../apply/index.ts';
import { type Compiled, compile, compileRemoval, type TargetHealth } from '../compile/index.ts';
import type { HostFacts } from '../host/index.ts';
import type { ResourceSet } from '../resources/index.ts';
import { CommandFailure } from './exit.ts';
import { sallyportVersion } from './version.ts';

/** The hosts as the documents say; `health`: what is known of the targets of their forwards. */
export const aimOfSet =
  (
    set: ResourceSet,
    setName: string,
    health: () => TargetHealth | undefined = () => undefined,
  ): ((facts: ReadonlyMap<string, HostFacts>) => Compiled) =>
  (facts) => {
    const known = health();
    return compile(set, facts, { setName, version: sallyportVersion(), ...(known !== undefined && { health: known }) });
  };

/** The hosts without the set; `all`: without any. */
export const aimOfRemoval =
  (hosts: readonly string[], setName: string, all: boolean): AimFor =>
  (facts): Aim => ({
    problems: [],
    hosts: new Map(
      hosts.flatMap((host) => {
        const known = facts.get(host);
        return known === undefined
          ? []
          : [[host, compileRemoval(host, known, all ? undefined : setName, sallyportVersion())] as const];
      }),
    ),
  });

/** Throws where a host left the documents while others still have a tunnel to it: it must be named before anything changes. */
export function requireNobodyLeft(
  set: ResourceSet,
  setName: string,
  facts: ReadonlyMap<string, HostFacts>,
  forgotten: readonly string[],
): void {
  const left = leftHosts(setName, facts, new Set(set.hosts.keys()), new Set(forgotten));
  if (left.length > 0) throw new CommandFailure(`nothing was changed:\n${left.map(printLeft).join('\n')}`);
}

const printLeft = ({ host, rememberedBy }: LeftHost): string =>
  `  Host ${host} left the documents, and ${rememberedBy.join(', ')} still ${rememberedBy.length === 1 ? 'has' : 'have'} a tunnel to it. ` +
  `"sallyport destroy --host ${host}" with documents that still have it takes back what it holds; "--forget ${host}" goes on without it.`;
