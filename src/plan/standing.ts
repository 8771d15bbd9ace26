/** A host as it is once a plan of ours is carried out: for the plan after it. */
import { type HostFacts, ownState } from '../host/index.ts';
import type { Desired } from './order.ts';

/** The facts with everything of ours as desired, and nothing else changed. What others own is not looked through: accepts are given beside it. */
export function standing({ record: _, ...facts }: HostFacts, { state, record }: Desired): HostFacts {
  const own = ownState(facts.state);
  const others = <T>(all: readonly T[], ours: readonly T[]): readonly T[] => {
    const known = new Set(ours);
    return all.filter((each) => !known.has(each));
  };
  return {
    ...facts,
    ...(record !== undefined && { record }),
    state: {
      links: [...others(facts.state.links, own.links), ...state.links],
      addresses: [...others(facts.state.addresses, own.addresses), ...state.addresses],
      routes: [...others(facts.state.routes, own.routes), ...state.routes],
      rules: [...others(facts.state.rules, own.rules), ...state.rules],
      sysctls: new Map([...facts.state.sysctls, ...state.sysctls]),
      devices: [...others(facts.state.devices, own.devices), ...state.devices],
      tables: [...others(facts.state.tables, own.tables), ...state.tables],
      accepts: state.accepts,
      files: new Map([...facts.state.files, ...state.files]),
    },
  };
}
