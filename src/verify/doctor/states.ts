/** Faults that stand in what the kernel holds: tunnels, tables, settings. */
import {
  assign,
  baseChain,
  match,
  meta,
  payload,
  type Rule,
  rule,
  type Statement,
  symbol,
  type Table,
  tcpOption,
  text,
} from '../../nftables/index.ts';
import { printRoute, printRule, type Route } from '../../routing/index.ts';
import { isOverlay } from '../../simulate/index.ts';
import type { Examined, Found } from './finding.ts';
import { addTable, byHand, type FixStep, restartUnit, setSysctl, writeFile } from './fix.ts';
import { settings } from './paths.ts';
import type { Patient } from './patient.ts';

/** 4: SYNs have their segment size set in one direction, or for forwarded traffic alone. */
export function mssClampOneSided(patient: Patient): Examined {
  const { facts, simulated } = patient;
  const { links, tables, sysctls } = facts.state;
  const widest = Math.max(
    0,
    ...links.filter((link) => link.name !== 'lo' && link.up && !isOverlay(link)).map(({ mtu }) => mtu),
  );
  return links.flatMap((link): readonly Found[] => {
    if (!isOverlay(link) || !link.up || link.mtu >= widest) return [];
    if (sysctls.get(`net/ipv4/conf/${link.name}/forwarding`) !== '1') return [];
    const clamps = tables.flatMap((table) => clampsOf(table, link.name));
    if (clamps.length === 0) return [];
    const [into, from, own] = (['into', 'from', 'own'] as const).map((way) => clamps.some((clamp) => clamp[way]));
    const usesItself = simulated.state.routes.some(
      (route) => route.link === link.name && route.destination.length < 32,
    );
    const by = (key: 'oifname' | 'iifname'): Statement => match(meta(key), '==', text(link.name));
    const missing = [...(into ? [] : [by('oifname')]), ...(from ? [] : [by('iifname')])];
    const lacksOwn = !own && usesItself;
    if (missing.length === 0 && !lacksOwn) return [];
    const sets = (which: Statement): Rule =>
      rule(
        which,
        match(payload('tcp', 'flags'), 'in', symbol('syn')),
        assign(tcpOption('maxseg', 'size'), link.mtu - 40),
      );
    const what = [
      ...(into ? [] : ['forwarded into it']),
      ...(from ? [] : ['forwarded out of it']),
      ...(lacksOwn ? ["of the host's own"] : []),
    ].join(' and ');
    return [
      {
        severity: missing.length > 0 ? 'warning' : 'info',
        summary: `${link.name}: the MSS is clamped, but not in SYNs ${what}`,
        evidence: clamps.map(({ text }) => text),
        why: `Each side sends segments as large as the other's SYN allows. Where one SYN is not clamped to the ${link.mtu} bytes of ${link.name}, segments towards its sender are too large, and hang where ICMP errors do not come back.`,
        fix: addTable(
          patient,
          'inet',
          'mss',
          (['forward', 'output'] as const).flatMap((hook) => {
            const rules = hook === 'forward' ? missing : lacksOwn ? [by('oifname')] : [];
            if (rules.length === 0) return [];
            return [baseChain(hook, { type: 'filter', hook, priority: -150 }, ...rules.map(sets))];
          }),
        ),
      },
    ];
  });
}

interface Clamp {
  readonly into: boolean;
  readonly from: boolean;
  readonly own: boolean;
  readonly text: string;
}

const setsMss = (statement: Statement): boolean =>
  (statement.kind === 'set' && statement.target.kind === 'tcpOption' && statement.target.option === 'maxseg') ||
  (statement.kind === 'opaque' && /TCPMSS/.test(JSON.stringify(statement.json)));

function clampsOf(table: Table, link: string): readonly Clamp[] {
  return table.chains.flatMap((chain) => {
    const hook = chain.kind === 'base' ? chain.hook : 'forward';
    return chain.rules.flatMap((rule): readonly Clamp[] => {
      if (!rule.statements.some(setsMss) && !/TCPMSS/.test(rule.text ?? '')) return [];
      const [into, from] = [allows(rule, 'oifname', link), allows(rule, 'iifname', link)];
      const isOwn = table.family === 'inet' && table.name === 'sallyport';
      return [
        {
          into: into && (hook === 'forward' || hook === 'postrouting'),
          // A rule that names the way out speaks of nothing that only came in by the link.
          from: (from && !names(rule, 'oifname', link) && (hook === 'forward' || hook === 'prerouting')) || isOwn,
          own: (into && (hook === 'output' || hook === 'postrouting')) || isOwn,
          text: `${table.family} ${table.name} ${chain.name}: ${rule.text ?? 'tcp option maxseg size set'}`,
        },
      ];
    });
  });
}

