import { describe, expect, test } from 'vitest';
import { addressScope, isPublicAddress, parseAddress } from './index.ts';

describe('scope, and whether public', () => {
  for (const [text, scope, isPublic] of [
    ['0.0.0.0', 'unspecified', false],
    ['0.1.2.3', 'thisNetwork', false],
    ['9.255.255.255', 'global', true],
    ['10.0.0.0', 'private', false],
    ['10.255.255.255', 'private', false],
    ['11.0.0.0', 'global', true],
    ['100.63.255.255', 'global', true],
    ['100.64.0.0', 'shared', false],
    ['100.127.255.255', 'shared', false],
    ['100.128.0.0', 'global', true],
    ['127.0.0.53', 'loopback', false],
    ['169.254.169.254', 'linkLocal', false],
    ['172.15.255.255', 'global', true],
    ['172.16.0.0', 'private', false],
    ['172.31.255.255', 'private', false],
    ['172.32.0.0', 'global', true],
    ['192.0.0.2', 'protocol', false],
    ['192.0.0.9', 'global', true],
    ['192.0.2.1', 'documentation', true],
    ['192.168.1.1', 'private', false],
    ['192.169.0.0', 'global', true],
    ['198.18.0.1', 'benchmarking', true],
    ['198.51.100.10', 'documentation', true],
    ['203.0.113.9', 'documentation', true],
    ['224.0.0.1', 'multicast', false],
    ['240.0.0.1', 'reserved', false],
    ['255.255.255.255', 'broadcast', false],
    ['::', 'unspecified', false],
    ['::1', 'loopback', false],
    ['::2', 'reserved', false],
    ['::ffff:8.8.8.8', 'mapped', false],
    ['64:ff9b::8.8.8.8', 'global', true],
    ['64:ff9b:1::1', 'translation', false],
    ['100::1', 'discard', false],
    ['2001::1', 'global', true],
    ['2001:1::1', 'global', true],
    ['2001:1::4', 'protocol', false],
    ['2001:2::1', 'benchmarking', true],
    ['2001:200::1', 'global', true],
    ['2001:db8::1', 'documentation', true],
    ['2001:db9::1', 'global', true],
    ['2a01:4f8::1', 'global', true],
    ['3fff:fff::1', 'documentation', true],
    ['5f00::1', 'segmentRouting', false],
    ['fc00::1', 'private', false],
    ['fd90::1', 'private', false],
    ['fe80::1', 'linkLocal', false],
    ['febf::1', 'linkLocal', false],
    ['fec0::1', 'siteLocal', false],
    ['ff02::1', 'multicast', false],
    ['ff0e::1', 'multicast', false],
  ] as const) {
    test(text, () => {
      const address = parseAddress(text);
      expect(address && addressScope(address)).toBe(scope);
      expect(address && isPublicAddress(address)).toBe(isPublic);
    });
  }
});
