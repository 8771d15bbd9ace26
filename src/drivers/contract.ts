/** One suite for every driver: what `apply` and `observe` promise (apply/driver.ts), whatever is programmed. Run by each driver's test. */
import { expect, test } from 'vitest';
import { ApplyError, type Driver } from '../apply/index.ts';
import { type Change, type HostChange, type HostObject, undo } from '../plan/index.ts';

/** A host for one test, with things of others on it; gone with its disposal. */
export interface DriverBench extends AsyncDisposable {
  readonly driver: Driver;
  /** All that a change of ours could touch, as text that is the same for the same state. */
  dump(): Promise<string>;
  /** What was written to the host while `act` ran, one line each. */
  writes(act: () => Promise<unknown>): Promise<readonly string[]>;
  /** The private keys that lie on the host, read past the driver. */
  privateKeys(): Promise<readonly string[]>;
  /** Everything the driver sent to the host and got back until now, and every command line on the host while `act` ran. */
  overheard(act: () => Promise<unknown>): Promise<string>;
}

/** An object to add, once what it stands on is there. */
export interface Sample {
  readonly name: string;
  /** For what only the kernel in the VM can make. */
  readonly tags?: readonly 'vm-only'[];
  readonly needs: readonly HostChange[];
  readonly add: readonly HostChange[];
  /** From what `add` made to something else, in place. */
  readonly change: readonly HostChange[];
}

export interface ContractOptions {
  readonly start: () => Promise<DriverBench>;
  readonly samples: readonly Sample[];
  /** Changes that the host takes in more than one step. */
  readonly severalSteps: readonly HostChange[];
  /** Changes of which the last alone is refused, and all before it stand then. */
  readonly refused: readonly { readonly name: string; readonly changes: readonly HostChange[] }[];
  /** Links that keys can be made for. */
  readonly links: readonly string[];
}

/** `add` of an object, for samples. */
export const adding = (after: HostObject): Change<HostObject> => ({ action: 'add', after });

const signal = (): AbortSignal => new AbortController().signal;

/** Declares the tests of the suite. */
export function driverContract(name: string, { start, samples, severalSteps, refused, links }: ContractOptions): void {
  test(`${name}: observed twice it is the same, and nothing was written`, async () => {
    await using bench = await start();
    const before = await bench.dump();
    const writes = await bench.writes(async () => {
      // What memory is left moves by itself.
      const memoryAvailableBytes = 0;
      const look = async () => ({ ...(await bench.driver.observe(signal())), memoryAvailableBytes });
      expect(await look()).toEqual(await look());
    });
    expect(writes).toEqual([]);
    expect(await bench.dump()).toBe(before);
  });

  test(`${name}: a plan without changes writes nothing`, async () => {
    await using bench = await start();
    expect(await bench.writes(() => bench.driver.apply([], { signal: signal() }))).toEqual([]);
  });

  for (const sample of samples) {
    const title = `${name}: ${sample.name} is added, changed, changed back and removed, and the host is as it was`;
    test(title, { tags: [...(sample.tags ?? [])] }, async () => {
      await using bench = await start();
      const apply = (changes: readonly HostChange[]) => bench.driver.apply(changes, { signal: signal() });
      await bench.driver.makeKeys(links, signal());
      const dumps: string[] = [await bench.dump()];
      for (const changes of [sample.needs, sample.add, sample.change]) {
        await apply(changes);
        dumps.push(await bench.dump());
        if (changes.length > 0) expect(dumps.at(-1)).not.toBe(dumps.at(-2));
      }
      for (const changes of [sample.change, sample.add, sample.needs]) {
        await apply(undo(changes));
        dumps.pop();
        expect(await bench.dump()).toBe(dumps.at(-1));
      }
    });
  }

  for (const { name: what, changes } of refused) {
    test(`${name}: refused ${what}: it says exactly what stands, and that can be taken back`, async () => {
      await using bench = await start();
      const before = await bench.dump();
      const failure: unknown = await bench.driver.apply(changes, { signal: signal() }).catch((error: unknown) => error);
      if (!(failure instanceof ApplyError)) throw new Error(`no ApplyError: ${failure}`);
      expect(failure.done).toEqual(changes.slice(0, -1));
      await bench.driver.apply(undo(failure.done), { signal: signal() });
      expect(await bench.dump()).toBe(before);
    });
  }

  test(`${name}: an abort stops between two steps, and says what stands`, async () => {
    await using bench = await start();
    const changes = severalSteps;
    const stop = new AbortController();
    const failure: unknown = await bench.driver
      .apply(changes, { signal: stop.signal, onStep: () => stop.abort(new Error('Ctrl-C')) })
      .catch((error: unknown) => error);
    if (!(failure instanceof ApplyError)) throw new Error(`no ApplyError: ${failure}`);
    expect(failure.done.length).toBeGreaterThan(0);
    expect(failure.done.length).toBeLessThan(changes.length);
    expect(failure.done).toEqual(changes.slice(0, failure.done.length));
    expect(failure.message).toContain(`${failure.done.length} of ${changes.length} changes stand`);
  });

  test(`${name}: keys are made once, kept, observed, and gone with what was left of us`, async () => {
    await using bench = await start();
    const before = await bench.dump();
    const keys = await bench.driver.makeKeys(links, signal());
    expect([...keys.keys()]).toEqual(links);
    expect(new Set(keys.values()).size).toBe(links.length);
    expect(await bench.driver.makeKeys([...links].reverse(), signal())).toEqual(keys);
    expect((await bench.driver.observe(signal())).keys).toEqual(keys);
    await bench.driver.forget(signal());
    expect((await bench.driver.observe(signal())).keys).toEqual(new Map());
    await bench.driver.forget(signal());
    expect(await bench.dump()).toBe(before);
  });

  test(`${name}: no private key is in what the driver sent, got, returned, or showed in a command line`, async () => {
    await using bench = await start();
    const returned: unknown[] = [];
    let publicKeys: readonly string[] = [];
    const heard = await bench.overheard(async () => {
      const made = await bench.driver.makeKeys(links, signal());
      publicKeys = [...made.values()];
      returned.push(made);
      for (const { needs, add, change } of samples.filter(({ tags }) => tags === undefined)) {
        for (const changes of [needs, add, change]) {
          await bench.driver.apply(changes, { signal: signal(), onStep: (step) => returned.push(step) });
        }
        returned.push(await bench.driver.observe(signal()));
        for (const changes of [change, add, needs]) await bench.driver.apply(undo(changes), { signal: signal() });
      }
    });
    for (const key of publicKeys) for (const text of [heard, show(returned)]) expect(text).toContain(key); // it does listen
    const keys = await bench.privateKeys();
    expect(keys.length).toBe(links.length);
    for (const key of keys) {
      expect(key).toMatch(/^[A-Za-z0-9+/]{43}=$/);
      for (const text of [heard, show(returned)]) expect(text.includes(key.slice(0, 20))).toBe(false);
    }
  });
}

/** All of a value as text, maps and BigInts included. */
const show = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) =>
    item instanceof Map ? [...item] : typeof item === 'bigint' ? String(item) : item,
  );
