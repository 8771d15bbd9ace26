/** Which files tell the host's daemons of us. */
import { DAEMON_FILES, type HostFacts, isOwnFile } from '../host/index.ts';

/**
 * By path. A file of ours stays when its daemon is stopped: it may be started again. One of others is not written over. Without tunnels there
 * is nothing that a network daemon could take away, and yet what a boot brings back.
 */
export const daemonFiles = (facts: HostFacts, hasTunnels: boolean): ReadonlyMap<string, string> =>
  new Map(
    DAEMON_FILES.flatMap(({ daemon, path, content }) => {
      if (!hasTunnels && daemon !== 'systemd') return [];
      const stands = facts.state.files.get(path);
      const isWanted = stands === undefined ? facts.daemons?.includes(daemon) === true : isOwnFile(stands);
      return isWanted ? [[path, content]] : [];
    }),
  );

/** Where somebody else's file has the name of ours, and where nobody starts us. */
export const daemonNotes = (facts: HostFacts): readonly string[] => [
  ...DAEMON_FILES.flatMap(({ daemon, path }) => {
    const stands = facts.state.files.get(path);
    if (stands === undefined || isOwnFile(stands)) return [];
    const so =
      daemon === 'systemd' ? 'brings nothing back after a boot' : 'may take rules, routes or links of ours away';
    return [`${path} is somebody else's and stays as it is: ${daemon} ${so}`];
  }),
  ...(facts.init === undefined
    ? []
    : [
        `${facts.init} starts this host: what stands is brought back after a boot once /etc/init.d/sallyport is there, which "sallyport render -f ... --host ... --boot ${facts.init}" prints`,
      ]),
];
