/** The rules that are missing beside a tunnel that wg-quick made, so that answers leave by the link that the question came in by. */
import { compileMend } from '../../compile/index.ts';
import type { RoutingRule } from '../../routing/index.ts';
import { CommandFailure } from '../exit.ts';
import { lookAtPod } from './look.ts';
import { believesByMark, layPlan, type PodContext, type StandingPod } from './tunnel.ts';

/** wg-quick's rule: what does not have the tunnel's mark is looked up in the tunnel's table. */
const takes =
  (mark: number) =>
  (rule: RoutingRule): boolean =>
    rule.not === true && rule.mark?.value === mark && rule.action.kind === 'lookup';

/**
 * Waits for the link where wg-quick has not made it yet (a sidecar may begin first), then puts the rules there; undefined while there is none.
 * Throws a CommandFailure where the tunnel takes no answers away.
 */
export async function mendPod(
  link: string,
  { transport, say, signal }: PodContext,
  before?: StandingPod,
): Promise<StandingPod | undefined> {
  const look = await lookAtPod(transport, link, signal);
  const mark = look.device?.firewallMark;
  if (look.device === undefined) return undefined;
  // wg-quick sets the mark before its rules: what is not all there yet is waited for.
  if (mark === undefined || !look.facts.rules.some(takes(mark))) return undefined;
  const changes: string[] = [];
  const byAddress = !believesByMark(link, changes, say);
  const plan = compileMend(look.facts, { link, byAddress }, mark);
  const run = async (argv: readonly string[], stdin?: string): Promise<string> => {
    const { status, stdout, stderr } = await transport.run({ argv, ...(stdin !== undefined && { stdin }) }, signal);
    if (status !== 0) throw new CommandFailure(`${argv.join(' ')}: ${stderr.trim() || `status ${status}`}`);
    return stdout;
  };
  const listing = await layPlan(plan, look, link, { run, changes, before });
  return { plan, listing, changes };
}

const LINES = [
  ['mangle -A PREROUTING', '! -i %i -m conntrack --ctstate NEW -m connmark --mark 0 -j CONNMARK --set-mark $m'],
  ['mangle -A PREROUTING', '! -i %i -m addrtype --dst-type LOCAL -m mark --mark 0 -j MARK --set-mark $m'],
  ['mangle -A PREROUTING', '-m conntrack --ctdir REPLY -m connmark --mark $m -m mark --mark 0 -j MARK --set-mark $m'],
  ['mangle -A OUTPUT', '-m conntrack --ctdir REPLY -m connmark --mark $m -m mark --mark 0 -j MARK --set-mark $m'],
] as const;

/** The same as lines of a wg-quick file, with iptables, that need no Sallyport; one default line, and sockets that answer from where they were asked. */
export function printMendLines(): string {
  const lines = (hook: 'PostUp' | 'PreDown', verb: '-A' | '-D'): readonly string[] =>
    (['iptables', 'ip6tables'] as const).flatMap((program) =>
      LINES.map(
        ([place, rule]) => `${hook} = m=$(wg show %i fwmark); ${program} -w -t ${place.replace('-A', verb)} ${rule}`,
      ),
    );
  return `${[...lines('PostUp', '-A'), ...lines('PreDown', '-D')].join('\n')}\n`;
}
