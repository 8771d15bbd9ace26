/** A host of a lab whose power fails, and that comes up again. */
import { rebuildScript } from './build.ts';
import type { Lab } from './lab.ts';
import { plugsOf } from './topology.ts';

/** HOST INTERFACE…: its cables die first, so that nothing is heard of what its processes say as they are killed; then it is no more. */
const OFF = `
host=$1; shift
for i; do ip -n "$host" link del "$i"; done
for p in $(ip netns pids "$host"); do kill -9 "$p" 2>/dev/null || :; done
ip netns del "$host"`;

/** All at once, as far as others can hear. */
export async function powerOff(lab: Lab, host: string): Promise<void> {
  const own = plugsOf(lab.topology, host).map((plug) => plug.interface);
  await lab.run(['sh', '-ec', OFF, 'sh', host, ...own]);
}

/** It stands as it stood at first, with none of its processes and nothing of what was set on it since. */
export async function powerOn(lab: Lab, host: string): Promise<void> {
  await lab.run(['sh', '-s'], { stdin: rebuildScript(lab.topology, host) });
}
