/** Forwarding that was switched off behind everybody. */
import type { Family } from '../../net/index.ts';
import { type Asked, printAsked } from './asked.ts';
import type { Examined } from './finding.ts';
import { byHand, dotted, type FixStep, setSysctl, writeFile } from './fix.ts';
import { causeOf, once, settings as shown } from './paths.ts';
import type { Patient } from './patient.ts';

/** 20: what the host translates it does not forward. */
export function forwardingOff(patient: Patient, asked: readonly Asked[]): Examined {
  const { settings, facts } = patient;
  const isOff = ({ path, value }: (typeof settings)[number]): boolean =>
    value === '0' &&
    /^net\/(ipv4\/(ip_forward|conf\/(all|default)\/forwarding)|ipv6\/conf\/(all|default)\/forwarding)$/.test(path);
  const said = settings.filter(isOff).map(({ at, key, value }) => `${at}: ${key} = ${value}`);
  const found = once(
    asked.flatMap((each) => {
      const cause = causeOf(each);
      if (cause?.kind !== 'forwarding' || cause.host !== patient.host || each.meant.kind === 'socket') return [];
      const path = cause.family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
      return [
        {
          key: String(cause.family),
          severity: 'error' as const,
          summary: `IPv${cause.family} forwarding is off, and ${printAsked(each)} is meant to be forwarded`,
          evidence: [...shown(patient, path), each.meant.rule, ...said],
          why: 'Rules that translate do nothing for a host that does not forward. A restart of the network, sysctl --system or a hardening file switches it off behind everybody.',
          fix: switchOn(patient, cause.family, said),
        },
      ];
    }),
  );
  // Files count on a machine of its own alone, where what starts it reads them.
  const isMachine = facts.stateFolder === '/etc/sallyport';
  const isOn = facts.state.sysctls.get('net/ipv4/ip_forward') === '1';
  if (
    found.length > 0 ||
    said.length === 0 ||
    !isMachine ||
    !isOn ||
    asked.every(({ meant }) => meant.kind === 'socket')
  )
    return found;
  return [
    {
      severity: 'warning',
      summary: 'forwarding is on, and a file switches it off at the next sysctl --system or start',
      evidence: said,
      why: 'What the host translates stops with it.',
      fix: [keepOn('net/ipv4/ip_forward', true), ...unsay(said)],
    },
  ];
}

function switchOn(patient: Patient, family: Family, said: readonly string[]): readonly FixStep[] {
  const { state, stateFolder } = patient.facts;
  const path = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
  // Who forwards no longer listens to routers at 1, and forgets what it learnt of them (addrconf.c).
  const listening = state.links.filter(
    ({ name }) => family === 6 && name !== 'lo' && state.sysctls.get(`net/ipv6/conf/${name}/accept_ra`) === '1',
  );
  return [
    ...listening.map(({ name }) => setSysctl(patient, `net/ipv6/conf/${name}/accept_ra`, '2')),
    setSysctl(patient, path, '1'),
    keepOn(path, stateFolder === '/etc/sallyport'),
    ...unsay(said),
  ];
}

/** The last file of all to be read; of a network namespace a person says whether the machine's files are for it. */
function keepOn(path: string, isMachine: boolean): FixStep {
  const name = path === 'net/ipv4/ip_forward' ? 'ipv4' : 'ipv6';
  const step = writeFile(`/etc/sysctl.d/99-zz-forwarding-${name}.conf`, [`${dotted(path)} = 1`]);
  return isMachine ? step : byHand(step.text);
}

/** `sysctl --system` reads /etc/sysctl.conf after all others (sysctl(8)). */
const unsay = (said: readonly string[]): readonly FixStep[] =>
  said.flatMap((line) => {
    const [file, number] = line.split(':');
    return file === '/etc/sysctl.conf' ? [byHand(`sed -i '${number}s/^/# /' ${file}`)] : [];
  });
