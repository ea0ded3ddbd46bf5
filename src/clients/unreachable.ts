/** Why a server could not be asked, in words that a person understands: by SQLSTATE and by Node's codes, never by message text. */
import { describeError, HoldfastError } from '../domain/errors.ts'

const foreign = 'its certificate is not signed by our authority'
const refused = 'it refuses our role or certificate'

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'the host does not answer',
  ENOTFOUND: 'the name of the host is not known',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate does not carry the name expected of it',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: foreign,
  SELF_SIGNED_CERT_IN_CHAIN: foreign,
  DEPTH_ZERO_SELF_SIGNED_CERT: foreign,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: foreign,
  CERT_SIGNATURE_FAILURE: foreign,
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a certificate of ours',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust our certificate',
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED': 'it says that our certificate has expired',
  '28000': refused,
  '28P01': refused,
  '3D000': 'the database does not exist there',
  '53300': 'it has no connection left',
  '57P01': 'it ended the session, because it shuts down or was told to',
  '57P02': 'it recovers from the crash of one of its processes',
  '57P03': 'it is starting up, shutting down or recovering',
}

/** Of both sides: ours that is refused, theirs that we refuse. A certificate of ours that is asked for and missing is a mistake of ours. */
const distrusts: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_SIGNATURE_FAILURE', 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED',
])

/** `what` and where, such as `PostgreSQL on 10.0.0.1:5432`. The reason alone is among the facts, for those who know whom they asked, and whether certificates are it. */
export function unreachable(what: string, error: unknown, facts: Readonly<Record<string, unknown>>): HoldfastError {
  const reason = reasonOf(error)
  return new HoldfastError('MemberUnreachable', `${what} cannot be asked: ${reason}`, { cause: error, facts: { ...facts, reason, distrust: distrusts.has(codeOf(error) ?? '') } })
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer within the time allowed'
  if (error instanceof Error && error.name === 'AbortError') return 'the asking was given up'
  return reasons[codeOf(error) ?? ''] ?? describeError(error)
}
