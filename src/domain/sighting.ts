/** What was looked at: either known, with the time of looking, or unknown, with the reason. Unknown is never absent. */

export type Sighting<T> =
  | { readonly known: true; readonly value: T; readonly at: Date }
  | { readonly known: false; readonly reason: string }

export function known<T>(value: T, at: Date): Sighting<T> {
  return { known: true, value, at }
}

export function unknown(reason: string): { readonly known: false; readonly reason: string } {
  return { known: false, reason }
}
