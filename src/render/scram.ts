/**
 * SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5803), so that a password never travels to the server.
 * Passwords are ours and plain ASCII: SASLprep, which would rewrite others, changes nothing in them.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { HoldfastError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'

/** PostgreSQL's own default, `scram_iterations`. The strength is in the password's 160 bits or more. */
const defaultIterations = 4096

export function scramVerifier(password: Secret, salt: Buffer = randomBytes(16), iterations = defaultIterations): Secret {
  const text = password.reveal()
  if (!/^[\x20-\x7e]+$/.test(text)) {
    throw new HoldfastError('Internal', 'A password has characters other than printable ASCII.', {
      next: 'Generate a new one.',
    })
  }
  const salted = pbkdf2Sync(text, salt, iterations, 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  const storedKey = createHash('sha256').update(clientKey).digest('base64')
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64')
  return new Secret(`SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`)
}
