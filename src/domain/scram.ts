/**
 * SCRAM-SHA-256 verifiers as PostgreSQL keeps them in `pg_authid.rolpassword` (RFC 5802, RFC 7677), so that a role is
 * made from its verifier and the password itself never stands in a statement, a log or `pg_stat_activity`.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { Secret } from './secret.ts'

/** PostgreSQL's own default (`scram_iterations`): each login costs the server and the client this many rounds. */
const iterations = 4096
const keyBytes = 32
const saltBytes = 16

const derive = promisify(pbkdf2)

/** Passwords here are our own and ASCII: SASLprep leaves them as they are. */
export async function scramVerifier(password: Secret, salt: Buffer = randomBytes(saltBytes)): Promise<Secret> {
  const salted = await derive(password.reveal(), salt, iterations, keyBytes, 'sha256')
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  const serverKey = hmac(salted, 'Server Key').toString('base64')
  return new Secret(`SCRAM-SHA-256$${String(iterations)}:${salt.toString('base64')}$${storedKey}:${serverKey}`)
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
