/**
 * Judges a list-append history: clients append numbers, each used once, to lists, and read whole lists. Whatever happens to the
 * servers, each list must be explained by its final state: nothing acknowledged is missing, nothing is there twice, what was
 * acknowledged first stands first, and whatever anybody read is a beginning of it.
 */

/** Times in ms of one clock, of the client. `end`: null of what was never answered, and may have happened all the same. */
export type Step =
  | { readonly kind: 'append'; readonly list: number; readonly value: number; readonly start: number; readonly end: number | null }
  | { readonly kind: 'read'; readonly list: number; readonly values: readonly number[]; readonly start: number; readonly end: number }

export type Anomaly =
  | { readonly kind: 'lostAppend'; readonly list: number; readonly value: number }
  | { readonly kind: 'duplicate'; readonly list: number; readonly value: number }
  /** `value` stands before `other`, which was acknowledged before `value` was asked for. */
  | { readonly kind: 'orderInversion'; readonly list: number; readonly value: number; readonly other: number }
  /** Somebody read what is no beginning of the final list: another history, or one that was taken back. */
  | { readonly kind: 'strayRead'; readonly list: number; readonly values: readonly number[] }
  /** A read that lacks what had been acknowledged before it began: of a former leader, say. */
  | { readonly kind: 'staleRead'; readonly list: number; readonly value: number }
  /** A value that nobody ever appended. */
  | { readonly kind: 'invented'; readonly list: number; readonly value: number }

export function anomaliesOf(steps: readonly Step[], final: ReadonlyMap<number, readonly number[]>): readonly Anomaly[] {
  const byList = Map.groupBy(steps, ({ list }) => list)
  const lists = new Set([...byList.keys(), ...final.keys()])
  return [...lists].flatMap((list) => ofList(list, byList.get(list) ?? [], final.get(list) ?? []))
}

type Append = Extract<Step, { kind: 'append' }>
type Read = Extract<Step, { kind: 'read' }>

function ofList(list: number, steps: readonly Step[], final: readonly number[]): readonly Anomaly[] {
  const appends = steps.filter((step): step is Append => step.kind === 'append')
  const reads = steps.filter((step): step is Read => step.kind === 'read')
  const place = new Map(final.map((value, index) => [value, index]))
  const known = new Set(appends.map(({ value }) => value))
  return [
    ...final.filter((value) => !known.has(value)).map((value): Anomaly => ({ kind: 'invented', list, value })),
    ...final.filter((value, index) => place.get(value) !== index).map((value): Anomaly => ({ kind: 'duplicate', list, value })),
    ...appends.filter(({ value, end }) => end !== null && !place.has(value)).map(({ value }): Anomaly => ({ kind: 'lostAppend', list, value })),
    ...inversions(list, appends, place),
    ...reads.filter(({ values }) => values.some((value, index) => final[index] !== value)).map(({ values }): Anomaly => ({ kind: 'strayRead', list, values })),
    ...staleReads(list, appends, reads, place),
  ]
}

/** In the order of the list, the latest start so far must not be later than the end of what follows. */
function inversions(list: number, appends: readonly Append[], place: ReadonlyMap<number, number>): readonly Anomaly[] {
  const there = appends.filter(({ value }) => place.has(value)).toSorted((left, right) => (place.get(left.value) ?? 0) - (place.get(right.value) ?? 0))
  const found: Anomaly[] = []
  let latest: Append | null = null
  for (const append of there) {
    if (latest !== null && append.end !== null && append.end < latest.start) found.push({ kind: 'orderInversion', list, value: latest.value, other: append.value })
    if (latest === null || append.start > latest.start) latest = append
  }
  return found
}

function staleReads(list: number, appends: readonly Append[], reads: readonly Read[], place: ReadonlyMap<number, number>): readonly Anomaly[] {
  const acknowledged = appends.filter((append): append is Append & { readonly end: number } => append.end !== null && place.has(append.value))
  return reads.flatMap(({ values, start }) => {
    const missing = acknowledged.find(({ value, end }) => end < start && (place.get(value) ?? 0) >= values.length)
    return missing === undefined ? [] : [{ kind: 'staleRead', list, value: missing.value } as const]
  })
}
