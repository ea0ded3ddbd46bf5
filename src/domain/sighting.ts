/** What was looked at: either known, with the time of looking, or unknown, with the reason. Unknown is never absent. */

export type Sighting<T> =
  | { readonly known: true; readonly value: T; readonly at: Date }
  | Unknown

export interface Unknown {
  readonly known: false
  readonly reason: string
  /** One side refused the other's certificate: what is held there may be out of date. */
  readonly distrust?: true
}

export function known<T>(value: T, at: Date): Sighting<T> {
  return { known: true, value, at }
}

export function unknown(reason: string, { distrust = false } = {}): Unknown {
  return { known: false, reason, ...(distrust && { distrust }) }
}
