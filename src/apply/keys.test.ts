import { expect, test } from 'vitest';
import { EMPTY_STATE } from '../host/index.ts';
import { makeKeys } from './keys.ts';

test('a preshared key of which one end alone can be asked is made for neither', async () => {
  const host = (name: string, presharedFor?: readonly string[]) => ({
    ...{ host: name, changes: [] },
    facts: { source: 'observed', state: EMPTY_STATE, keys: new Map(), wireguard: 'kernel', vxlan: 'kernel' } as const,
    aim: { state: EMPTY_STATE, keyLinks: [], notes: [], ...(presharedFor && { presharedFor }) },
  });
  const { signal } = new AbortController();
  await expect(
    makeKeys([], { problems: [], hosts: [host('edge', ['edge-node']), host('node')] }, { signal }),
  ).rejects.toThrow(
    'Tunnel edge-node: its preshared key is made for both ends at once, and only edge can be asked; nothing was changed',
  );
});
