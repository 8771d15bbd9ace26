import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node';

/** The length that the text of an error keeps. */
const MESSAGE_LIMIT = 400;

/**
 * vitest's last words as plain lines: a `failed: FILE > NAME: ERROR` each, and `N passed, N failed`, then skipped if any.
 * A file that broke before or beside its tests is one failure.
 */
export default class Totals implements Reporter {
  /** By --tags-filter, of which `vm || vm-only` and `!vm-only` are known here. Other tests are not skipped: this lane did not ask for them. */
  #filters: readonly string[] = [];

  onInit({ config }: Vitest): void {
    this.#filters = config.tagsFilter ?? [];
  }

  #asks({ tags }: TestCase): boolean {
    const has = (word: string): boolean => (word.startsWith('!') ? !tags.includes(word.slice(1)) : tags.includes(word));
    return this.#filters.every((filter) => filter.split(' || ').some(has));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const all = modules.flatMap((module) => [...module.children.allTests()]);
    const tests = all.filter((test) => this.#asks(test));
    const elsewhere = all.filter((test) => test.tags.includes('vm-only') && !this.#asks(test));
    for (const { module, fullName } of elsewhere)
      process.stdout.write(`only in make test-kernel: ${module.relativeModuleId} > ${fullName}\n`);
    const tell = (where: string, errors: readonly SerializedError[]): void => {
      const message = errors.map((error) => error.message.replace(/\s+/g, ' ')).join('; ');
      process.stdout.write(`failed: ${where}: ${message.slice(0, MESSAGE_LIMIT)}\n`);
    };
    for (const test of tests.filter((each) => each.result().state === 'failed'))
      tell(`${test.module.relativeModuleId} > ${test.fullName}`, test.result().errors ?? []);
    const suites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const count = (state: 'passed' | 'failed' | 'skipped') =>
      tests.filter((test) => test.result().state === state).length;
    const brokenSuites = suites.filter((suite) => suite.errors().length > 0);
    for (const suite of brokenSuites)
      tell(suite.type === 'module' ? suite.relativeModuleId : suite.fullName, suite.errors());
    for (const error of unhandled) tell('beside the tests', [error]);
    const broken = brokenSuites.length + unhandled.length;
    const skipped = count('skipped');
    process.stdout.write(
      `${count('passed')} passed, ${count('failed') + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
    );
  }
}
