/**
 * Prints the published OpenAPI definitions of the Kubernetes kinds that we write, trimmed to names, types and what is required, for
 * src/manifests/testdata. `node scripts/kubernetes-schema.ts CLIENT MODELS`, the folders of two packages of npm, unpacked:
 * @kubernetes/client-node (Apache-2.0, the Kubernetes authors; made from kubernetes' api/openapi-spec) for fields, types and what is required;
 * kubernetes-models (MIT, made from the same) for the values of enums, which the first leaves out.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const KINDS = [
  'V1ServiceAccount',
  'V1NetworkPolicy',
  'V1Service',
  'V1Deployment',
  'V1StatefulSet',
  'V1PodDisruptionBudget',
];
/** Of the server alone. */
const LEFT_OUT = new Set(['status', 'managedFields']);
const FOLDERS = ['v1', 'apps/v1', 'policy/v1', 'networking.k8s.io/v1'];

const [client = '', models = ''] = process.argv.slice(2);
const release = /release-[\d.]+/.exec(readFileSync(join(client, 'dist/gen/models/V1Service.js'), 'utf8'))?.[0];
const definitions: Record<string, object> = {};
const waiting = [...KINDS];
for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
  if (name in definitions) continue;
  const { definition, refers } = define(name);
  definitions[name] = definition;
  waiting.push(...refers);
}
const lines = Object.entries(definitions)
  .sort(([left], [right]) => (left < right ? -1 : 1))
  .map(([name, definition]) => `    ${JSON.stringify(name)}: ${JSON.stringify(definition)}`);
process.stdout.write(`{
  "source": "https://github.com/kubernetes/kubernetes/tree/${release}/api/openapi-spec (Apache-2.0), by scripts/kubernetes-schema.ts",
  "definitions": {
${lines.join(',\n')}
  }
}
`);

function define(name: string): { readonly definition: object; readonly refers: readonly string[] } {
  const text = readFileSync(join(client, `dist/gen/models/${name}.js`), 'utf8');
  const types = readFileSync(join(client, `dist/gen/models/${name}.d.ts`), 'utf8');
  const enums = enumsOf(name.replace(/^V1/, ''));
  const refers: string[] = [];
  const properties: Record<string, object> = {};
  const required: string[] = [];
  const fields = text.matchAll(/"baseName": "([^"]+)",\s+"type": "([^"]+)",\s+"format": "([^"]*)"/g);
  for (const [, field = '', type = '', format = ''] of fields) {
    if (LEFT_OUT.has(field)) continue;
    const values = enums.get(field);
    const { schema, refersTo } = schemaOf(type, format);
    if (refersTo !== undefined) refers.push(refersTo);
    properties[field] = values === undefined ? schema : withEnum(schema, values);
    if (new RegExp(`^    '${field}': `, 'm').test(types)) required.push(field);
  }
  return { definition: { type: 'object', ...(required.length > 0 && { required }), properties }, refers };
}

function schemaOf(type: string, format: string): { readonly schema: object; readonly refersTo?: string } {
  const inner = /^Array<(.+)>$/.exec(type)?.[1] ?? /^\{ \[key: string\]: (.+?);? \}$/.exec(type)?.[1];
  if (inner !== undefined) {
    const { schema, ...rest } = schemaOf(inner, format);
    const isList = type.startsWith('Array');
    return {
      schema: isList ? { type: 'array', items: schema } : { type: 'object', additionalProperties: schema },
      ...rest,
    };
  }
  if (type === 'IntOrString') return { schema: { 'x-kubernetes-int-or-string': true } };
  if (type === 'number') return { schema: { type: format === 'double' ? 'number' : 'integer' } };
  if (type === 'Date' || type === 'V1MicroTime') return { schema: { type: 'string', format: 'date-time' } };
  if (type === 'string' || type === 'boolean') return { schema: { type } };
  if (type === 'any') return { schema: {} };
  return { schema: { $ref: type }, refersTo: type };
}

function withEnum(schema: object, values: readonly string[]): object {
  return 'items' in schema ? { ...schema, items: { type: 'string', enum: values } } : { ...schema, enum: values };
}

/** Fields with a closed list of values. */
function enumsOf(kind: string): ReadonlyMap<string, readonly string[]> {
  const path = FOLDERS.map((folder) => join(models, folder, `${kind}.d.ts`)).find((each) => existsSync(each));
  if (path === undefined) return new Map();
  const text = readFileSync(path, 'utf8');
  const fields = text.matchAll(/^ {4}"(\w+)"\??: (?:Array<)?((?:"[^"]*" \| )*"[^"]*")>?;$/gm);
  return new Map(
    [...fields].map(([, field = '', values = '']) => [field, values.split(' | ').map((each) => each.slice(1, -1))]),
  );
}
