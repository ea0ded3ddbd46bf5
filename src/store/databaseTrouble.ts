/**
 * What a failed statement means: by SQLSTATE and by constraint name, never by message text. Decides whether it may be
 * tried again and what callers are told.
 */
import pg from 'pg'
import { HoldfastError, isHoldfastError, type ErrorCode } from '../domain/errors.ts'

/** A failure with what may be done about it; it does not leave `transaction.ts`. */
export class DatabaseTrouble extends Error {
  readonly again: boolean
  /** The server did not answer: the connection is of no use any more. */
  readonly isLost: boolean
  readonly forCallers: HoldfastError

  constructor(again: boolean, isLost: boolean, forCallers: HoldfastError) {
    super(forCallers.message, { cause: forCallers })
    this.again = again
    this.isLost = isLost
    this.forCallers = forCallers
  }

  /** The same, for a commit: whether it happened is not known, so it must not happen again. */
  inDoubt(): DatabaseTrouble {
    const message = 'The control database was lost while a change was being committed; the change may have been made.'
    const next = 'Look whether it was made before asking again.'
    return new DatabaseTrouble(false, this.isLost, new HoldfastError('ControlDatabaseUnavailable', message, { cause: this.forCallers.cause, next }))
  }
}

/** Turns what the driver throws into a `DatabaseTrouble`. What is not an answer of the server is a lost connection. */
export async function guarded<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (isHoldfastError(error)) throw error
    throw error instanceof pg.DatabaseError ? troubleFrom(error) : new DatabaseTrouble(true, true, unavailable(error))
  }
}

function troubleFrom(error: pg.DatabaseError): DatabaseTrouble {
  const sqlState = error.code ?? 'XX000'
  switch (verdictOn(sqlState)) {
    case 'again':
      return new DatabaseTrouble(true, false, unavailable(error))
    case 'unavailableAgain':
      return new DatabaseTrouble(true, true, unavailable(error))
    case 'unavailable':
      return new DatabaseTrouble(false, false, unavailable(error))
    case 'refused':
      return new DatabaseTrouble(false, false, refusal(error, sqlState))
  }
}

function refusal(error: pg.DatabaseError, sqlState: string): HoldfastError {
  const meaning = constraintMeanings[error.constraint ?? '']
  if (meaning !== undefined) return new HoldfastError(meaning[0], meaning[1], { cause: error, ...nextFor(meaning[0]) })
  if (unreadableText.has(sqlState)) return new HoldfastError('InvalidRequest', 'A value does not have the form it should have.', { cause: error })
  return new HoldfastError('Internal', 'The control database refused a statement of the controller.', { cause: error, facts: { sqlState } })
}

function nextFor(code: ErrorCode): { next?: string } {
  if (code === 'NameTaken') return { next: 'Choose another name.' }
  return code === 'OperationInProgress' ? { next: 'Wait until it has ended.' } : {}
}

function unavailable(cause: unknown): HoldfastError {
  return new HoldfastError('ControlDatabaseUnavailable', 'The control database does not answer; nothing was changed.', {
    next: 'Try again in a moment. Databases keep running meanwhile.',
    cause,
  })
}

/** Class 40: the transaction was rolled back and may simply run again. */
const rolledBack = new Set(['40001', '40P01'])
/** The server is starting, stopping, or has no place left; it may be back in a moment. */
const comesBack = new Set(['57P01', '57P02', '57P03', '53300'])
/** It answers, but not now: statement or lock timeout, out of disk or memory, a standby that is not (yet) the primary. */
const notNow = new Set(['57014', '55P03', '25P03', '25006', '53000', '53100', '53200', '53400', '58000', '58030'])

type Verdict = 'again' | 'unavailableAgain' | 'unavailable' | 'refused'

function verdictOn(sqlState: string): Verdict {
  if (rolledBack.has(sqlState)) return 'again'
  // 08: connection exceptions; 28 and 3D: it does not let us in, which a person has to mend
  if (comesBack.has(sqlState) || sqlState.startsWith('08')) return 'unavailableAgain'
  return notNow.has(sqlState) || sqlState.startsWith('28') || sqlState.startsWith('3D') ? 'unavailable' : 'refused'
}

/** What a violated constraint means to the caller. Any other one is a broken assumption of ours. */
const constraintMeanings: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  teams_name_key: ['NameTaken', 'There is a team of this name already.'],
  teams_name_check: ['InvalidRequest', 'The team’s name is not allowed.'],
  projects_team_id_name_key: ['NameTaken', 'The team has a project of this name already.'],
  projects_team_id_fkey: ['NotFound', 'There is no such team.'],
  projects_name_check: ['InvalidRequest', 'The project’s name is not allowed.'],
  databases_name: ['NameTaken', 'The project has a database of this name already.'],
  databases_name_check: ['InvalidRequest', 'The database’s name is not allowed.'],
  databases_database_name_check: ['InvalidRequest', 'The name inside PostgreSQL is not allowed or has a meaning of its own there.'],
  databases_storage_bytes_check: ['InvalidRequest', 'The storage is too small.'],
  hosts_name_key: ['Conflict', 'Another host has this name.'],
  operations_one_unfinished: ['OperationInProgress', 'Another operation on this database is not finished yet.'],
  api_tokens_team_id_fkey: ['NotFound', 'There is no such team.'],
  certificates_authority_id_fkey: ['Conflict', 'A certificate of this authority is still in use.'],
}

/** Text that PostgreSQL cannot read as the type it is meant to be: an id that is no UUID, a network with host bits set. */
const unreadableText = new Set(['22P02', '22007', '22008', '22003', '22021'])
