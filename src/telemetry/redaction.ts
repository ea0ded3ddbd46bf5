/**
 * The safety net below redaction by type: a `Secret` prints as `[secret]` wherever it goes, but text from elsewhere
 * (an error of a client, a URL, a key in PEM) may carry a secret that never was one. Works on the finished line, so that
 * nothing reaches the destination around it: messages, fields, child bindings and causes alike. Linear in the line's length.
 */
import { secretPlaceholder } from '../domain/secret.ts'

const censor = '[redacted]'

/** Fields whose text is never logged, whoever put it there. Numbers and booleans stay: they are counts and claims. */
const holdsSecret = /password|passphrase|passwd|secret|token|authorization|cookie|credential|(?:private|master|access|api)[_-]?key$|keyPem|cipherPass/i
/** `tokenId`, `credentialsFile`: these name a secret and do not hold it. */
const namesSecret = /(?:Ids?|File|Name|Kind|At|Count)$/
/** A key and the opening quote of its text. JSON quoted into a message has backslashes before its quotes: 1, then 3, then 7. */
const fieldStart = /(?<!\\)(\\{0,15})"([A-Za-z0-9_-]{1,64})\1"\s*:\s*\1"/g

const urlPassword = /:\/\/([^\s:/@"\\]{0,128}):[^\s/@"\\]+@/g
const privateKeyPem = /-----BEGIN ([A-Z ]{0,20})PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----/gs
const authorizationHeader = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/g

export function redactLine(line: string): string {
  const withoutForms = line
    .replace(privateKeyPem, censor)
    .replace(urlPassword, `://$1:${censor}@`)
    .replace(authorizationHeader, `$1 ${censor}`)
  return redactFields(withoutForms)
}

function redactFields(line: string): string {
  let redacted = ''
  let copiedTo = 0
  for (const match of line.matchAll(fieldStart)) {
    const [start, slashes = '', key = ''] = match
    const textAt = match.index + start.length
    if (match.index < copiedTo || !holdsSecret.test(key) || namesSecret.test(key)) continue
    const textEnd = endOfText(line, textAt, slashes.length)
    if (line.slice(textAt, textEnd) === secretPlaceholder) continue
    redacted += line.slice(copiedTo, textAt) + censor
    copiedTo = textEnd
  }
  return redacted + line.slice(copiedTo)
}

/**
 * Where the text that begins at `from` ends, given the backslashes before its quotes. A backslash inside it is written as
 * `2 * (depth + 1)` of them, so a quote closes the text when what remains after those is no more than its own.
 */
function endOfText(line: string, from: number, depth: number): number {
  const unit = 2 * (depth + 1)
  for (let quote = line.indexOf('"', from); quote !== -1; quote = line.indexOf('"', quote + 1)) {
    const slashes = backslashesBefore(line, quote, from)
    if (slashes % unit <= depth) return quote - (slashes % unit)
  }
  return line.length
}

function backslashesBefore(line: string, at: number, from: number): number {
  let first = at
  while (first > from && line[first - 1] === '\\') first -= 1
  return at - first
}
