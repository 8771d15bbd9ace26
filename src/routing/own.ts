import { type Route, type RoutingRule, SALLYPORT_PROTOCOL } from './state.ts';

/** The routes that carry our protocol number: ours, whatever table they stand in. */
export const ownRoutes = (routes: readonly Route[]): readonly Route[] =>
  routes.filter(({ protocol }) => protocol === SALLYPORT_PROTOCOL);

/** The rules that carry our protocol number: ours, whatever their priority. */
export const ownRules = (rules: readonly RoutingRule[]): readonly RoutingRule[] =>
  rules.filter(({ protocol }) => protocol === SALLYPORT_PROTOCOL);
