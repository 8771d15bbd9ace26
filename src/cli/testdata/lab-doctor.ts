/** `doctor` at the hosts of a lab, in this process: a start of the command line costs more than all that it looks at. */
import type { ManagedHost } from '../../apply/index.ts';
import { linuxDriver, type SharedKernel } from '../../drivers/index.ts';
import { type Lab, type LabDoctor, labEntry } from '../../lab/index.ts';
import { loadResources, type ResourceSet } from '../../resources/index.ts';
import { namespaceTransport } from '../../transport/index.ts';
import { examine } from '../commands/doctor.ts';
import { openOutput } from '../output.ts';

const NEVER = new AbortController().signal;
/** What links it can make is found once for all labs. */
const kernel: SharedKernel = {};

/** The hosts as documents would name them, and the way to each, `within` gone through first. */
export function openLabHosts(
  lab: Lab,
  names: readonly string[],
  within: readonly string[] = [],
): { readonly set: ResourceSet; readonly managed: readonly ManagedHost[] } {
  const text = names
    .map(
      (name) =>
        `apiVersion: sallyport.dev/v1alpha1\nkind: Host\nmetadata: { name: ${name} }\nspec: { access: { netns: { name: ${name} } } }\n`,
    )
    .join('---\n');
  const { set } = loadResources([{ name: 'lab', text }]);
  if (set === undefined) throw new TypeError(text);
  const managed = names.map((name) => {
    const transport = namespaceTransport(name, name, { entry: [...labEntry(lab), ...within] });
    return { name, transport, driver: linuxDriver(transport, kernel) };
  });
  return { set, managed };
}

export const labDoctor: LabDoctor = async (lab, host, within) => {
  const { set, managed } = openLabHosts(lab, [host], within);
  return (await examine(openOutput('json', false), set, managed, NEVER)).findings;
};
