export { readIpsets } from './ipset.ts';
export { printIptablesTable } from './print.ts';
export type { IptablesListing, IptablesProblem, IptablesReading } from './read.ts';
export { readIptablesSave } from './read.ts';