function names(rule: Rule, key: string, link: string): boolean {
  return rule.statements.some(
    (one) =>
      one.kind === 'match' &&
      one.left.kind === 'meta' &&
      one.left.key === key &&
      one.right.kind === 'string' &&
      one.right.text === link,
  );
}

/** Whether the rule does not ask for another link. */
const allows = (rule: Rule, key: string, link: string): boolean =>
  rule.statements.every(
    (one) =>
      !(one.kind === 'match' && one.left.kind === 'meta' && one.left.key === key) ||
      names(rule, key, link) ||
      one.op === '!=',
  );

/** `/etc/nftables.conf:3: flush ruleset`: another's file, for a person to change. */
const noFlush = (line: string): FixStep => byHand(`sed -i 's/^\\(\\s*flush ruleset.*\\)/# \\1/' ${line.split(':')[0]}`);

/** 6: what our record says stands is gone, as after a `flush ruleset`. */
export function reloadFlushedRules({ facts, looks: { flushes = [] } }: Patient): Examined {
  const { record, state } = facts;
  const wants = record !== undefined && [...record.sets.values()].some(({ forwards }) => forwards.length > 0);
  const stands = state.tables.some(({ family, name }) => family === 'inet' && name === 'sallyport');
  const others = state.tables.filter(({ origin }) => origin !== 'iptables-legacy');
  if (wants && !stands)
    return [
      {
        severity: 'error',
        summary:
          'the table inet sallyport is gone, though the record of this host has forwards: something flushed the ruleset',
        evidence: [
          `nft list tables: ${others.map(({ family, name }) => `${family} ${name}`).join(', ') || 'none'}`,
          ...flushes,
        ],
        why: 'A reload of nftables.service or of firewalld with FlushAllOnReload takes away the rules of everybody. Nothing is forwarded until each puts its own back.',
        fix: [...flushes.slice(0, 1).map(noFlush), byHand('sallyport apply -f DOCUMENTS --yes')],
      },
    ];
  if (flushes.length === 0 || facts.stateFolder !== '/etc/sallyport' || others.length < 2) return [];
  return [
    {
      severity: 'info',
      summary: 'a reload would flush the rules of everybody',
      evidence: flushes,
      why: 'Docker, kube-proxy and others do not notice at once, or until they are restarted.',
      fix: flushes.slice(0, 1).map(noFlush),
    },
  ];
}

/** 9: no place for new connections. */
export function conntrackFull(patient: Patient): Examined {
  const { facts, looks } = patient;
  const { conntrackStats = {} } = looks;
  const [count, max] = ['count', 'max'].map((name) =>
    Number(facts.state.sysctls.get(`net/netfilter/nf_conntrack_${name}`)),
  );
  if (count === undefined || max === undefined || !(max > 0) || !(count >= 0))
    return { unknown: 'net.netfilter.nf_conntrack_count cannot be read' };
  const share = count / max;
  if (share < 0.8) return [];
  const { drop = 0, early_drop: early = 0, insert_failed: failed = 0 } = conntrackStats;
  return [
    {
      severity: share >= 0.95 ? 'error' : 'warning',
      summary: `${count} of ${max} tracked connections: ${share >= 0.95 ? 'new ones are dropped' : 'the table is nearly full'}`,
      evidence: [
        `net.netfilter.nf_conntrack_count = ${count}`,
        `net.netfilter.nf_conntrack_max = ${max}`,
        `conntrack -S: drop=${drop} early_drop=${early} insert_failed=${failed}`,
      ],
      why: 'With the table full the first packet of every new connection is dropped, unless one that was never answered can give way.',
      fix: [setSysctl(patient, 'net/netfilter/nf_conntrack_max', String(max * 2))],
    },
  ];
}

