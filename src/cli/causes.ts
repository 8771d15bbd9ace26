/** Who most likely changed a kernel setting: the lines of sysctl files that set it otherwise. */
import { script, type Transport } from '../transport/index.ts';

/** A line of a sysctl file: `/etc/sysctl.d/99-hardening.conf:3`, the path it sets below /proc/sys, maybe with `*`, and the value. */
export interface SettingLine {
  readonly at: string;
  readonly key: string;
  readonly path: string;
  readonly value: string;
}

/**
 * The lines of all files that `sysctl --system` and systemd-sysctl read, in their order (sysctl.d(5)): a file hides those of its name
 * in the folders after it.
 */
export const FIND_SETTINGS = `
seen=' '
for f in /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf /usr/lib/sysctl.d/*.conf /etc/sysctl.conf; do
  [ -f "$f" ] || continue
  case $seen in *" \${f##*/} "*) continue ;; esac
  seen="$seen\${f##*/} "
  [ ! -L "$f" ] || [ "$(readlink -f "$f")" != /etc/sysctl.conf ] || continue
  grep -nHE '^[[:space:]]*-?[[:space:]]*net[./]' "$f"
done
# ufw sets its own at each start and reload (IPT_SYSCTL in /etc/default/ufw).
grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && grep -nHE '^[[:space:]]*net[./]' /etc/ufw/sysctl.conf
:`;

export const SETTINGS_COMMAND = script(FIND_SETTINGS);

export async function findSettings(transport: Transport, signal: AbortSignal): Promise<readonly SettingLine[]> {
  const { stdout } = await transport.run({ argv: SETTINGS_COMMAND }, signal);
  return readSettings(stdout);
}

/** The lines `FILE:LINE:KEY = VALUE`. */
export function readSettings(text: string): readonly SettingLine[] {
  return text.split('\n').flatMap((line): readonly SettingLine[] => {
    const found = /^(.*?:\d+):\s*-?\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (found === null) return [];
    const [, at = '', key = '', value = ''] = found;
    return [{ at, key, path: pathOf(key), value }];
  });
}

/** Where the first separator is a slash, all stay; else dots and slashes change places (sysctl.d(5)): the dot of `eth0/100` is a slash. */
const pathOf = (key: string): string =>
  /^[^./]*\//.test(key) ? key : key.replaceAll(/[./]/g, (each) => (each === '.' ? '/' : '.'));

/** The lines that set what stands at `path` to `now`, in words; undefined where none does. */
export function causeOf(path: string, now: string, lines: readonly SettingLine[]): string | undefined {
  const causes = lines.filter(
    (line) => line.value === now && writesOf(path).some((written) => globOf(line.path).test(written)),
  );
  return causes.length === 0
    ? undefined
    : causes.map(({ at, key, value }) => `${at} sets ${key} = ${value}`).join(', ');
}

/** The settings a write of which changes this one: `all` and ip_forward set every link's forwarding (devinet.c, inet_forward_change; addrconf.c). */
function writesOf(path: string): readonly string[] {
  const [, family, , , name] = path.split('/');
  if (name !== 'forwarding') return [path];
  return [path, `net/${family}/conf/all/forwarding`, ...(family === 'ipv4' ? ['net/ipv4/ip_forward'] : [])];
}

/** A `*` stands for one name, as in glob(7). */
const globOf = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&')
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]')}$`,
  );
