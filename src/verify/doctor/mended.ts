/** What a fix is to bring about, judged by what doctor finds before and after it. */
import type { FaultCode, Finding } from './finding.ts';

/** The fault where it is found all the same: as often, and as bad. */
export function stillFound(
  { code, host, severity }: Finding,
  before: readonly Finding[],
  after: readonly Finding[],
): Finding | undefined {
  const ofIt = (findings: readonly Finding[]): readonly Finding[] =>
    findings.filter((each) => each.code === code && each.host === host);
  const [still] = ofIt(after);
  const isLess = still?.severity === 'info' && severity !== 'info';
  return still !== undefined && !isLess && ofIt(after).length >= ofIt(before).length ? still : undefined;
}

/** Another that harms, and was not there before. */
export const brought = (before: readonly Finding[], after: readonly Finding[]): Finding | undefined =>
  after.find(
    (each) =>
      each.severity === 'error' &&
      !before.some((known) => known.code === each.code && known.host === each.host && known.severity === 'error'),
  );

/** Why the model cannot tell beforehand whether a fix helps; absent where it can. */
export const SHOWN_AFTERWARDS: Partial<Readonly<Record<FaultCode, string>>> = {
  mtuBlackHole: 'what the way carries, real packets alone show',
  endpointNameMoved: 'whether the far end answers there, its handshake alone shows',
  networkdRemovesRules: 'what systemd-networkd has read, it alone knows',
};
