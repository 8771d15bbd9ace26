import { printPlace } from '../../host/index.ts';
import { objectOf, type Step } from './steps.ts';

/** The step for people: `ip: 1 link, 2 addresses`. */
export function nameOf(step: Step): string {
  switch (step.kind) {
    case 'ip':
      return `ip: ${count(step.items.map(({ change }) => objectOf(change).kind))}`;
    case 'sysctl':
      return `sysctl: ${count(step.items.map(() => 'sysctl'))}`;
    case 'nft': {
      const transaction = `nft: ${count(step.changes.map(() => 'change'))}`;
      return step.file === undefined ? transaction : `${nameOf(step.file)}, ${transaction}`;
    }
    case 'wg':
      return `wg: ${count(step.items.map(({ change }) => objectOf(change).kind))} of ${step.link}`;
    case 'rekey':
      return `wg: another key of ${step.link}`;
    case 'accept':
      return `accept in ${printPlace(step.place)}`;
    case 'flows':
      return 'flows of forwards that moved';
    case 'handOver':
      return 'connections of rules that are taken over';
    case 'handMade':
      return `iptables: ${count(step.rules.map(() => 'rule'))} made by hand`;
    case 'goesWithLink':
      return `${objectOf(step.change).kind}: goes with its link`;
    case 'addWireGuard':
    case 'removeWireGuard':
      return `link ${step.link.name}`;
    case 'daemonFiles':
      return `files of ${step.daemon}`;
    case 'writeFile':
    case 'writeRestore':
    case 'removeFile':
      return `file ${step.path}`;
    case 'foreign':
      return step.name;
  }
}

function count(kinds: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, n]) => `${n} ${kind}${n === 1 ? '' : kind.endsWith('s') ? 'es' : 's'}`).join(', ');
}
