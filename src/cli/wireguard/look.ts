/** What stands in the network namespace of a pod. */
import { readdirSync, readFileSync } from 'node:fs';
import { POD_NUMBERS, POD_PROTOCOL, type PodFacts } from '../../compile/index.ts';
import type { Family } from '../../net/index.ts';
import {
  ADDRESSES_COMMAND,
  LINKS_COMMAND,
  type Link,
  MAIN_TABLE,
  readAddresses,
  readLinks,
  readRoutes,
  readRules,
  routesCommand,
  rulesCommand,
} from '../../routing/index.ts';
import type { Transport } from '../../transport/index.ts';
import { DUMP_COMMAND, readDump, type WireGuardDevice } from '../../wireguard/index.ts';
import { CommandFailure } from '../exit.ts';

export interface PodLook {
  readonly facts: PodFacts;
  readonly links: readonly Link[];
  /** The link itself, where it is there. */
  readonly link: Link | undefined;
  readonly device: WireGuardDevice | undefined;
}

/** How a link of ours is known again after its maker was killed. */
export const ALIAS = 'sallyport wireguard run';

/** Throws a CommandFailure where one of the commands fails. */
export async function lookAtPod(transport: Transport, name: string, signal?: AbortSignal): Promise<PodLook> {
  const families = familiesHere();
  const commands = [
    ...[LINKS_COMMAND, ADDRESSES_COMMAND, DUMP_COMMAND],
    ...families.flatMap((family) => [routesCommand(family), rulesCommand(family)]),
  ];
  const outputs = await transport.runAll(
    commands.map((argv) => ({ argv })),
    signal,
  );
  const stdout = (index: number): string => {
    const { status, stdout: text = '', stderr = '' } = outputs[index] ?? { status: 127 };
    if (status !== 0) throw new CommandFailure(`${(commands[index] ?? []).join(' ')}: ${whyOf(status, stderr)}`);
    return text;
  };
  const [links, devices] = [readLinks(stdout(0)), readDump(stdout(2))];
  const device = devices.find(({ link }) => link === name);
  const link = links.find((each) => each.name === name);
  const isOurs = link?.alias?.startsWith(ALIAS) === true;
  return {
    ...{ links, link, device },
    facts: {
      addresses: readAddresses(stdout(1)),
      routes: families.flatMap((family, index) => readRoutes(stdout(3 + 2 * index), family)),
      rules: families.flatMap((family, index) => readRules(stdout(4 + 2 * index), family)),
      families: new Set(families),
      ...(isOurs && device?.firewallMark !== undefined && { mark: device.firewallMark }),
      otherMarks: new Set(devices.flatMap(({ link: each, firewallMark = 0 }) => (each === name ? [] : [firewallMark]))),
    },
  };
}

const whyOf = (status: number, stderr: string): string =>
  status === 127 ? 'there is no such program here' : stderr.trim() || `status ${status}`;

/** IPv6 is off where its settings are not there, or say so for all links. */
function familiesHere(): readonly Family[] {
  return readSetting('net/ipv6/conf/all/disable_ipv6') === '0' ? [4, 6] : [4];
}

/** A path below /proc/sys; undefined where it is not there. */
export function readSetting(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Whether some link but `name` and lo drops what would not go back by it (the greater of its own rp_filter and that of all counts). */
export function checksStrictly(name: string): boolean {
  const own = (link: string): number => Number(readSetting(`net/ipv4/conf/${link}/rp_filter`) ?? 0);
  const all = own('all');
  return linksWithSettings().some((link) => link !== name && Math.max(all, own(link)) === 1);
}

function linksWithSettings(): readonly string[] {
  try {
    return readdirSync('/proc/sys/net/ipv4/conf').filter((each) => !['all', 'default', 'lo'].includes(each));
  } catch {
    return [];
  }
}

/** Routes and rules of this tunnel, and of no other one of ours. */
export function ownOf({ facts }: PodLook, name: string, mark: number): Pick<PodFacts, 'routes' | 'rules'> {
  const isTable = (table: number): boolean => mark !== 0 && table >= mark && table < mark + POD_NUMBERS;
  const routes = facts.routes.filter(
    ({ protocol, link, table }) => protocol === POD_PROTOCOL && (link === name || isTable(table)),
  );
  const rules = ([4, 6] as const).flatMap((family) => {
    const all = facts.rules.filter((each) => each.protocol === POD_PROTOCOL && each.family === family);
    // One that leads to main has no number: it belongs to the next after it that has one, and where there is none to nobody else.
    let isOwn = true;
    return all
      .toSorted((left, right) => right.priority - left.priority)
      .filter(({ action }) => {
        if (action.kind === 'lookup' && action.table !== MAIN_TABLE) isOwn = isTable(action.table);
        return isOwn;
      });
  });
  return { routes, rules };
}
