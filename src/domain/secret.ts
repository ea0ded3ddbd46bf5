/**
 * A string that must not be shown. Printing, logging or serialising it by accident gives `[secret]`;
 * only `reveal()` gives the text, so that every place where a secret leaves the process can be found by name.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

export const secretPlaceholder = '[secret]'

/** Node's hook for `console.log` and `util.inspect`; named by symbol so that nothing needs `node:util`. */
const inspect = Symbol.for('nodejs.util.inspect.custom')

export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  /** Takes the same time wherever the texts differ. Hashing first hides their lengths as well. */
  equals(other: Secret): boolean {
    return timingSafeEqual(digest(this.#text), digest(other.#text))
  }

  toString(): string {
    return secretPlaceholder
  }

  toJSON(): string {
    return secretPlaceholder
  }

  [inspect](): string {
    return secretPlaceholder
  }
}

/** A non-empty string in, a `Secret` out. */
export const secretSchema = z
  .string()
  .min(1)
  .transform((text) => new Secret(text))

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
