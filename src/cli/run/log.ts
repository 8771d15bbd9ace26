/** What `run` says of itself: a line for each thing that happened, for people or (--log json) for machines. */

export type Level = 'info' | 'warn' | 'error';

/** What happened; a closed list, for whoever reads the lines by a program. */
export type LogEvent =
  | 'started'
  | 'seen'
  | 'unreachable'
  | 'repaired'
  | 'failed'
  | 'busy'
  | 'targets'
  | 'documents'
  | 'refused'
  | 'waiting'
  | 'stopped'
  /** Of `wireguard run`. */
  | 'tunnel'
  | 'health';

export interface LogFields {
  readonly host?: string;
  readonly resource?: string;
  /** One each of what was done or found. */
  readonly changes?: readonly string[];
}

export type Log = (level: Level, event: LogEvent, message: string, fields?: LogFields) => void;

/** Lists longer than this are counted: ten thousand forwards may come back at once. */
const MOST_CHANGES = 10;

/** Writes lines by `write`; `now` in milliseconds since the epoch. */
export function openLog(format: 'text' | 'json', write: (line: string) => void, now: () => number): Log {
  return (level, event, message, { changes = [], ...fields } = {}) => {
    const time = new Date(now()).toISOString();
    const shown = changes.slice(0, MOST_CHANGES);
    const more = changes.length - shown.length;
    if (format === 'json') {
      const list = changes.length === 0 ? {} : { changes: shown, ...(more > 0 && { moreChanges: more }) };
      return write(JSON.stringify({ time, level, event, ...fields, message, ...list }));
    }
    const about = fields.host ?? fields.resource;
    const rest = more > 0 ? [`and ${more} more`] : [];
    const list = changes.length === 0 ? '' : `: ${[...shown, ...rest].join(', ')}`;
    const mark = level === 'info' ? '' : `${level}: `;
    write(`${time} ${mark}${about === undefined ? '' : `${about}: `}${message}${list}`);
  };
}
