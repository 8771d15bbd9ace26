/** What a plane keeps in memory: processes at the edge, and the kernel's own for its rules. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { whileHeld } from './load.ts';
import { COMPARED, isProxy, targetOfPlane } from './plane.ts';
import type { Site } from './site.ts';

/** Connections that stand while the processes are looked at. */
export const HELD = 200;

export interface Residents {
  readonly processes: number;
  /** Proportional set size of all of them (proc(5), smaps_rollup). */
  readonly pssKiB: number;
}

/** Of each plane the processes in its edge's namespace, with connections standing through it. */
export async function readResidents(site: Site): Promise<ReadonlyMap<string, Residents>> {
  const residents = new Map<string, Residents>();
  for (const plane of COMPARED) {
    const pair = site.pair(plane.name);
    const look = (): Promise<Residents> => processesOf(site, pair.edge);
    residents.set(
      plane.name,
      await whileHeld(site.lab.host('client'), targetOfPlane(plane, pair), isProxy(plane) ? HELD : 1, look),
    );
  }
  return residents;
}

const PSS = `ps=$(ip netns pids "$1"); for p in $ps; do sed -n 's/^Pss: *//p' "/proc/$p/smaps_rollup"; done`;

async function processesOf({ lab }: Site, host: string): Promise<Residents> {
  const { stdout } = await lab.run(['sh', '-c', PSS, 'sh', host]);
  const sizes = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number.parseInt(line, 10));
  return { processes: sizes.length, pssKiB: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Readings this alike count as the kernel's rest. */
const REST_KIB = 64;

/** The kernel's memory for its objects, slabs and vmalloc, in KiB, once what was deleted before has been given back (RCU). */
export async function kernelMemory(): Promise<number> {
  let last = Number.NaN;
  for (let look = 0; look < 50; look++) {
    const now = readKernelMemory();
    if (Math.abs(now - last) < REST_KIB) return now;
    last = now;
    await pause(100);
  }
  return last;
}

function readKernelMemory(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}: *(\\d+) kB$`, 'm').exec(text)?.[1]);
  return field('Slab') + field('VmallocUsed');
}
