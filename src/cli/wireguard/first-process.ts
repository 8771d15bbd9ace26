/** Process 1 of a container: it must take in what its children leave behind, which Node does not. */

/**
 * A shell in our place that starts us again as its child, hands signals on and waits for whoever ends: a shell's wait takes in orphans, too. The
 * status is the child's.
 */
const INIT = `
trap 'kill -TERM "$child"' TERM
trap 'kill -INT "$child"' INT
trap 'kill -HUP "$child"' HUP
"$@" & child=$!
status=0
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
exit "$status"`;

/** Comes back where this is not process 1, or where this Node cannot put another program in its place (before 22.15): then orphans stay. */
export function becomeChild(): void {
  if (process.pid !== 1 || process.execve === undefined) return;
  const argv = ['sh', '-c', INIT, 'sh', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve('/bin/sh', argv, process.env as NodeJS.ProcessEnv & Record<string, string>);
}
