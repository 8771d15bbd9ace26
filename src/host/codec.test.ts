import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, hostPrefix, parseAddress } from '../net/index.ts';
import { parsePublicKey } from '../wireguard/index.ts';
import { decodeRecord, encodeRecord, type HostRecord, type HostShare, nextGeneration, RECORD_FORMAT } from './index.ts';

const at = (text: string): Address => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
};
const key = parsePublicKey(Buffer.alloc(32, 7).toString('base64'));

const port = fc.integer({ min: 1, max: 65535 });
const ports = fc.tuple(port, port).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const address = fc.constantFrom(...['192.0.2.1', '10.90.0.2', '2001:db8::1', 'fd90::2'].map(at));
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
const protocol = fc.constantFrom('tcp' as const, 'udp' as const);

const share: fc.Arbitrary<HostShare> = fc.record({
  tunnels: fc.array(
    fc.record(
      {
        name,
        type: fc.constantFrom('WireGuard' as const, 'VXLAN' as const, 'Direct' as const),
        link: name,
        addresses: fc.array(address.map((each) => ({ address: each, length: 30 }))),
        mtu: fc.integer({ min: 1280, max: 9000 }),
        peer: fc.record(
          {
            host: name,
            addresses: fc.array(address),
            allowedIps: fc.array(address.map(hostPrefix)),
            publicKey: fc.constant(key).map((each) => each ?? { pendingHost: '', pendingTunnel: '' }),
            endpoint: fc.record({ host: fc.oneof(address, fc.constant('vpn.example.com')), port }),
            keepaliveSeconds: fc.constant(25),
            mac: fc.constant('02:00:00:00:00:01'),
          },
          { requiredKeys: ['host', 'addresses', 'allowedIps'] },
        ),
        routes: fc.array(address.map(hostPrefix)),
        returns: fc.subarray([4 as const, 6 as const]),
        second: fc.record(
          {
            link: name,
            listenPort: port,
            peer: fc.record(
              {
                publicKey: fc.constant(key).map((each) => each ?? { pendingHost: '', pendingTunnel: '' }),
                endpoint: fc.record({ host: fc.oneof(address, fc.constant('vpn.example.com')), port }),
                keepaliveSeconds: fc.constant(25),
              },
              { requiredKeys: [] },
            ),
            carries: fc.boolean(),
          },
          { requiredKeys: ['link', 'peer', 'carries'] },
        ),
      },
      { requiredKeys: ['name', 'type', 'link', 'addresses', 'mtu', 'peer', 'routes', 'returns'] },
    ),
    { maxLength: 3 },
  ),
  forwards: fc.array(
    fc.record(
      {
        name,
        match: fc.oneof(
          fc.record({ address }),
          fc.record({ interface: name, family: fc.constantFrom(4 as const, 6 as const) }),
        ),
        protocol,
        ports,
        to: address,
        targetPorts: ports,
        masquerade: fc.boolean(),
        publicLinks: fc.array(name, { maxLength: 2 }),
        drain: fc.constant(false as const),
        silent: fc.array(name, { minLength: 1 }),
        fastPath: fc.constant(false as const),
        hairpin: fc.constant(false as const),
        stateless: fc.constant(true as const),
      },
      { requiredKeys: ['name', 'match', 'protocol', 'ports', 'to', 'targetPorts', 'masquerade', 'publicLinks'] },
    ),
    { maxLength: 3 },
  ),
  accepts: fc.array(
    fc.record(
      { name, tunnel: name, protocol, address, ports, masquerade: fc.boolean(), moveTo: address, behind: name },
      { requiredKeys: ['name', 'tunnel', 'protocol', 'address', 'ports', 'masquerade'] },
    ),
    {
      maxLength: 3,
    },
  ),
});

const EMPTY: HostRecord = {
  format: RECORD_FORMAT,
  version: '0.1.0',
  sets: new Map(),
  numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
  sysctlsBefore: new Map(),
};

