import { liveNetwork, probesOf, type Sightings, verifyPlan } from '../../verify/index.ts';
import { aimOfSet } from '../aims.ts';
import { type Bundled, openBundles } from '../bundles.ts';
import { DONE, FAILED, InputProblems } from '../exit.ts';
import { manageAll } from '../hosts.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { JUDGED, loadSet } from '../load.ts';
import type { Output } from '../output.ts';
import { sendProbes } from '../probing.ts';
import { lookForUsers, type ProofFlags } from '../proof.ts';
import { sightAll, sightingsOf } from '../sightings.ts';
import { declaredSurvey, notUsable, surveyManaged } from '../survey.ts';
import { printVerified } from '../verify-text.ts';

export interface VerifyFlags extends Pick<ProofFlags, 'requireProof'> {
  readonly file: readonly string[];
  readonly set: string;
  readonly offline?: boolean;
  readonly live?: boolean;
  readonly probe?: boolean;
  readonly bundle?: readonly string[];
}

/** Proves every promise of the documents; 0 where none is broken, no probe contradicts, and every host could be looked at. */
export async function verify(output: Output, flags: VerifyFlags): Promise<number> {
  const isLive = flags.live === true || flags.probe === true || flags.bundle !== undefined;
  const { set, managed } = await openHosts(flags, isLive);
  using interrupt = listenForInterrupt(false);
  const [survey, seen, users] = await Promise.all([
    flags.offline === true ? declaredSurvey(set) : surveyManaged(set, managed, interrupt.signal, output),
    isLive ? sightAll(managed, interrupt.signal) : new Map(),
    isLive ? undefined : lookForUsers(managed, interrupt.signal),
  ]);
  const compiled = aimOfSet(set, flags.set)(survey.facts);
  if (compiled.problems.length > 0) throw new InputProblems(compiled.problems);
  const known: Sightings = sightingsOf(seen, survey.facts);
  // Whether a server listens is its owner's affair: here the way to it counts.
  const way: Sightings = { ...(known.wires && { wires: known.wires }), sockets: new Map() };
  const promises = verifyPlan({
    ...{ set, compiled, facts: survey.facts },
    ...(users !== undefined && { seen: users }),
    ...(isLive && { network: liveNetwork(set, survey.facts, survey.unreachable, way) }),
  });
  const probes = flags.probe === true ? probesOf(compiled) : [];
  if (probes.length > 0) output.progress(`asking at ${probes.length} ports`);
  const probed = await sendProbes(liveNetwork(set, survey.facts, survey.unreachable, known), probes, interrupt.signal);
  await output.result(flags.probe === true ? { promises, probes: probed } : { promises }, () =>
    printVerified(promises, probed, {
      color: output.color,
      ...(process.stdout.isTTY && { width: process.stdout.columns }),
    }),
  );
  const unseen = notUsable(survey);
  for (const line of unseen) output.say(line);
  const isProven = promises.every(
    ({ holds }) => holds === true || (holds === 'undecided' && flags.requireProof !== true),
  );
  return isProven && unseen.length === 0 && probed.every(({ agrees }) => agrees !== false) ? DONE : FAILED;
}

/** On what stands, kinds are judged too that nobody carries out yet. */
async function openHosts({ file, bundle, offline }: VerifyFlags, isLive: boolean): Promise<Bundled> {
  if (bundle !== undefined) return await openBundles(bundle, file, JUDGED);
  const set = await loadSet(file, isLive ? JUDGED : undefined);
  return { set, managed: offline === true ? [] : manageAll(set) };
}
