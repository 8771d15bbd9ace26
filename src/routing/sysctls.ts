import type { Sysctls } from './state.ts';

const ROOT = '/proc/sys/';

/** Whether it is the path of a sysctl of a network, below /proc/sys, and leads nowhere else. */
export const isNetworkSysctl = (path: string): boolean =>
  /^net(?:\/[^/\0]+)+$/.test(path) && !path.split('/').some((part) => part === '.' || part === '..');

/**
 * One command that reads many sysctls, for readSysctls: paths below /proc/sys, where a part that is `*` stands for every name
 * there. Its status is 2 where one cannot be read: what is missing on the host is missing in the output. It gives more than was
 * asked for: each last part is looked for below the beginning of each path. Not `sysctl`: it takes the dot in an interface's name
 * for a slash, and with `-a` it reads a thousand files.
 */
export function sysctlCommand(paths: readonly string[]): readonly string[] {
  const names = new Set(paths.map((path) => path.slice(path.lastIndexOf('/') + 1)));
  const roots = [...new Set(paths.map((path) => path.split('/*')[0] ?? path))];
  // A file below two of them would be printed twice.
  const outermost = roots.filter((root) => !roots.some((other) => root.startsWith(`${other}/`)));
  const includes = [...names].map((name) => `--include=${name}`);
  return ['grep', '-rsH', ...includes, '', ...outermost.map((root) => `${ROOT}${root}`)];
}

/** The sysctls in the output of sysctlCommand. A value of several lines keeps them. Throws an Error on a line of another form. */
export function readSysctls(text: string): Sysctls {
  const sysctls = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    // No interface name holds a colon or a line break (net/core/dev.c, dev_valid_name).
    const colon = line.indexOf(':');
    if (!line.startsWith(ROOT) || colon === -1) {
      throw new Error(
        `output of "grep -rsH '' /proc/sys/...": not a path and its value: ${JSON.stringify(line.slice(0, 120))}`,
      );
    }
    const path = line.slice(ROOT.length, colon);
    const before = sysctls.get(path);
    const value = line.slice(colon + 1);
    sysctls.set(path, before === undefined ? value : `${before}\n${value}`);
  }
  return sysctls;
}