const record: fc.Arbitrary<HostRecord> = fc.record({
  format: fc.constant(RECORD_FORMAT),
  version: fc.constant('0.1.0'),
  generation: fc.nat(),
  sets: fc.dictionary(name, share, { maxKeys: 2 }).map((sets) => new Map(Object.entries(sets))),
  numbers: fc.record({
    mark: fc.constant({ value: 1, mask: 0xff }),
    suppressPriority: fc.constant(5000),
    tunnels: fc
      .dictionary(name, fc.record({ index: port, table: port, priority: port }), { maxKeys: 3 })
      .map((each) => new Map(Object.entries(each))),
  }),
  sysctlsBefore: fc
    .dictionary(
      fc.constantFrom('net/ipv4/conf/eth0/forwarding', 'net/ipv6/conf/all/forwarding'),
      fc.constantFrom('0', '1'),
    )
    .map((each) => new Map(Object.entries(each))),
});

test('a record read again is the same, and gives the same text', () => {
  fc.assert(
    fc.property(record, (written) => {
      const read = decodeRecord(encodeRecord(written));
      expect(read).toEqual({ record: written });
      if ('record' in read) expect(encodeRecord({ ...read.record })).toBe(encodeRecord(written));
    }),
  );
});

test('a record that says something else is the next generation; one that says the same is not, counted or not', () => {
  const { generation, ...first } = nextGeneration(EMPTY, undefined);
  expect(generation).toBe(1);
  for (const standing of [first, { ...first, generation: 7 }] as readonly HostRecord[]) {
    const read = decodeRecord(encodeRecord(standing));
    const before = 'record' in read ? read.record : undefined;
    expect(nextGeneration(EMPTY, before)).toEqual(standing);
    const other = { ...EMPTY, sysctlsBefore: new Map([['net/ipv4/ip_forward', '0']]) };
    expect(nextGeneration(other, before).generation).toBe((standing.generation ?? 0) + 1);
  }
});

test('what forwards share stands once before them, also where others come between', () => {
  const at4 = (text: string) => ({
    match: { address: at('192.0.2.1') },
    to: at(text),
    masquerade: false,
    publicLinks: [],
  });
  const own = (name: string, port: number) => {
    const range = { first: port, last: port };
    return { name, protocol: 'tcp', ports: range, targetPorts: range } as const;
  };
  const forwards = [
    { ...at4('10.90.0.2'), ...own('a', 80) },
    { ...at4('10.90.0.2'), ...own('b', 81) },
    { ...at4('10.90.0.2'), link: 'eth1', ...own('c', 82) },
    { ...at4('10.90.0.2'), ...own('d', 83) },
  ];
  const text = encodeRecord({ ...EMPTY, sets: new Map([['default', { tunnels: [], forwards, accepts: [] }]]) });
  const shared = '"masquerade":false,"match":{"address":"192.0.2.1"},"publicLinks":[],"to":"10.90.0.2"}';
  expect(text).toContain(`"forwards": [
      {${shared},
      ["a","tcp","80","80"],
      ["b","tcp","81","81"],
      {"link":"eth1",${shared},
      ["c","tcp","82","82"],
      {${shared},
      ["d","tcp","83","83"]
    ]`);
  expect(decodeRecord(text)).toMatchObject({ record: { sets: new Map([['default', { forwards }]]) } });
});

