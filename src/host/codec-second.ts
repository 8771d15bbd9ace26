/** The second link of a tunnel in a HostRecord. */
import { parseEndpoint, printEndpoint } from '../net/index.ts';
import { isPendingKey, parsePublicKey } from '../wireguard/index.ts';
import { fields, flag, optional, parsed, type Reader, text, whole } from './json.ts';
import type { SecondLink } from './share.ts';

/** In a record it stands while keys are exchanged, and no longer. */
export const encodeSecond = ({ peer: { publicKey, endpoint, ...peer }, ...second }: SecondLink): unknown => ({
  ...second,
  peer: {
    ...peer,
    ...(publicKey && !isPendingKey(publicKey) && { publicKey }),
    ...(endpoint && { endpoint: printEndpoint(endpoint) }),
  },
});

export const readSecond: Reader<SecondLink> = (json, path) => {
  const from = fields(json, path);
  const peer = fields(from.peer, `${path}.peer`);
  return {
    link: text(from.link, `${path}.link`),
    ...optional(from, 'listenPort', whole, path),
    peer: {
      ...optional(peer, 'publicKey', parsed(parsePublicKey, 'a public key'), `${path}.peer`),
      ...optional(peer, 'endpoint', parsed(parseEndpoint, 'an endpoint'), `${path}.peer`),
      ...optional(peer, 'keepaliveSeconds', whole, `${path}.peer`),
    },
    carries: flag(from.carries, `${path}.carries`),
  };
};
