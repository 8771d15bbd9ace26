/** `restore.sh`: what stands of ours on a host, as a text for a POSIX shell that brings it back after a boot, without us. */
import { createHash } from 'node:crypto';
import type { UndoCommand } from '../../apply/index.ts';
import { EMPTY_STATE, type HostFacts, type HostState, inOwnNetwork } from '../../host/index.ts';
import { planHost, restoreKey } from '../../plan/index.ts';
import { script } from '../../transport/index.ts';
import { RESTORE_SYSCTLS } from './scripts.ts';
import { nameOf } from './step-name.ts';
import { makeSteps, type Step } from './steps.ts';
import { commandsOf, type Place } from './undo.ts';

/** FOLDER: the key of what restore.sh there brings back, where it is as it was written. */
export const RESTORE_OF = `
f=$1/restore.sh
[ -e "$f" ] || exit 0
{ read -r _; read -r _ key sum; } <"$f"
s=$(tail -n +3 "$f" | sha256sum)
[ "\${s%% *}" != "$sum" ] || echo "$key"`;

/** Its output is for readRestore. */
export const restoreCommand = (stateFolder: string): readonly string[] => script(RESTORE_OF, stateFolder);

export const readRestore = (text: string): Pick<HostFacts, 'restore'> =>
  text.trim() === '' ? {} : { restore: text.trim() };

/** One item of the script: tried until it has come true. */
interface Item {
  /** For people: what it brings. */
  readonly what: string;
  readonly command: UndoCommand;
}

/** The whole text. The order is that of an apply on an empty host, so what opens comes after what judges. */
export async function restoreText(place: Place, state: HostState): Promise<string> {
  const items = await itemsOf(place, state);
  const { head, tail } = restoreFrame(place.stateFolder, place.transport.namespace);
  const body = `${head}${items.map(printItem).join('')}${tail}`;
  const sum = createHash('sha256').update(body).digest('hex');
  return `#!/bin/sh\n# ${restoreKey(state)} ${sum}\n${body}`;
}

/** What stands in it before and behind the things that it brings, but for its first two lines. */
export const restoreFrame = (stateFolder: string, namespace: string | undefined) => ({
  head: `# Brings back what Sallyport put on this host, without Sallyport: sh ${stateFolder}/restore.sh
# "boot": what cannot be yet is left to "online", which tries for two minutes.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C
umask 077
${inOwnNetwork('restore', stateFolder, namespace)}
mode=$1 done=' '
# Before the network nobody can be asked what a name means.
[ "$mode" != boot ] || export WG_ENDPOINT_RESOLUTION_RETRIES=0
${BRING}
pass() {
left=
`,
  tail: `}
n=0
until pass; [ -z "$left" ] || [ "$mode" != online ] || [ "$n" -ge 120 ]; do n=$((n+1)); sleep 1; done
[ -z "$left" ] || { [ "$mode" != boot ] || { printf 'left for later: %s' "$left"; exit 0; }; stop; }
`,
});

/**
 * `bring N WHAT COMMAND...`: once; that it is so already is well. `table`: the whole one at once, in the place of whatever has its name: a copy may
 * have come from /etc/nftables.conf. Without it nothing else comes: it is what judges. `fast NAME`: once all links stand.
 */
const BRING = `bring() {
  case $done in *" $1 "*) return ;; esac
  i=$1 what=$2; shift 2
  said=$("$@" 2>&1) || {
    said=\${said:-it failed}
    said=$(printf '%s\\n' "$said" | grep -v -e '^Command failed -:' -e 'File exists' -e 'lready assigned' | tail -n 1)
    [ -z "$said" ] || { left="$left$what: $said
"; return 1; }
  }
  done="$done$i "
}
stop() { printf 'restore: %s' "$left" >&2; exit 1; }
table() { if [ "$mode" = online ] && nft list tables | grep -qx 'table inet sallyport'; then cat >/dev/null; else nft -f -; fi; }
fast() { if nft list flowtables 2>/dev/null | grep -q "flowtable $1 "; then cat >/dev/null; else nft -f -; fi; }`;

/** No line of what goes to `nft` or `ip` reads so. */
const END = 'END_OF_ITEM';

function printItem({ what, command: { argv, stdin = '' } }: Item, index: number): string {
  const otherwise = argv[0] === 'table' ? ' || stop' : '';
  const head = `bring ${index + 1} ${quote(what)} ${argv.map(quote).join(' ')}`;
  if (stdin === '') return `${head} </dev/null${otherwise}\n`;
  return `${head} <<'${END}'${otherwise}\n${stdin}${stdin.endsWith('\n') ? '' : '\n'}${END}\n`;
}

async function itemsOf(place: Place, state: HostState): Promise<readonly Item[]> {
  const bare = { ...NOBODY_LOOKED, stateFolder: place.stateFolder };
  // Files are on the disk, and so is what ufw and firewalld were told.
  const lasting = state.accepts.filter(({ place: { kind } }) => kind === 'nft' || kind === 'iptables');
  const steps = makeSteps(
    planHost(bare, { state: { ...state, accepts: lasting, files: new Map() } }),
    place.stateFolder,
  );
  const first = steps.find(({ kind }) => kind === 'nft');
  const items: Item[] = [];
  for (const step of steps)
    for (const command of await bringing(place, step, step === first, state))
      items.push({ what: nameOf(step), command });
  return items;
}

async function bringing(
  place: Place,
  step: Step,
  isTable: boolean,
  { tables }: HostState,
): Promise<readonly UndoCommand[]> {
  switch (step.kind) {
    case 'sysctl':
      return [{ argv: script(RESTORE_SYSCTLS, ...step.items.flatMap(({ path, value }) => [path, value])) }];
    case 'nft': {
      if (!isTable) return [{ argv: ['fast', tables[0]?.flowtables?.[0]?.name ?? ''], stdin: step.transaction }];
      return [{ argv: ['table'], stdin: `add table inet sallyport\ndelete table inet sallyport\n${step.transaction}` }];
    }
    default:
      return commandsOf(place, step, step);
  }
}

const NOBODY_LOOKED: HostFacts = {
  source: 'observed',
  state: EMPTY_STATE,
  keys: new Map(),
  wireguard: 'unknown',
  vxlan: 'unknown',
};

/** One word of a shell, whatever is in it. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
