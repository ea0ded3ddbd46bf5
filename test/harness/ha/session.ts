/**
 * Sessions of clients that measure. Each knows its own limits and never waits for a server that has gone silent, and none of
 * them ever asks for a cancellation: a commit whose wait for the replicas was cancelled is acknowledged and may yet be lost.
 */
import { checkServerIdentity } from 'node:tls'
import pg from 'pg'
import { internalName } from '../../../src/domain/names.ts'
import type { ServerPlace } from './members.ts'
import type { Site } from './site.ts'

export interface Session {
  readonly client: pg.Client
  /** How many warnings the server has sent. */
  warnings(): number
  /** At once, without a word to the server. */
  leave(): void
}

/** Breaks off what takes longer than `limitMs`. */
export async function openSession(config: pg.ClientConfig, limitMs: number): Promise<Session> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: limitMs, keepAlive: true })
  let warnings = 0
  client.on('notice', ({ severity }) => {
    if (severity === 'WARNING') warnings += 1
  })
  // a connection that breaks between two calls is told by the next one
  client.on('error', () => undefined)
  const session = { client, warnings: () => warnings, leave: () => void client.connection.stream.destroy() }
  try {
    await client.connect()
    return session
  } catch (error) {
    session.leave()
    throw error
  }
}

/** A server that says nothing for so long is given up by leaving; whatever it was asked may still happen. */
export async function within<T>(session: Session, limitMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      session.leave()
      reject(new Silent(limitMs))
    }, limitMs)
  })
  try {
    return await Promise.race([work(), limit])
  } finally {
    clearTimeout(timer)
  }
}

export class Silent extends Error {
  readonly code = 'silent'

  constructor(limitMs: number) {
    super(`no answer within ${limitMs} ms`)
  }
}

/** SQLSTATE, or Node's code, or that the connection ended. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'closed'
}

/** To one server past the endpoint, as the superuser. */
export function directTo({ ca, superuser }: Site, { memberId, host, ports }: ServerPlace, database: string): pg.ClientConfig {
  return {
    host, port: ports.postgres, user: 'postgres', database, application_name: 'holdfast test',
    ssl: {
      ca, cert: superuser.certificatePem, key: superuser.keyPem.reveal(), servername: internalName.member(memberId),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(internalName.member(memberId), certificate),
    },
  }
}
