/** Kubernetes objects as plain data, and their text for kubectl. */
import { Document, isScalar, visit } from 'yaml';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [key: string]: Json;
}

/**
 * YAML, a document an object, as `kubectl apply -f -` takes it. `head` stands before all as comments; a value whose key is in `remarks` gets
 * that remark beside it.
 */
export function printYaml(
  objects: readonly KubernetesObject[],
  head: readonly string[],
  remarks: ReadonlyMap<string, string>,
): string {
  const comments = head.map((line) => (line === '' ? '#\n' : `# ${line}\n`)).join('');
  return `${comments}${objects.map((each) => `---\n${printDocument(each, remarks)}`).join('')}`;
}

function printDocument(object: KubernetesObject, remarks: ReadonlyMap<string, string>): string {
  // kubectl reads YAML 1.1, where a bare `on` is no word: quoted by its rules, it is one in both.
  const document = new Document(object, { version: '1.1', aliasDuplicateObjects: false });
  visit(document, {
    Pair(_, { key, value }) {
      const remark = isScalar(key) ? remarks.get(String(key.value)) : undefined;
      if (remark !== undefined && isScalar(value)) value.comment = ` ${remark}`;
    },
  });
  return document.toString({ lineWidth: 0, directives: false });
}

/** JSON: a List, which `kubectl apply -f -` takes as well. */
export const printJson = (objects: readonly KubernetesObject[]): string =>
  `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, undefined, 2)}\n`;
