import { LAB_FAULTS } from './all.ts';
import { testFaults } from './testdata/shows.ts';

/** Two files, for two workers. */
const HALF = 8;

testFaults(LAB_FAULTS.filter((_, index) => index < HALF));
