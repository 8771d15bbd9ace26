import { expect, test } from 'vitest';
import { loadResources, withHostKey } from './index.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
const HEAD = `# my edges
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata: { name: node }   # at home
spec: { access: { local: {} } }
---
apiVersion: sallyport.dev/v1alpha1
kind: Host
metadata:
  name: edge
spec:
`;
const TAIL = `  interfaces:
    - { name: eth0, zone: public } # the provider's
`;

for (const [what, before, after] of [
  [
    'a flow map',
    '  access: { ssh: { address: edge.example.com, user: root } } # by name\n',
    `  access: { ssh: { address: edge.example.com, user: root, hostKey: "${KEY}" } } # by name\n`,
  ],
  [
    'a flow map over several lines, with a comma at its end',
    '  access:\n    ssh: { address: edge.example.com, # here\n      port: 2222, }\n',
    `  access:\n    ssh: { address: edge.example.com, # here\n      port: 2222, hostKey: "${KEY}", }\n`,
  ],
  [
    'a block map, with a comment behind its last field',
    '  access:\n    ssh:\n      address: edge.example.com\n      user: "root" # no other\n',
    `  access:\n    ssh:\n      address: edge.example.com\n      user: "root" # no other\n      hostKey: "${KEY}"\n`,
  ],
  [
    'a block map in a file from elsewhere',
    '  access:\r\n    ssh:\r\n      address: edge.example.com\r\n',
    `  access:\r\n    ssh:\r\n      address: edge.example.com\r\n      hostKey: "${KEY}"\r\n`,
  ],
  [
    'another key before it',
    "  access:\n    ssh:\n      hostKey: 'ssh-rsa AAAAB3Nz' # old\n      address: edge.example.com\n",
    `  access:\n    ssh:\n      hostKey: "${KEY}" # old\n      address: edge.example.com\n`,
  ],
  [
    'JSON in YAML',
    '  access: {"ssh": {"address": "edge.example.com"}}\n',
    `  access: {"ssh": {"address": "edge.example.com", "hostKey": "${KEY}"}}\n`,
  ],
] as const)
  test(`nothing but the key is written: ${what}`, () => {
    const text = withHostKey(HEAD + before + TAIL, 'edge', KEY);
    expect(text).toBe(HEAD + after + TAIL);
    const { set, problems } = loadResources([{ name: 'edge.yaml', text: text ?? '' }]);
    expect(problems).toEqual([]);
    expect(set?.hosts.get('edge')?.access).toMatchObject({ kind: 'ssh', hostKey: KEY });
  });

test('an item of a List, and the last line without an end', () => {
  const text = `{"apiVersion": "v1", "kind": "List", "items": [
    {"apiVersion": "sallyport.dev/v1alpha1", "kind": "Host", "metadata": {"name": "edge"}, "spec": {"access": {"ssh": {"address": "e"}}}}]}`;
  expect(withHostKey(text, 'edge', KEY)).toBe(text.replace('"e"', `"e", "hostKey": "${KEY}"`));
  const block = 'kind: Host\nmetadata: { name: edge }\nspec:\n  access:\n    ssh:\n      address: e';
  expect(withHostKey(block, 'edge', KEY)).toBe(`${block}\n      hostKey: "${KEY}"`);
});

test('a Host that is reached through its gate gets it there', () => {
  const text = `${HEAD}  access: { agent: { address: edge.example.com, identityFile: edge.key } }\n`;
  const written = withHostKey(text, 'edge', KEY) ?? '';
  expect(written).toBe(text.replace('edge.key', `edge.key, hostKey: "${KEY}"`));
  const { set, problems } = loadResources([{ name: 'edge.yaml', text: written }]);
  expect(problems).toEqual([]);
  expect(set?.hosts.get('edge')?.access).toEqual({
    ...{ kind: 'agent', address: 'edge.example.com', port: 22, user: 'root' },
    ...{ identityFile: 'edge.key', hostKey: KEY },
  });
});

test('a Host that is not there, or is reached otherwise, gets none', () => {
  const text = `${HEAD}  access: { ssh: { address: edge.example.com } }\n`;
  expect(withHostKey(text, 'other', KEY)).toBeUndefined();
  expect(withHostKey(text, 'node', KEY)).toBeUndefined();
  expect(withHostKey('', 'edge', KEY)).toBeUndefined();
});
