export { readIpsets } from './ipset.ts';
export type { IptablesListing, IptablesProblem, IptablesReading } from './read.ts';
export { readIptablesSave } from './read.ts';
