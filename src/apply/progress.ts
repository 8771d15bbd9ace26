/** What is being done at the moment, for whoever waits. */
export type Progress =
  | { readonly kind: 'keys' | 'checking' | 'undoing' | 'forgetting'; readonly host: string }
  | { readonly kind: 'step'; readonly host: string; readonly step: string };
