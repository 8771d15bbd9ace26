import { directionOf, prepare } from '../../apply/index.ts';
import { type RotatingEnds, rotatingEnds, rotatingLinks, whoHasPort } from '../../compile/index.ts';
import type { HostFacts } from '../../host/index.ts';
import type { ResourceSet } from '../../resources/index.ts';
import { type CarryFlags, carry, requireConsent, settle } from '../carry.ts';
import { CommandFailure, DONE, FAILED, UsageError } from '../exit.ts';
import { manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { aimOfRotation, type RotationOptions, waitBetween } from '../rotation.ts';
import { printRotated, printRotation, reportRotation } from '../rotation-text.ts';
import { surveyManaged } from '../survey.ts';

const WINDOW_MS = 30_000;

export interface RotateFlags extends CarryFlags {
  readonly set: string;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly inPlace?: boolean;
  readonly byHand?: readonly string[];
  readonly port?: number;
}

/** New keys for a tunnel, or for all. The result of `-o json` tells each link's keys before and after. */
export async function rotateTunnel(output: Output, name: string | undefined, flags: RotateFlags): Promise<number> {
  if (flags.dryRun !== true) requireConsent('tunnel rotate', flags);
  const set = await loadSet(flags.file);
  const tunnels = chosen(set, name, flags);
  const byHand = handTended(set, flags);
  using interrupt = listenForInterrupt(flags.dryRun !== true);
  const managed = manageAll(set).filter((host) => !byHand.has(host.name));
  if (flags.dryRun !== true) await settle(output, managed, interrupt, 'rotate');
  const survey = await surveyManaged(set, managed, interrupt.signal, output);
  const facts = new Map([...survey.facts].filter(([host]) => !survey.unreachable.has(host)));
  const found = rotatingEnds(facts, flags.set, tunnels, byHand);
  requireEnds(found, survey.unreachable, facts, flags);
  const options: RotationOptions = {
    // Who cannot be given a second link cannot answer by one.
    brief: flags.inPlace === true || byHand.size > 0,
    ...(flags.port !== undefined && { port: flags.port }),
  };
  const aimFor = aimOfRotation(set, found.ends, facts, options);
  const plan = prepare(facts, aimFor, directionOf('rotate'));
  if (plan.problems.length > 0)
    throw new CommandFailure(`nothing was changed:\n${plan.problems.map(({ what }) => `  ${what}`).join('\n')}`);
  const links = rotatingLinks(found.ends, facts, flags.port);
  const report = { ends: found.ends, links, facts, brief: options.brief, now: Date.now() / 1000 };
  const shown = reportRotation({ ...report, plan });
  if (output.format === 'text') await output.write(printRotation(shown, found.also));
  if (flags.dryRun === true) {
    if (output.format !== 'text') await output.result(shown, () => '');
    return DONE;
  }
  const { brief } = options;
  const windowMs = flags.confirmTimeout ?? WINDOW_MS;
  const waiting = { managed, ends: found.ends, brief, windowMs, say: output.say, progress: output.progress };
  const concerned = managed.filter((host) => found.ends.some((end) => end.host === host.name));
  const done = await carry(output, flags, interrupt, {
    ...{ managed: concerned, plan, aimFor, command: 'rotate' },
    afterStage: waitBetween(waiting),
  });
  if (done === undefined) return FAILED;
  const rotated = reportRotation({ ...report, plan: done });
  await output.result(rotated, () => printRotated(rotated));
  return DONE;
}

/** The tunnels that are asked for. Throws a UsageError where there is none such, or it has no keys. */
function chosen(set: ResourceSet, name: string | undefined, { all }: RotateFlags): readonly string[] {
  if ((name === undefined) === (all !== true))
    throw new UsageError(name === undefined ? 'tunnel rotate NAME, or --all' : 'either a tunnel or --all');
  const withKeys = [...set.tunnels.values()].filter(({ type }) => type === 'WireGuard').map((tunnel) => tunnel.name);
  if (name === undefined) {
    if (withKeys.length === 0) throw new UsageError('no tunnel of these documents has keys: only WireGuard has');
    return withKeys;
  }
  const tunnel = set.tunnels.get(name);
  if (tunnel === undefined) {
    const known = [...set.tunnels.keys()];
    throw new UsageError(
      `no Tunnel "${name}" in the documents: ${known.length === 0 ? 'there is none' : `there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}`}`,
    );
  }
  if (tunnel.type !== 'WireGuard') throw new UsageError(`Tunnel ${name} is ${tunnel.type}: it has no keys`);
  return [name];
}

function handTended(set: ResourceSet, { byHand = [] }: RotateFlags): ReadonlySet<string> {
  for (const host of byHand)
    if (!set.hosts.has(host))
      throw new UsageError(`no Host "${host}" in the documents: there are ${[...set.hosts.keys()].join(', ')}`);
  return new Set(byHand);
}

/** Throws where the keys cannot be exchanged: before anything is shown or changed. */
function requireEnds(
  { ends, refused }: RotatingEnds,
  unreachable: ReadonlyMap<string, string>,
  facts: ReadonlyMap<string, HostFacts>,
  { port, byHand = [] }: RotateFlags,
): void {
  const damaged = [...new Set(ends.map(({ host }) => host))].flatMap((host) => {
    const problem = facts.get(host)?.recordProblem;
    return problem === undefined ? [] : [`${host}: ${problem}`];
  });
  const taken = rotatingLinks(ends, facts, port).flatMap((link) => {
    const known = facts.get(link.host);
    const who =
      port === undefined || link.port === undefined || known === undefined ? undefined : whoHasPort(known, port);
    return who === undefined ? [] : [`--port ${port}: on ${link.host} ${who}`];
  });
  const silent = [...unreachable]
    .filter(([host]) => !byHand.includes(host))
    .map(([host, reason]) => `${host}: ${reason}`);
  const lines = [...refused, ...damaged, ...taken];
  if (lines.length === 0) return;
  throw new CommandFailure(
    `nothing was changed:\n${[...lines, ...(refused.length > 0 ? silent : [])].map((line) => `  ${line}`).join('\n')}`,
  );
}