test('a record of format 1, in which each forward is an object, is read as it was', () => {
  const forward =
    '{"link":"priv0","masquerade":false,"match":{"address":"198.51.100.10"},"name":"web","ports":"80","protocol":"tcp","publicLinks":["eth0"],"targetPorts":"8080","to":"172.31.0.2"}';
  const accept =
    '{"address":"10.90.0.2","masquerade":false,"moveTo":"192.0.2.9","name":"web","ports":"8080","protocol":"tcp","tunnel":"t"}';
  const set = `"sets": {"default":{"tunnels":[],"forwards":[${forward},${forward.replace('web', 'again')}],"accepts":[${accept}]}}`;
  const text = encodeRecord({ ...EMPTY, format: 1 }).replace(/"sets": \{\n\n\}/, set);
  const read = decodeRecord(text);
  const share = 'record' in read ? read.record.sets.get('default') : undefined;
  const common = { protocol: 'tcp', masquerade: false };
  expect(share?.forwards).toEqual(
    ['web', 'again'].map((each) => ({
      ...{ ...common, name: each, link: 'priv0', publicLinks: ['eth0'] },
      ...{ match: { address: at('198.51.100.10') }, to: at('172.31.0.2') },
      ...{ ports: { first: 80, last: 80 }, targetPorts: { first: 8080, last: 8080 } },
    })),
  );
  expect(share?.accepts).toEqual([
    {
      ...{ ...common, name: 'web', tunnel: 't', address: at('10.90.0.2'), moveTo: at('192.0.2.9') },
      ports: { first: 8080, last: 8080 },
    },
  ]);
});

test('the fields of every tunnel, forward and accepted target stand in one order', () => {
  fc.assert(
    fc.property(record, (written) => {
      for (const line of encodeRecord(written).split('\n')) {
        const item = /^ {6}(\{.*\}),?$/.exec(line)?.[1];
        if (item === undefined) continue;
        const names = Object.keys(JSON.parse(item));
        expect(names).toEqual([...names].sort());
      }
    }),
  );
});

describe('a record that cannot be used says why', () => {
  const good = encodeRecord(EMPTY);
  for (const [what, text, problem] of [
    [
      'written by a newer Sallyport',
      good.replace(`"format": ${RECORD_FORMAT}`, '"format": 99').replace('0.1.0', '9.9.9'),
      /format 99, written by Sallyport 9\.9\.9; this one knows format 2/,
    ],
    ['cut short', good.slice(0, 40), /cannot be read/],
    [
      'of another shape',
      good.replace('"sets": {', '"sets": [').replace(/\}\n\}\n$/, ']\n}\n'),
      /sets: an object expected/,
    ],
    ['with a wrong number', good.replace('5000', '-1'), /suppressPriority: a whole number expected, found -1/],
    [
      'with a row and nothing it shares',
      good.replace(
        /"sets": \{\n\n\}/,
        '"sets": {"s": {"tunnels": [], "forwards": [["a", "tcp", "80", "80"]], "accepts": []}}',
      ),
      /sets\.s\.forwards\[0\]: what the rows share expected/,
    ],
    [
      'with the path of a file as a setting',
      good.replace('"sysctlsBefore": {}', '"sysctlsBefore": {"net/../../../etc/passwd": "0"}'),
      /sysctlsBefore: a sysctl of a network expected, found "net\/\.\./,
    ],
    ['not JSON', 'hello', /cannot be read/],
  ] as const)
    test(what, () => expect(decodeRecord(text)).toEqual({ problem: expect.stringMatching(problem) }));
});

test('keys not made yet are left out: they are known at the next apply', () => {
  const pending: HostShare = {
    tunnels: [
      {
        name: 't',
        type: 'WireGuard',
        link: 'sp-t',
        addresses: [],
        mtu: 1420,
        peer: { host: 'h', addresses: [], allowedIps: [], publicKey: { pendingHost: 'h', pendingTunnel: 't' } },
        routes: [],
        returns: [],
      },
    ],
    forwards: [],
    accepts: [],
  };
  const text = encodeRecord({
    format: RECORD_FORMAT,
    version: '0',
    sets: new Map([['default', pending]]),
    numbers: { mark: { value: 1, mask: 255 }, suppressPriority: 5000, tunnels: new Map() },
    sysctlsBefore: new Map(),
  });
  const read = decodeRecord(text);
  expect('record' in read && read.record.sets.get('default')?.tunnels[0]?.peer.publicKey).toBeUndefined();
});
