/** Kubernetes' published definitions as a judge, strict as the API server is with `kubectl apply --dry-run=server --validate=strict`. */
import { readFileSync } from 'node:fs';
import type { KubernetesObject } from '../index.ts';

interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly required?: readonly string[];
  readonly properties?: { readonly [name: string]: Schema };
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly $ref?: string;
  readonly 'x-kubernetes-int-or-string'?: true;
}

const { definitions } = JSON.parse(readFileSync(new URL('kubernetes.json', import.meta.url), 'utf8')) as {
  readonly definitions: { readonly [name: string]: Schema };
};

/** What the server would refuse, each with its path; empty: nothing. */
export function refusals(object: KubernetesObject): readonly string[] {
  const schema = Object.values(definitions).find(
    ({ properties }) =>
      properties?.apiVersion?.enum?.includes(object.apiVersion) === true && properties.kind?.enum?.includes(object.kind),
  );
  return schema === undefined ? [`no kind ${object.apiVersion} ${object.kind}`] : check(object, schema, object.kind);
}

function check(value: unknown, schema: Schema, path: string): readonly string[] {
  if (schema.$ref !== undefined) {
    const found = definitions[schema.$ref];
    return found === undefined ? [`${path}: no definition ${schema.$ref}`] : check(value, found, path);
  }
  if (schema['x-kubernetes-int-or-string'] === true)
    return typeof value === 'string' || Number.isInteger(value) ? [] : [`${path}: neither integer nor string`];
  const { type, required = [], properties, additionalProperties, items } = schema;
  if (type === 'object') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path}: no object`];
    return [
      ...required.filter((name) => !Object.hasOwn(value, name)).map((name) => `${path}.${name}: required`),
      ...Object.entries(value).flatMap(([name, each]) => {
        const inner = properties?.[name] ?? additionalProperties;
        return inner === undefined ? [`${path}.${name}: unknown field`] : check(each, inner, `${path}.${name}`);
      }),
    ];
  }
  if (type === 'array')
    return Array.isArray(value)
      ? value.flatMap((each, index) => check(each, items ?? {}, `${path}[${index}]`))
      : [`${path}: no list`];
  const isRight =
    type === undefined || (type === 'integer' ? Number.isInteger(value) : typeof value === (type satisfies string));
  if (!isRight) return [`${path}: ${JSON.stringify(value)} is no ${type}`];
  return schema.enum === undefined || schema.enum.includes(String(value))
    ? []
    : [`${path}: ${JSON.stringify(value)} is none of ${schema.enum.join(', ')}`];
}
