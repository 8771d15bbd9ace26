/** What is done to a host that is armed: it counts only while the host has not taken the change back. */
import { script } from './scripts.ts';
import { type Transport, TransportError } from './transport.ts';

/** The change that a command is part of. */
export interface Guard {
  /** Where it is armed. */
  readonly folder: string;
  /** Which change that is. */
  readonly token: string;
  /** The step that the command belongs to, from 1. */
  readonly step: number;
}

/** The status of a command that came too late, and what is said of it. */
export const NOT_ARMED = 47;
export const TOO_LATE = 'too late: the host has taken the change back';

/** By its name there the host is armed, until somebody takes it away: who confirms, or who undoes. */
export const armedName = (token: string): string => `armed.${token}`;

/**
 * FOLDER TOKEN STEP COMMAND…: runs COMMAND while the host is armed, status 47 where it is not. Who undoes takes the mark away first, and then
 * the lock for itself alone: a command that saw the mark holds it until it ends, even where nobody waits for it any more.
 */
export const GUARD = `
[ -e "$1/lock" ] || exit ${NOT_ARMED}
exec 9<"$1/lock"
flock -s 9 || exit
[ -e "$1/armed.$2" ] || exit ${NOT_ARMED}
read -r n <"$1/begun"
[ "$n" -ge "$3" ] || echo "$3" >"$1/begun"
echo $$ >"$1/doing"
shift 3
exec "$@"`;

export const guardedArguments = ({ folder, token, step }: Guard, argv: readonly string[]): readonly string[] =>
  script(GUARD, folder, token, String(step), ...argv);

/** The transport by which one step of a change is carried out. */
export function guarded(transport: Transport, guard: Guard | undefined): Transport {
  if (guard === undefined) return transport;
  return {
    ...transport,
    run: (command, signal) => transport.run({ ...command, guard }, signal),
    writeFile: (path, content, mode, options) => transport.writeFile(path, content, mode, { ...options, guard }),
    async removeFile(path, signal) {
      const argv = ['rm', '-f', '--', path];
      const { status, stderr } = await transport.run({ argv, guard }, signal);
      if (status !== 0) throw new TransportError(transport.host, argv, `${path} cannot be removed: ${stderr.trim()}`);
    },
  };
}
