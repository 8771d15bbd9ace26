/** Firewalls with a tool of their own, ufw and firewalld: what their files say of ours, and what they are told. */
import {
  type AcceptPlace,
  type AcceptTraffic,
  FIREWALLD_FILES,
  FORGET_FIREWALLD,
  firewalldWish,
  NO_OWNERS_FILES,
  type OwnersFiles,
  readFirewalld,
  readUfwRules,
  UFW_FILES,
  type UfwRule,
  ufwWords,
  type WrittenTraffic,
} from '../../host/index.ts';
import type { Table } from '../../nftables/index.ts';
import { type Command, script, type Transport } from '../../transport/index.ts';
import { failure } from './ask.ts';

/** FILE…: `= FILE` before each, and what it says; nothing where there is no such file. */
export const READ_FILES = `for f; do t=$(cat "$f" 2>/dev/null; echo .); t=\${t%.}; printf '= %s\\n%s\\n' "$f" "$t"; done`;

const FILES = [UFW_FILES[4], UFW_FILES[6], FIREWALLD_FILES.zone, FIREWALLD_FILES.policy];

export const OWNERS_COMMAND = script(READ_FILES, ...FILES);

/**
 * Files in /etc are of the host itself; of another network namespace's they speak only where what they say stands in `tables`.
 */
export function readOwners(text: string, tables: readonly Table[], namespace: string | undefined): OwnersFiles {
  const parts = new Map(
    text
      .split(/^= (?=\/etc\/)/m)
      .slice(1)
      .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1, -1)] as const),
  );
  const of = (file: string): string => parts.get(file) ?? '';
  const hasUfw = tables.some(({ chains }) => chains.some(({ name }) => name === 'ufw-user-input'));
  const hasFirewalld = tables.some(({ family, name }) => family === 'inet' && name === 'firewalld');
  const isHere = (stands: boolean): boolean => stands || namespace === undefined;
  return {
    ufw: isHere(hasUfw)
      ? ([4, 6] as const).flatMap((family) => readUfwRules(of(UFW_FILES[family]), family))
      : NO_OWNERS_FILES.ufw,
    firewalld: isHere(hasFirewalld)
      ? readFirewalld(of(FIREWALLD_FILES.zone), of(FIREWALLD_FILES.policy))
      : NO_OWNERS_FILES.firewalld,
  };
}

type PlaceOf<Kind extends AcceptPlace['kind']> = Extract<AcceptPlace, { readonly kind: Kind }>;

/** Makes what is ours at the place this and nothing else. Gives the refusal, if there is one. */
export async function writeOwned(
  transport: Transport,
  place: PlaceOf<'ufw' | 'firewalld'>,
  wanted: readonly WrittenTraffic[],
): Promise<Error | undefined> {
  const commands = place.kind === 'firewalld' ? [tellFirewalld(wanted)] : await tellUfw(transport, place, wanted);
  for (const command of commands) {
    const output = await transport.run(command);
    if (output.status !== 0) return failure(transport.host, command.argv, output);
  }
  return undefined;
}

/** What the host is told once `stands` is at the place, for it to be as before. What is there of others' is looked at now. */
export async function undoOwned(
  transport: Transport,
  place: PlaceOf<'ufw' | 'firewalld'>,
  stands: readonly AcceptTraffic[],
  before: readonly WrittenTraffic[],
): Promise<readonly Command[]> {
  if (place.kind === 'firewalld') return [tellFirewalld(before)];
  const { stdout } = await transport.run({ argv: OWNERS_COMMAND });
  return ufwCommands(readOwners(stdout, [], undefined).ufw, place, before, stands);
}

/** All of ours there is deleted and added anew, by one command of ufw's for each: a rule has no name to be changed by. */
async function tellUfw(
  transport: Transport,
  place: PlaceOf<'ufw'>,
  wanted: readonly WrittenTraffic[],
): Promise<readonly Command[]> {
  const { stdout } = await transport.run({ argv: OWNERS_COMMAND });
  return ufwCommands(readOwners(stdout, [], undefined).ufw, place, wanted);
}

