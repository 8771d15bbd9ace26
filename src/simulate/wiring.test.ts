import { describe, expect, test } from 'vitest';
import { EMPTY_STATE } from '../host/index.ts';
import { type Address, parseAddress, parseInterfaceAddress } from '../net/index.ts';
import type { Link } from '../routing/index.ts';
import { cablingOf } from './flood.ts';
import { buildNetwork } from './network.ts';
import { type WiredHost, wiredTo, wireHosts } from './wiring.ts';

const address = (text: string): Address => {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(text);
  return found;
};

/** `[index, peer's index, peer's namespace]` or a bridge's `index`; `on`: a VLAN's number and the index of its device; `master` and `mac` beside. */
type Sketch = Readonly<
  Record<
    string,
    {
      readonly veth?: readonly [number, number, number?];
      readonly on?: readonly [number, number];
      readonly filters?: boolean;
      readonly master?: string;
      readonly mac?: string;
      readonly ip?: string;
    }
  >
>;

interface Machine {
  readonly kernel?: string;
  readonly links: Sketch;
  readonly names?: Readonly<Record<number, string>>;
  readonly neighbours?: readonly (readonly [link: string, address: string, mac: string])[];
}

function network(machines: Readonly<Record<string, Machine>>) {
  const wired = Object.entries(machines).map(
    ([name, { links, names = {}, neighbours = [], kernel }]): WiredHost => ({
      ...{ name, namespace: name },
      ...(kernel !== undefined && { kernel }),
      links: Object.entries(links).map(
        ([link, { veth, on, filters, master, mac }]): Link => ({
          ...{
            name: link,
            kind: veth !== undefined ? 'veth' : on !== undefined ? 'vlan' : link.startsWith('br') ? 'bridge' : 'ether',
            mtu: 1500,
            up: true,
          },
          ...(veth !== undefined && { index: veth[0], peerIndex: veth[1] }),
          ...(on !== undefined && { vlan: { id: on[0], protocol: '802.1Q' }, peerIndex: on[1] }),
          ...(filters === true && { vlanFiltering: true }),
          ...(veth?.[2] !== undefined && { peerNamespace: veth[2] }),
          ...(master !== undefined && { master }),
          ...(mac !== undefined && { mac }),
        }),
      ),
      namespaces: new Map(Object.entries(names).map(([number, of]) => [Number(number), of])),
      neighbours: neighbours.map(([link, at, mac]) => ({ link, address: address(at), mac })),
    }),
  );
  const hosts = wired.map(({ name, links }) => ({
    name,
    openAddresses: [],
    state: {
      ...EMPTY_STATE,
      links,
      addresses: Object.entries(machines[name]?.links ?? {}).flatMap(([link, { ip }]) => {
        const at = ip === undefined ? undefined : parseInterfaceAddress(ip);
        return at === undefined ? [] : [{ link, address: at, scope: 'global' }];
      }),
    },
  }));
  return buildNetwork(hosts, [], wireHosts(wired));
}

/** Where a packet for `nexthop` comes to. */
function to(machines: Readonly<Record<string, Machine>>, host: string, link: string, nexthop: string): string {
  const found = wiredTo(network(machines), { host, link }, address(nexthop));
  if (found === undefined) return 'not known';
  return 'kind' in found ? found.verdict : `${found.host} ${found.link}`;
}

/** Every eth0 has number 2 and peers with a number 2, as in namespaces made one by one. */
const alike = (ip: string): Sketch => ({ eth0: { veth: [2, 2, 0], ip } });

