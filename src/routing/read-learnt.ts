import { type Family, printAddress } from '../net/index.ts';
import { addressField, listField, numberField, readEntries } from './json.ts';

/** Its output is for readLearnt: what the kernel was told of paths by ICMP and forgets after minutes (`mtu_expires`, ip_sysctl.rst). */
export const learntCommand = (family: Family): readonly string[] => [
  ...['ip', '-j', `-${family}`],
  ...['route', 'show', 'cache'],
];

/** The largest packet that was found to reach an address, in bytes, by the address as printAddress has it. */
export const readLearnt = (jsonText: string, family: Family): ReadonlyMap<string, number> =>
  new Map(
    readEntries(learntCommand(family), jsonText).flatMap((entry) => {
      const to = addressField(entry, 'dst');
      const mtu = listField(entry, 'metrics')
        .map((metric) => numberField(metric, 'mtu'))
        .find((each) => each !== undefined);
      return to === undefined || mtu === undefined ? [] : [[printAddress(to), mtu] as const];
    }),
  );
