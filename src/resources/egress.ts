import type { EgressRouteResource } from './resource.ts';
import type { Validated } from './validate.ts';

/** An EgressRoute with all that it leaves out. */
export function toEgress({
  place,
  spec: { at, from, via, except, whenDown },
}: Extract<Validated, { readonly kind: 'EgressRoute' }>): EgressRouteResource {
  return {
    kind: 'EgressRoute',
    ...place,
    atHosts: at.hosts,
    ...(from.cidrs !== undefined && { from: from.cidrs }),
    // The schema holds that one of them is given.
    via:
      via.tunnel === undefined
        ? { kind: 'interface', name: via.interface ?? '' }
        : { kind: 'tunnel', name: via.tunnel },
    except,
    whenDown,
  };
}
