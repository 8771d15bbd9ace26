export type { Address, Family } from './address.ts';
export {
  addAddress,
  addressBits,
  compareAddresses,
  isAddress,
  parseAddress,
  printAddress,
  sameAddress,
} from './address.ts';
export type { Endpoint } from './endpoint.ts';
export { parseEndpoint, parseHostName, printEndpoint } from './endpoint.ts';
export type { Interval, IntervalSet } from './interval.ts';
export {
  containsValue,
  differenceOf,
  intersectionOf,
  intervals,
  isEmpty,
  portInterval,
  prefixesOf,
  prefixInterval,
  unionOf,
} from './interval.ts';
export { parseMac } from './mac.ts';
export { isNestedTooDeep } from './nesting.ts';
export type { PortRange, Transport } from './port.ts';
export {
  comparePortRanges,
  containsPort,
  parsePort,
  parsePortRange,
  portCount,
  portRangesOverlap,
  printPortRange,
  samePortRange,
} from './port.ts';
export type { InterfaceAddress, Prefix } from './prefix.ts';
export {
  comparePrefixes,
  containsAddress,
  containsPrefix,
  firstAddress,
  hostPrefix,
  lastAddress,
  networkOf,
  parseInterfaceAddress,
  parsePrefix,
  prefixesOverlap,
  printInterfaceAddress,
  printPrefix,
  samePrefix,
  wholeFamily,
} from './prefix.ts';
export type { PrefixEntry, PrefixTable } from './prefix-table.ts';
export { buildPrefixTable, lookupPrefix, lookupPrefixes } from './prefix-table.ts';
export type { AddressScope } from './scope.ts';
export { addressScope, isPublicAddress } from './scope.ts';
