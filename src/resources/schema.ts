import { z } from 'zod';
import { dnsLabel, notes } from './fields.ts';
import { portForwardSpec } from './schema-forward.ts';
import { hostSpec } from './schema-host.ts';
import { dnsRecordSpec, egressRouteSpec, siteSpec } from './schema-later.ts';
import { tunnelSpec } from './schema-tunnel.ts';

/** The only version so far. */
export const API_VERSION = 'sallyport.dev/v1alpha1';

const stringMap = () => z.record(z.string(), z.string());

const metadata = z.strictObject({
  name: dnsLabel().describe('The name of the resource, by which others refer to it.'),
  namespace: dnsLabel().exactOptional().describe('Kubernetes namespace.'),
  labels: stringMap().exactOptional().describe('As in Kubernetes.').register(notes, { type: 'map of text' }),
  annotations: stringMap().exactOptional().describe('As in Kubernetes.').register(notes, { type: 'map of text' }),
  // Written by the API server; they come along with `kubectl get -o yaml`.
  creationTimestamp: z.unknown().optional(),
  deletionGracePeriodSeconds: z.unknown().optional(),
  deletionTimestamp: z.unknown().optional(),
  finalizers: z.unknown().optional(),
  generateName: z.unknown().optional(),
  generation: z.unknown().optional(),
  managedFields: z.unknown().optional(),
  ownerReferences: z.unknown().optional(),
  resourceVersion: z.unknown().optional(),
  selfLink: z.unknown().optional(),
  uid: z.unknown().optional(),
});

const document = <K extends string, S extends z.ZodType>(kind: K, spec: S) =>
  z.strictObject({
    apiVersion: z.literal(API_VERSION).describe('The version of this form.'),
    kind: z.literal(kind).describe('The kind of resource.'),
    metadata: metadata.describe('As in Kubernetes.'),
    spec: spec.describe('What is wanted.'),
    status: z.unknown().optional(),
  });

/** One schema per kind: the source of the types, of validation and of docs/reference.md. */
export const schemas = {
  Host: document('Host', hostSpec).describe('A machine that Sallyport may program, or must know of.'),
  Tunnel: document('Tunnel', tunnelSpec).describe('A layer-3 path between two hosts.'),
  PortForward: document('PortForward', portForwardSpec).describe('Public ports and the targets they lead to.'),
  EgressRoute: document('EgressRoute', egressRouteSpec)
    .describe('Who leaves by which path.')
    .register(notes, { later: true }),
  Site: document('Site', siteSpec).describe('Names over HTTP and HTTPS.').register(notes, { later: true }),
  DNSRecord: document('DNSRecord', dnsRecordSpec)
    .describe('Names that follow an address.')
    .register(notes, { later: true }),
} as const;

export type Kind = keyof typeof schemas;

export const kinds: readonly Kind[] = ['Host', 'Tunnel', 'PortForward', 'EgressRoute', 'Site', 'DNSRecord'];

export const isKind = (text: unknown): text is Kind => typeof text === 'string' && Object.hasOwn(schemas, text);

export type HostDocument = z.output<typeof schemas.Host>;
export type TunnelDocument = z.output<typeof schemas.Tunnel>;
export type PortForwardDocument = z.output<typeof schemas.PortForward>;
export type EgressRouteDocument = z.output<typeof schemas.EgressRoute>;
