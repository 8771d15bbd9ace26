/** What names mean on the host: those that its record has as endpoints, asked of its own resolver. */
import type { NamesOnHost } from '../../host/index.ts';
import { type Address, parseAddress } from '../../net/index.ts';
import { script } from '../../transport/index.ts';

/** Seconds; a resolver that does not answer must not hold up the look at the host. */
const PATIENCE_SECONDS = 3;

/**
 * RECORD SECONDS: the time, then a line `NAME ADDRESS…` for each name that stands in an endpoint of the record, all asked at once.
 * In the record's text an address with letters is in brackets, so what has a letter and none is a name.
 */
export const RESOLVE_NAMES = `
names=$(grep -o '"endpoint":"[^"]*"' "$1" 2>/dev/null | sed -n 's/^"endpoint":"\\([^[]*\\):[0-9]*"$/\\1/p' | grep '[a-z]' | sort -u)
[ -n "$names" ] || exit 0
date +%s
for n in $names; do
  { a=$(timeout "$2" getent ahosts "$n" 2>/dev/null | awk '!seen[$1]++ { printf " %s", $1 }'); printf '%s%s\\n' "$n" "$a"; } &
done
wait`;

/** Its output is for readNames. */
export const namesCommand = (stateFolder: string): readonly string[] =>
  script(RESOLVE_NAMES, `${stateFolder}/record.json`, String(PATIENCE_SECONDS));

/** The names, and a sentence for each that means nothing. */
export function readNames(text: string): { readonly names?: NamesOnHost; readonly unknown: readonly string[] } {
  const [time = '', ...lines] = text.trim().split('\n');
  if (time === '') return { unknown: [] };
  const meanings = new Map<string, readonly Address[]>();
  const unknown: string[] = [];
  for (const line of lines.sort()) {
    const [name = '', ...texts] = line.split(' ');
    // A link-local address has a zone behind it, which is no address of ours.
    const addresses = texts.flatMap((each) => parseAddress(each) ?? []);
    if (addresses.length > 0) meanings.set(name, addresses);
    else unknown.push(`the name ${name} means nothing here now: the peer that has it as endpoint stays where it is`);
  }
  return { names: { seconds: Number(time), meanings }, unknown };
}
