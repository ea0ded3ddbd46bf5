/** How statements reach the control database: one by one or in transactions, tried again where that is safe. */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import pRetry from 'p-retry'
import { DatabaseTrouble, guarded } from './databaseTrouble.ts'
import { ignoreIdleFailures } from './pool.ts'
import { statements, type Runner, type Sql } from './sql.ts'

export interface ControlDatabase extends Sql {
  /**
   * Runs `work` in one transaction. It may run more than once, so it must have no effect but its statements.
   * A commit whose answer was lost is not repeated: nobody knows whether it happened, and the error says so.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>
}

/** Statements outside a transaction are retried whole: they must do no harm when they run twice. */
export function controlDatabase(pool: pg.Pool): ControlDatabase {
  ignoreIdleFailures(pool)
  const alone: Runner = (text, parameters) => retrying(() => guarded(() => pool.query({ name: nameOf(text), text, values: [...parameters] })))
  return { ...statements(alone), transaction: (work) => retrying(() => runTransaction(pool, work)) }
}

const retries = 4
const firstPauseMs = 20
const longestPauseMs = 400
/** A caller waits for one answer that does not come, not for several. */
const retryWithinMs = 3_000

/** Nearly every statement succeeds at once and never meets the machinery of retries, which costs a pass more than its statement does. */
async function retrying<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    const first = attempt()
    return await first.catch(() => again(first, attempt))
  } catch (error) {
    throw error instanceof DatabaseTrouble ? error.forCallers : error
  }
}

/** `failed` counts as the first of the attempts. */
function again<T>(failed: Promise<T>, attempt: () => Promise<T>): Promise<T> {
  return pRetry((number) => (number === 1 ? failed : attempt()), {
    retries,
    minTimeout: firstPauseMs,
    maxTimeout: longestPauseMs,
    maxRetryTime: retryWithinMs,
    randomize: true,
    shouldRetry: ({ error }) => error instanceof DatabaseTrouble && error.again,
  })
}

async function runTransaction<T>(pool: pg.Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await guarded(() => pool.connect())
  // a connection that breaks between two statements tells it by an event, which would end the process if nobody listened
  const ignore = (): void => undefined
  client.on('error', ignore)
  const run: Runner = (text, parameters) => guarded(() => client.query({ name: nameOf(text), text, values: [...parameters] }))
  let broken = true
  try {
    await run('begin', [])
    const result = await work(statements(run))
    await run('commit', []).catch((error: unknown) => {
      throw error instanceof DatabaseTrouble && error.isLost ? error.inDoubt() : error
    })
    broken = false
    return result
  } catch (error) {
    const isLost = error instanceof DatabaseTrouble && error.isLost
    broken = isLost || !(await client.query('rollback').then(() => true, () => false))
    throw error
  } finally {
    client.removeListener('error', ignore)
    client.release(broken)
  }
}

const names = new Map<string, string>()

/** Every text is a constant of the code, so each is planned once a connection. The name is its hash: it never stands for two texts. */
function nameOf(text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = createHash('sha256').update(text).digest('base64url').slice(0, 22)
  names.set(text, name)
  return name
}
