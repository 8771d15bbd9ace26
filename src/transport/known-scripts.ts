import { GUARD } from './guard.ts';
import { END_GROUP, READ_FILE, SEVERAL, WITH_WHOLE_STDIN, WRITE_FILE } from './scripts.ts';

/** The texts of this room that a gate has, by name. */
export const TRANSPORT_SCRIPTS = { END_GROUP, GUARD, READ_FILE, SEVERAL, WITH_WHOLE_STDIN, WRITE_FILE } as const;
