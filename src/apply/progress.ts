/** What is being done at the moment, for whoever waits. */
export type Progress =
  | { readonly kind: 'keys' | 'arming' | 'checking' | 'confirming' | 'undoing' | 'forgetting'; readonly host: string }
  | { readonly kind: 'settling'; readonly host: string; readonly title: string }
  | { readonly kind: 'step'; readonly host: string; readonly step: string };
