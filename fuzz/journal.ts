/** What hosts track, so that a trace may be taken back: where chance chooses, each way begins with the same connections. */
import type { Connections } from '../src/simulate/index.ts';

type Table = Connections extends Map<string, infer T> ? T : never;
type Found = NonNullable<ReturnType<Table['get']>>;
type Connection = Found['connection'];

export interface Journal {
  readonly connections: Connections;
  readonly undo: () => void;
}

/** Notes what is changed in the tables of these hosts. */
export function startJournal(connections: Connections, hosts: Iterable<string>): Journal {
  const saved = new Map<Connection, Connection>();
  const undone: (() => void)[] = [];
  const note = (connection: Connection): void => {
    for (let each: Connection | undefined = connection; each !== undefined && !saved.has(each); each = each.earlier)
      saved.set(each, { ...each, settled: new Set(each.settled), ...(each.tcp && { tcp: { ...each.tcp } }) });
  };
  const noted = new Map<string, Table>();
  for (const host of hosts) {
    const table: Table = connections.get(host) ?? new Map<string, Found>();
    connections.set(host, table);
    const keep = (key: string): void => {
      const before = table.get(key);
      undone.push(() => (before === undefined ? table.delete(key) : table.set(key, before)));
    };
    noted.set(host, {
      get size() {
        return table.size;
      },
      has: (key) => table.has(key),
      *values() {
        for (const found of table.values()) {
          note(found.connection);
          yield found;
        }
      },
      get(key) {
        const found = table.get(key);
        if (found !== undefined) note(found.connection);
        return found;
      },
      set(key, found) {
        keep(key);
        return table.set(key, found);
      },
      delete(key) {
        keep(key);
        return table.delete(key);
      },
    });
  }
  return {
    connections: noted,
    undo() {
      for (const back of undone.reverse()) back();
      for (const [connection, before] of saved) {
        for (const name of ['earlier', 'masqueradedFor'] as const) delete connection[name];
        Object.assign(connection, before);
      }
    },
  };
}
