/** A change is data and knows its inverse. */
export type Change<T> =
  | { readonly action: 'add'; readonly after: T }
  | { readonly action: 'change'; readonly before: T; readonly after: T }
  | { readonly action: 'remove'; readonly before: T };

/** The change that takes `change` back. */
function invert<T>(change: Change<T>): Change<T> {
  switch (change.action) {
    case 'add':
      return { action: 'remove', before: change.after };
    case 'change':
      return { action: 'change', before: change.after, after: change.before };
    case 'remove':
      return { action: 'add', after: change.before };
  }
}

/** What takes all of `changes` back, last first. */
export const undo = <T>(changes: readonly Change<T>[]): readonly Change<T>[] => changes.map(invert).reverse();
