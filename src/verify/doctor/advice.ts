/** What is advised against wg-quick's rules, each traced on this very host: an advice that helps elsewhere may do nothing here. */
import {
  accept,
  assign,
  baseChain,
  match,
  meta,
  number,
  payload,
  type Rule,
  rule,
  type Table,
} from '../../nftables/index.ts';
import { buildNetwork, simulate } from '../../simulate/index.ts';
import type { Asked } from './asked.ts';
import type { Patient } from './patient.ts';

type State = Patient['facts']['state'];

interface Advice {
  readonly text: string;
  readonly follow: (state: State) => State;
}

/** Of who asks from off the subnet, and where there is one, from on it: a sentence for each advice. */
export function tryAdvice(patient: Patient, tunnel: string, far: Asked, near: Asked | undefined): readonly string[] {
  const mark = patient.facts.state.devices.find(({ link }) => link === tunnel)?.firewallMark;
  if (mark === undefined || mark === 0) return [];
  return adviceFor(far, mark).map(({ text, follow }) => {
    const becomes = fateOf(patient, follow(patient.facts.state), tunnel);
    const onSubnet = near === undefined ? '' : `; from its own subnet ${becomes(near)}`;
    return `${text}: from off the subnet ${becomes(far)}${onSubnet}`;
  });
}

/** What lies behind the tunnel's peer nobody knows: that the answer goes there is enough. */
function fateOf({ host, sockets = [] }: Patient, state: State, tunnel: string): (asked: Asked) => string {
  const network = buildNetwork([{ name: host, state, openAddresses: [], sockets }], []);
  return ({ flow }) => {
    const { works, reply } = simulate(network, flow, { hops: true });
    if (reply?.crossings.some(({ from }) => from?.host === host && from.link === tunnel) === true)
      return `answered into ${tunnel}`;
    return works === true ? 'answered' : works === false ? 'not answered' : 'not known';
  };
}

function adviceFor({ flow: { port, protocol } }: Asked, mark: number): readonly Advice[] {
  const chain = (name: 'input' | 'forward' | 'prerouting' | 'output', ...rules: readonly Rule[]) => ({
    ...baseChain(name, {
      type: name === 'output' ? 'route' : 'filter',
      hook: name,
      priority: name === 'prerouting' || name === 'output' ? -150 : 0,
    }),
    rules,
  });
  const withChains =
    (...chains: Table['chains']) =>
    (state: State): State => ({
      ...state,
      tables: [...state.tables, { family: 'inet', name: 'advised', sets: [], maps: [], opaque: [], chains }],
    });
  const of = (field: 'dport' | 'sport') => match(payload(protocol, field), '==', number(port));
  const taken = rule(of('dport'), accept);
  const marked = chain('prerouting', rule(of('dport'), assign(meta('mark'), mark)));
  const accepting =
    (value: '0' | '1') =>
    (state: State): State => ({
      ...withChains(marked)(state),
      sysctls: new Map([...state.sysctls, ['net/ipv4/tcp_fwmark_accept', value]]),
    });
  const words = `-p ${protocol} --dport ${port}`;
  const prerouting = `iptables -t mangle -A PREROUTING ${words} -j MARK --set-mark ${mark}`;
  return [
    {
      text: `iptables -A INPUT and FORWARD ${words} -j ACCEPT`,
      follow: withChains(chain('input', taken), chain('forward', taken)),
    },
    { text: prerouting, follow: accepting('0') },
    ...(protocol === 'tcp'
      ? [{ text: `${prerouting}, and net.ipv4.tcp_fwmark_accept=1`, follow: accepting('1') }]
      : []),
    {
      text: `iptables -t mangle -A OUTPUT -p ${protocol} --sport ${port} -j MARK --set-mark ${mark}, for this port and protocol alone`,
      follow: withChains(chain('output', rule(of('sport'), assign(meta('mark'), mark)))),
    },
    {
      text: 'ip rule del table main suppress_prefixlength 0',
      follow: (state) => ({
        ...state,
        rules: state.rules.filter(
          ({ action }) => action.kind !== 'lookup' || action.suppressPrefixLength === undefined,
        ),
      }),
    },
    // Nothing changes for who asks here: the same rules stand, and whatever else listens on the node is asked in vain too.
    { text: 'hostNetwork, where the same rules take the answers of the whole node', follow: (state) => state },
  ];
}
