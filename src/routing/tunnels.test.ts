import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { printAddress } from '../net/index.ts';
import { addLinkArguments, printLink, readLinks } from './index.ts';

/** `ip -j -d link show` of iproute2 6.1 on Debian's kernel 6.1, with a link of each kind, and the devices that their modules make. */
const LISTED = readFileSync(new URL('testdata/links-of-tunnels.json', import.meta.url), 'utf8');

test('links that wrap packets have their two ends, and the devices of their modules none', () => {
  const links = readLinks(LISTED);
  const ends = links.flatMap(({ name, kind, outer }) =>
    outer === undefined ? [] : [[name, kind, printAddress(outer.local), printAddress(outer.remote)]],
  );
  expect(ends).toEqual([
    ['sp-s', 'sit', '10.0.0.1', '10.0.0.2'],
    ['sp-i', 'ipip', '10.0.0.1', '10.0.0.2'],
    ['sp-g', 'gre', '10.0.0.1', '10.0.0.2'],
    ['sp-6', 'ip6tnl', 'fd00::1', 'fd00::2'],
    ['sp-h', 'ip6gre', 'fd00::1', 'fd00::2'],
  ]);
  expect(links.map(({ name }) => name)).toContain('sit0');
});

test('they are made by the words that made those', () => {
  const made = readLinks(LISTED)
    .filter(({ outer }) => outer !== undefined)
    .map((link) => addLinkArguments({ ...link, up: false }).join(' '));
  expect(made).toEqual([
    'link add name sp-s mtu 1480 type sit mode any local 10.0.0.1 remote 10.0.0.2 ttl 64',
    'link add name sp-i mtu 1480 type ipip local 10.0.0.1 remote 10.0.0.2 ttl 64',
    'link add name sp-g mtu 1476 type gre local 10.0.0.1 remote 10.0.0.2 ttl 64',
    'link add name sp-6 mtu 1460 type ip6tnl mode any local fd00::1 remote fd00::2 hoplimit 64 encaplimit none',
    'link add name sp-h mtu 1456 type ip6gre local fd00::1 remote fd00::2 hoplimit 64 encaplimit none',
  ]);
  const [sit] = readLinks(LISTED).filter(({ name }) => name === 'sp-s');
  expect(sit && printLink(sit)).toBe('sp-s sit local 10.0.0.1 remote 10.0.0.2 mtu 1480 down');
});
