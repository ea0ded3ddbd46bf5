/** Numbers that look random and come again with the same seed: `HOLDFAST_TEST_SEED` repeats a run. */
import { randomInt } from 'node:crypto'

export interface Random {
  readonly seed: number
  /** A whole number from `from` up to and including `to`. */
  between(from: number, to: number): number
}

const maxSeed = 2 ** 31

export function seededRandom(given = process.env['HOLDFAST_TEST_SEED']): Random {
  const seed = given === undefined ? randomInt(1, maxSeed) : Number(given)
  if (!Number.isSafeInteger(seed)) throw new Error(`HOLDFAST_TEST_SEED is not a whole number: ${given}`)
  let state = seed >>> 0
  // mulberry32: small, and even enough to choose moments with
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { seed, between: (from, to) => from + Math.floor(next() * (to - from + 1)) }
}