function ufwCommands(
  ufw: readonly UfwRule[],
  { family, chain, behind = 0 }: PlaceOf<'ufw'>,
  wanted: readonly WrittenTraffic[],
  stands?: readonly AcceptTraffic[],
): readonly Command[] {
  const isOwn = ({ own, ...rule }: UfwRule): boolean => rule.family === family && own?.chain === chain;
  const others = ufw.filter((rule) => !isOwn(rule));
  const route = chain === 'forward' ? ['route'] : [];
  const command = (verb: readonly string[], traffic: AcceptTraffic): readonly string[] => [
    ...['ufw', ...route, ...verb, 'allow', ...ufwWords(traffic, family)],
  ];
  const at = positionIn(others, family, chain, behind);
  const standing =
    stands ?? ufw.flatMap(({ own, ...rule }) => (own !== undefined && isOwn({ ...rule, own }) ? [own.traffic] : []));
  return [
    ...standing.map((traffic) => ({ argv: command(['delete'], traffic) })),
    ...wanted.map((traffic, index) => ({
      argv: [...command(at === undefined ? [] : ['insert', String(at + index)], traffic), 'comment', 'sallyport'],
    })),
  ];
}

/** Which of ufw's numbers, IPv4's first, has the rule that is to stand behind so many lines of its chain; undefined at the end. */
function positionIn(
  rules: readonly UfwRule[],
  family: UfwRule['family'],
  chain: 'input' | 'output' | 'forward',
  behind: number,
): number | undefined {
  let lines = 0;
  for (const [index, rule] of rules.entries()) {
    if (rule.family !== family) continue;
    const here = rule.lines.filter((each) => each === chain).length;
    if (here > 0 && lines >= behind) return index + 1;
    lines += here;
  }
  return undefined;
}

/**
 * ZONE POLICY LINKS LINK… RULE…: writes the files of that text, or takes away one of none, and tells the running firewalld what is new of
 * it, then what is old.
 */
const TELL_FIREWALLD = `${FORGET_FIREWALLD}
write() {
  if [ -z "$2" ]; then rm -f "$1"; return; fi
  mkdir -p "\${1%/*}" && printf '%s' "$2" >"$1.sallyport" && chmod 644 "$1.sallyport" && mv -f "$1.sallyport" "$1"
}
write ${FIREWALLD_FILES.zone} "$1" && write ${FIREWALLD_FILES.policy} "$2" || exit
firewall-cmd --state >/dev/null 2>&1 || exit 0
links=$3; shift 3
zone=trusted
case " $(firewall-cmd --get-zones) " in *' sallyport '*) zone=sallyport ;; esac
places=
if [ "$#" -gt "$links" ]; then
  case " $(firewall-cmd --get-policies) " in
    *' sallyport-outer '*) places=--policy=sallyport-outer ;;
    *) places=$({ firewall-cmd --get-default-zone; firewall-cmd --get-active-zones | sed -n '/^[^ ]/p'; } | sed 's/ .*//' | grep -vx -e trusted -e sallyport | sort -u | sed 's/^/--zone=/') ;;
  esac
fi
i=0
for each; do
  i=$((i+1))
  if [ "$i" -le "$links" ]; then firewall-cmd --zone="$zone" --change-interface="$each" >/dev/null || exit
  else for place in $places; do firewall-cmd "$place" --add-rich-rule="$each" >/dev/null || exit; done
  fi
done
forget_firewalld "$@"`;

function tellFirewalld(wanted: readonly WrittenTraffic[]): Command {
  const { zone, policy, links, rules } = firewalldWish(wanted);
  return { argv: script(TELL_FIREWALLD, zone, policy, String(links.length), ...links, ...rules) };
}
