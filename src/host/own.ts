/** What is ours on a host is known by its name, its protocol number or its table, never by a range of numbers. */
import type { Table } from '../nftables/index.ts';
import { ownRoutes, ownRules } from '../routing/index.ts';
import { isOwnFile } from './daemon-files.ts';
import type { HostState } from './state.ts';

/** Whether a link is one that Sallyport made: every one of ours is named so, and none of others. */
export const isOwnLink = (name: string): boolean => name.startsWith('sp-');

/** The one table that is ours. */
export const isOwnTable = ({ family, name }: Pick<Table, 'family' | 'name'>): boolean =>
  family === 'inet' && name === 'sallyport';

/**
 * The part of `state` that is ours, with what the kernel itself put on our links (IPv6 link-local addresses). Sysctls are nobody's:
 * which of them we changed stands in the host's record.
 */
export const ownState = (state: HostState): HostState => ({
  links: state.links.filter(({ name }) => isOwnLink(name)),
  addresses: state.addresses.filter(({ link }) => isOwnLink(link)),
  routes: ownRoutes(state.routes),
  rules: ownRules(state.rules),
  sysctls: new Map(),
  devices: state.devices.filter(({ link }) => isOwnLink(link)),
  tables: state.tables.filter(isOwnTable),
  accepts: state.accepts,
  files: new Map([...state.files].filter(([, content]) => isOwnFile(content))),
});