/** 21: a router that learnt its own default route, and no longer listens. */
export function ipv6DefaultRouteLost(patient: Patient): Examined {
  const { links, addresses, routes, sysctls } = patient.facts.state;
  const defaults = routes.filter(
    ({ destination, type }) => destination.address.family === 6 && destination.length === 0 && type === 'unicast',
  );
  return links.flatMap(({ name, up }): readonly Found[] => {
    const at = `net/ipv6/conf/${name}`;
    if (!up || sysctls.get(`${at}/accept_ra`) !== '1' || sysctls.get(`${at}/forwarding`) !== '1') return [];
    const learnt = addresses.filter(
      ({ link, address, scope, dynamic }) =>
        link === name && address.address.family === 6 && scope === 'global' && dynamic === true,
    );
    const RA = 9; // rtnetlink.h, RTPROT_RA
    const byRa = defaults.find(
      (route) => route.protocol === RA && (route.nexthops ?? [route]).some(({ link }) => link === name),
    );
    if (byRa === undefined && (learnt.length === 0 || defaults.length > 0)) return [];
    return [
      {
        severity: byRa === undefined ? 'error' : 'warning',
        summary:
          byRa === undefined
            ? `${name} has an IPv6 address from a router, and no default route: it forwards, and so it no longer listens to routers`
            : `the IPv6 default route by ${name} will expire: the host forwards, and so it no longer listens to routers`,
        evidence: [
          ...settings(patient, `${at}/accept_ra`, `${at}/forwarding`),
          ...(byRa === undefined ? shownDefaults(routes) : [printRoute(byRa)]),
        ],
        why: 'accept_ra at 1 means: listen, unless this host forwards. Forwarding drops the routes that were learnt, and takes no new ones; 2 listens always.',
        fix: [setSysctl(patient, `${at}/accept_ra`, '2')],
      },
    ];
  });
}

/** Those that lead nowhere are no way out, and stand there all the same. */
function shownDefaults(routes: readonly Route[]): readonly string[] {
  const all = routes.filter(({ destination }) => destination.address.family === 6 && destination.length === 0);
  return all.length === 0 ? ['ip -6 route show default: nothing'] : all.map(printRoute);
}

/** 29: networkd takes away rules and routes that it did not make. */
export function networkdRemovesRules({ facts, looks: { networkdSays = [] } }: Patient): Examined {
  if (facts.daemons === undefined || !facts.daemons.includes('systemd-networkd')) return [];
  const saysNo = (what: string): boolean =>
    networkdSays.some((line) => new RegExp(`${what}\\s*=\\s*(no|false|0|off)\\s*$`).test(line));
  if (saysNo('ManageForeignRoutingPolicyRules') && saysNo('ManageForeignRoutes')) return [];
  // 2 is the kernel's own; 4 static is what networkd itself writes (rtnetlink.h).
  const foreign = facts.state.rules.filter(
    ({ protocol, priority }) => protocol !== 2 && protocol !== 4 && priority !== 0,
  );
  const wanted = [...(facts.record?.numbers.tunnels.values() ?? [])];
  const gone = wanted.filter(({ priority }) => !facts.state.rules.some((rule) => rule.priority === priority));
  if (foreign.length === 0 && gone.length === 0) return [];
  return [
    {
      severity: gone.length > 0 ? 'error' : 'warning',
      summary:
        gone.length > 0
          ? `${gone.length} routing rules of this host are gone: systemd-networkd removes what it did not make`
          : `systemd-networkd removes ${foreign.length} routing rules that it did not make, when it next sets its links up`,
      evidence: [
        ...(networkdSays.length > 0 ? networkdSays : ['no networkd.conf says ManageForeignRoutingPolicyRules=no']),
        ...foreign.slice(0, 3).map(printRule),
        ...gone.map(({ priority, table }) => `rule ${priority}: lookup ${table} is missing`),
      ],
      why: 'ManageForeignRoutingPolicyRules and ManageForeignRoutes are yes by default: netplan apply, networkctl reload or reconfigure take away rules and routes of others. A restart of a networkd whose links are set up leaves them.',
      fix: [
        writeFile('/etc/systemd/networkd.conf.d/90-foreign.conf', [
          '[Network]',
          'ManageForeignRoutingPolicyRules=no',
          'ManageForeignRoutes=no',
        ]),
        // Once more, without the file, it would take away what it was told to leave.
        restartUnit('systemd-networkd'),
        ...(gone.length > 0 ? [byHand('sallyport apply -f DOCUMENTS --yes')] : []),
      ],
    },
  ];
}
