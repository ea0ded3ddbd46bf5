/**
 * Opens sealed values and remembers them by their sealed text: a pass over a settled database loads the same dozen each time.
 * What is remembered is no more secret than what rendering keeps anyway, and it never leaves this process.
 */
import type { Keyring } from '../domain/keyring.ts'
import type { Secret } from '../domain/secret.ts'

/** Some hundred bytes each. Beyond it everything is forgotten and opened anew, which costs microseconds a value. */
const mostKept = 20_000

export type OpenSecret = (sealed: string, context: string) => Secret

export function openOnce(keyring: Keyring): OpenSecret {
  const opened = new Map<string, Secret>()
  return (sealed, context) => {
    // the context is authenticated with the text, so a value that was copied elsewhere must not be found here either
    const key = `${context} ${sealed}`
    const known = opened.get(key)
    if (known !== undefined) return known
    const secret = keyring.open(sealed, context)
    if (opened.size >= mostKept) opened.clear()
    opened.set(key, secret)
    return secret
  }
}
