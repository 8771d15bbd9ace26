import { expect, test } from 'vitest';
import { readIptablesSave } from '../iptables/index.ts';
import {
  besideHandMade,
  EMPTY_STATE,
  type ForeignAccept,
  type HandMade,
  type HostState,
  readAccepts,
  standingOf,
  withoutHandMade,
} from './index.ts';

const OURS = '-A FORWARD -m connmark ! --mark 0x0/0xff -m comment --comment sallyport -j ACCEPT';
const HAND = '-A FORWARD -i eth0 -o wg0 -j ACCEPT';

/** The chain FORWARD with these lines. */
function host(...lines: readonly string[]): HostState {
  const { tables } = readIptablesSave(`*filter\n:FORWARD DROP [0:0]\n${lines.join('\n')}\nCOMMIT\n`, {
    family: 4,
    origin: 'iptables-nft',
  });
  return { ...EMPTY_STATE, tables, accepts: readAccepts(tables) };
}

const made: HandMade = {
  ...{ kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'FORWARD' },
  ...{ behind: 0, behindOurs: false, text: HAND },
};
const linesOf = ({ tables }: HostState): readonly (string | undefined)[] =>
  tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules.map(({ text }) => text)));
const accept = (behind: number): ForeignAccept => ({
  place: { kind: 'iptables', family: 4, backend: 'nft', table: 'filter', chain: 'FORWARD', behind },
  traffic: [{ kind: 'connections', mask: 0xff }],
});

const A = '-A FORWARD -s 10.0.0.1/32 -j DROP';
const B = '-A FORWARD -s 10.0.0.2/32 -j DROP';

test('it is found by its text, wherever it stands, and every one of its kind', () => {
  const found = standingOf(host(A, OURS, HAND, B, HAND), [made]);
  expect(found).toMatchObject([
    { behind: 1, behindOurs: true, text: HAND },
    { behind: 3, behindOurs: true },
  ]);
  expect(standingOf(host(A, B), [made])).toEqual([]);
});

test('without it the others stand as they did, and ours counts them alone', () => {
  const without = withoutHandMade(host(A, HAND, OURS, B), [made]);
  expect(linesOf(without)).toEqual([A, OURS, B]);
  expect(without.accepts).toMatchObject([{ place: { behind: 1 } }]);
  const bare = host(A, B);
  expect(withoutHandMade(bare, [made])).toBe(bare);
});

for (const [what, lines, wanted, written] of [
  ['before what goes', [A, HAND, B], 1, 1],
  ['behind what goes, where there is more to stand behind', [HAND, A, B], 1, 2],
  ['at the head', [HAND, A], 0, 0],
  ['where it stands already, if that comes to the same', [A, HAND, OURS, B], 1, 2],
  ['elsewhere than it stands, if that does not', [OURS, A, HAND, B], 2, 3],
] as const)
  test(`ours is written ${what}`, () =>
    expect(besideHandMade(accept(wanted), host(...lines), [made]).place.behind).toBe(written));
