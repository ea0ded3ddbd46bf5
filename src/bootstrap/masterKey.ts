/**
 * Where the master keys come from: the settings, else a file in the state directory, else they are made once.
 * A key that was made is announced, for without it nothing in the control database can be read again. It is never replaced here.
 */
import { constants } from 'node:fs'
import { link, mkdir, open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { HoldfastError } from '../domain/errors.ts'
import { generateMasterKey, Keyring } from '../domain/keyring.ts'
import { Secret } from '../domain/secret.ts'

const groupOrOthers = 0o077
const groupOrOthersWrite = 0o022

export interface MasterKeyOptions {
  /** Told in a sentence when a key was made, with the path of its file and never with the key. */
  readonly announce: (message: string) => void
}

/** Errors: `ConfigInvalid` (keys that do not parse), `MasterKeyFileUnsafe` (others could read or replace the file). */
export async function ensureMasterKeys(config: Pick<Config, 'masterKeys' | 'stateDir'>, { announce }: MasterKeyOptions): Promise<Keyring> {
  if (config.masterKeys !== undefined) return Keyring.parse(config.masterKeys)
  const path = masterKeyFile(config)
  await ensureStateDirectory(config.stateDir)
  const existing = await readKeyFile(path)
  if (existing !== undefined) return Keyring.parse(existing)
  if (await writeKeyFile(path, generateMasterKey())) {
    announce(`A master key was made in ${path}. Keep a copy of it elsewhere: without it no stored password, certificate or backup can be opened.`)
  }
  // Read back rather than kept: another process may have been first, and what counts is what the next start will find.
  const written = await readKeyFile(path)
  if (written === undefined) throw unsafe(path, 'was removed while it was being made', 'Start again')
  return Keyring.parse(written)
}

export function masterKeyFile({ stateDir }: Pick<Config, 'stateDir'>): string {
  return join(stateDir, 'master.keys')
}

async function ensureStateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const { mode, uid } = await stat(path)
  // Whoever may write here could put a key of their own in the place of ours.
  if ((mode & groupOrOthersWrite) !== 0) throw unsafe(path, 'may be written by other users', `chmod 700 ${path}`)
  if (!isTrustedOwner(uid)) throw unsafe(path, 'belongs to another user', 'Set HOLDFAST_STATE_DIR to a directory of your own')
}

async function readKeyFile(path: string): Promise<Secret | undefined> {
  const file = await openIfPresent(path)
  if (file === undefined) return undefined
  try {
    const status = await file.stat()
    if (!status.isFile()) throw unsafe(path, 'is not a file', 'Remove it')
    if ((status.mode & groupOrOthers) !== 0) throw unsafe(path, 'may be read by other users', `chmod 600 ${path}; consider its keys known to others`)
    if (!isTrustedOwner(status.uid)) throw unsafe(path, 'belongs to another user', 'Give it to the user that runs the controller')
    return new Secret(await file.readFile('utf8'))
  } finally {
    await file.close()
  }
}

/** NOFOLLOW: a link in this place was not put there by us. NONBLOCK: a pipe in this place would stop the start for ever. */
async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return undefined
    throw unsafe(path, 'cannot be opened', 'It must be a file of the user that runs the controller', cause)
  }
}

/**
 * Written whole under another name and linked into place, which fails if something is there: of two processes that start
 * together one key survives, and no reader ever sees half a file. False if another process was first.
 */
async function writeKeyFile(path: string, key: Secret): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(`${key.reveal()}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(draft, path)
    return true
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false
    throw unsafe(path, 'cannot be written', 'Set HOLDFAST_STATE_DIR to a directory of your own, or give HOLDFAST_MASTER_KEYS', cause)
  } finally {
    await unlink(draft).catch(ignoreAbsence)
  }
}

function ignoreAbsence(error: unknown): void {
  if (!hasCode(error, 'ENOENT')) throw error
}

/** Root could read and replace it in any case. */
function isTrustedOwner(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.()
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function unsafe(path: string, what: string, next: string, cause?: unknown): HoldfastError {
  return new HoldfastError('MasterKeyFileUnsafe', `${path} ${what}`, { next, cause, facts: { path } })
}