describe('a veth', () => {
  const three = {
    a: { links: alike('10.0.0.1/24'), names: { 0: 'b' } },
    b: { links: alike('10.0.0.2/24') },
    c: { links: alike('10.0.0.2/24') },
  };
  test('leads to the namespace that its own names', () => expect(to(three, 'a', 'eth0', '10.0.0.2')).toBe('b eth0'));
  test('leads back to it, which alone names the other', () =>
    expect(to(three, 'b', 'eth0', '10.0.0.1')).toBe('a eth0'));
  test('where nobody answers', () => expect(to(three, 'a', 'eth0', '10.0.0.9')).toBe('unreachable'));
  test('without names, with one that fits', () => {
    const two = {
      a: { links: { e: { veth: [3, 5, 0] }, f: { veth: [4, 5, 0] } } },
      b: { links: { g: { veth: [5, 3, 0], ip: '10.0.0.2/24' } } },
    } as const;
    expect(to(two, 'a', 'e', '10.0.0.2')).toBe('b g');
    expect(to(two, 'a', 'f', '10.0.0.2')).toBe('not known');
  });
  test('leads to no namespace of another kernel, whatever its numbers and names are', () => {
    const at = (kernel: string) =>
      ({
        a: { links: { e: { veth: [3, 5, 0] } }, names: { 0: 'b' }, kernel: 'one' },
        b: { links: { g: { veth: [5, 3, 0], ip: '10.0.0.2/24' } }, kernel },
      }) as const;
    expect(to(at('one'), 'a', 'e', '10.0.0.2')).toBe('b g');
    expect(to(at('another'), 'a', 'e', '10.0.0.2')).toBe('not known');
  });
  test('a VLAN stands on no device of another kernel', () => {
    const at = (kernel: string) =>
      cablingOf([
        {
          name: 'a',
          kernel: 'one',
          namespaces: new Map([[0, 'b']]),
          links: [
            {
              name: 'v',
              kind: 'vlan',
              mtu: 1500,
              up: true,
              vlan: { id: 5, protocol: '802.1Q' },
              peerIndex: 3,
              peerNamespace: 0,
            },
          ],
        },
        {
          name: 'b',
          kernel,
          namespace: 'b',
          namespaces: new Map(),
          links: [{ name: 'd', kind: 'ether', mtu: 1500, up: true, index: 3 }],
        },
      ]).lower.size;
    expect([at('one'), at('another')]).toEqual([1, 0]);
  });
  test('without names, with two that fit: an address at both is not decided', () => {
    const machines = {
      a: { links: alike('10.0.0.1/24') },
      b: { links: alike('10.0.0.2/24') },
      c: { links: alike('10.0.0.2/24') },
    };
    expect(to(machines, 'a', 'eth0', '10.0.0.2')).toBe('undecided');
  });
});

test('through a bridge of another host, to its ports and to itself', () => {
  const machines = {
    a: { links: { eth0: { veth: [2, 3, 0], ip: '10.0.0.1/24' } }, names: { 0: 'sw' } },
    sw: {
      links: {
        br0: { ip: '10.0.0.254/24' },
        p1: { veth: [3, 2, 0], master: 'br0' },
        p2: { veth: [4, 2, 1], master: 'br0' },
      },
      names: { 0: 'a', 1: 'b' },
    },
    b: { links: { eth0: { veth: [2, 4, 0], ip: '10.0.0.2/24' } }, names: { 0: 'sw' } },
  } as const;
  expect(to(machines, 'a', 'eth0', '10.0.0.2')).toBe('b eth0');
  expect(to(machines, 'a', 'eth0', '10.0.0.254')).toBe('sw br0');
  expect(to(machines, 'sw', 'br0', '10.0.0.2')).toBe('b eth0');
  expect(to(machines, 'b', 'eth0', '10.0.0.7')).toBe('unreachable');
});

test('by the hardware address of the neighbour, of two hosts with one address; else by a common prefix', () => {
  const links = (mac: string): Sketch => ({ eth0: { mac, ip: '10.0.0.2/24' } });
  const machines = {
    a: { links: { eth0: { ip: '10.0.0.1/24' } }, neighbours: [['eth0', '10.0.0.2', '02:00:00:00:00:0b']] },
    b: { links: links('02:00:00:00:00:0b') },
    c: { links: links('02:00:00:00:00:0c') },
  } as const;
  expect(to(machines, 'a', 'eth0', '10.0.0.2')).toBe('b eth0');
  expect(to({ ...machines, a: { links: machines.a.links } }, 'a', 'eth0', '10.0.0.2')).toBe('undecided');
  expect(to({ a: { links: machines.a.links }, b: machines.b }, 'a', 'eth0', '10.0.0.2')).toBe('b eth0');
  expect(to({ a: { links: machines.a.links }, b: machines.b }, 'a', 'eth0', '10.0.0.9')).toBe('not known');
});

describe('a VLAN over a bridge of another host', () => {
  const machines = (tag: number, filters = false) =>
    ({
      a: {
        links: { eth0: { veth: [2, 3, 0] }, v: { on: [5, 2], ip: '10.0.0.1/24' } },
        names: { 0: 'sw' },
      },
      sw: {
        links: {
          br0: filters ? { filters: true } : {},
          p1: { veth: [3, 2, 0], master: 'br0' },
          p2: { veth: [4, 2, 1], master: 'br0' },
        },
        names: { 0: 'a', 1: 'b' },
      },
      b: { links: { eth0: { veth: [2, 4, 0] }, v: { on: [tag, 2], ip: '10.0.0.2/24' } }, names: { 0: 'sw' } },
    }) as const;
  test('leads to the same number', () => expect(to(machines(5), 'a', 'v', '10.0.0.2')).toBe('b v'));
  test('and to no other', () => expect(to(machines(6), 'a', 'v', '10.0.0.2')).toBe('unreachable'));
  test('where the bridge keeps VLANs apart, nobody knows where it does not lead', () =>
    expect(to(machines(6, true), 'a', 'v', '10.0.0.9')).toBe('not known'));
});
