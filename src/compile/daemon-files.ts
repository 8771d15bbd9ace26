/** Which files tell the host's network daemons to leave ours alone. */
import { DAEMON_FILES, type HostFacts, isOwnFile } from '../host/index.ts';

/** By path. A file of ours stays when its daemon is stopped: it may be started again. One of others is not written over. */
export const daemonFiles = (facts: HostFacts): ReadonlyMap<string, string> =>
  new Map(
    DAEMON_FILES.flatMap(({ daemon, path, content }) => {
      const stands = facts.state.files.get(path);
      const isWanted = stands === undefined ? facts.daemons?.includes(daemon) === true : isOwnFile(stands);
      return isWanted ? [[path, content]] : [];
    }),
  );

/** Where somebody else's file has the name of ours. */
export const daemonNotes = (facts: HostFacts): readonly string[] =>
  DAEMON_FILES.flatMap(({ daemon, path }) => {
    const stands = facts.state.files.get(path);
    return stands === undefined || isOwnFile(stands)
      ? []
      : [`${path} is somebody else's and stays as it is: ${daemon} may take rules, routes or links of ours away`];
  });
