/**
 * Envelope encryption for what the control database keeps: AES-256-GCM under one of several master keys.
 * The first key seals; every key opens. The context (such as `credentials/<id>`) is authenticated with the text,
 * so a sealed value copied to another row does not open there.
 *
 * Sealed form: `v1.<keyId>.<base64url of iv | ciphertext | tag>`.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { HoldfastError } from './errors.ts'
import { Secret } from './secret.ts'

const algorithm = 'aes-256-gcm'
const keyBytes = 32
/** 96 random bits a message: safe for 2^32 messages a key (NIST SP 800-38D, 8.3), far above what an installation seals. */
const ivBytes = 12
const tagBytes = 16

const masterKeyPattern = /^([a-z0-9][a-z0-9-]{0,31}):([A-Za-z0-9+/]{43}=)$/
const sealedPattern = /^v1\.([a-z0-9][a-z0-9-]{0,31})\.([A-Za-z0-9_-]+)$/

interface MasterKey {
  readonly id: string
  readonly key: KeyObject
}

export class Keyring {
  readonly activeKeyId: string
  readonly keyIds: readonly string[]
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #active: KeyObject

  private constructor(active: MasterKey, keys: readonly MasterKey[]) {
    this.activeKeyId = active.id
    this.#active = active.key
    this.#keys = new Map(keys.map(({ id, key }) => [id, key]))
    this.keyIds = [...this.#keys.keys()]
  }

  /**
   * Reads `id:base64[,id:base64…]` (32 bytes each, standard base64); a comma or a line break separates keys, the first is active.
   * Errors: `ConfigInvalid`, naming the entry by position and never by content.
   */
  static parse(masterKeys: Secret): Keyring {
    const keys = splitEntries(masterKeys).map(parseMasterKey)
    const [active] = keys
    if (active === undefined) throw invalidMasterKeys('The list of master keys is empty')
    const ids = keys.map(({ id }) => id)
    const repeated = ids.find((id, index) => ids.indexOf(id) !== index)
    if (repeated !== undefined) throw invalidMasterKeys(`Two master keys have the id ${repeated}`)
    return new Keyring(active, keys)
  }

  seal(plain: Secret, context: string): string {
    const iv = randomBytes(ivBytes)
    const cipher = createCipheriv(algorithm, this.#active, iv, { authTagLength: tagBytes })
    cipher.setAAD(Buffer.from(context, 'utf8'))
    const parts = [iv, cipher.update(plain.reveal(), 'utf8'), cipher.final(), cipher.getAuthTag()]
    return `v1.${this.activeKeyId}.${Buffer.concat(parts).toString('base64url')}`
  }

  /** Errors: `MasterKeyUnknown`, `SealBroken` (altered, cut off, or sealed for another context). */
  open(sealed: string, context: string): Secret {
    const { keyId, payload } = parseSealed(sealed, context)
    const key = this.#keys.get(keyId)
    if (key === undefined) throw unknownKey(keyId, context)
    const decipher = createDecipheriv(algorithm, key, payload.subarray(0, ivBytes), { authTagLength: tagBytes })
    decipher.setAAD(Buffer.from(context, 'utf8'))
    decipher.setAuthTag(payload.subarray(-tagBytes))
    const ciphertext = payload.subarray(ivBytes, -tagBytes)
    try {
      return new Secret(Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8'))
    } catch (cause) {
      throw brokenSeal(context, cause)
    }
  }

  /** Whether `sealed` should be opened and sealed again, because another key is active now. */
  needsReseal(sealed: string): boolean {
    return keyIdOf(sealed) !== this.activeKeyId
  }
}

/** The id of the key that opens `sealed`. Error: `SealBroken`. */
export function keyIdOf(sealed: string): string {
  return parseSealed(sealed, 'unnamed').keyId
}

/** A new random key as an `id:base64` entry, ready for `HOLDFAST_MASTER_KEYS` or the key file. */
export function generateMasterKey(): Secret {
  return new Secret(`k${randomBytes(4).toString('hex')}:${randomBytes(keyBytes).toString('base64')}`)
}

function splitEntries(masterKeys: Secret): readonly string[] {
  return masterKeys
    .reveal()
    .split(/[,\n]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

function parseMasterKey(entry: string, index: number): MasterKey {
  const [, id, encoded] = masterKeyPattern.exec(entry) ?? []
  if (id === undefined || encoded === undefined) {
    throw invalidMasterKeys(`Master key number ${String(index + 1)} is not of the form id:base64 with 32 bytes of key`)
  }
  return { id, key: createSecretKey(Buffer.from(encoded, 'base64')) }
}

function parseSealed(sealed: string, context: string): { keyId: string; payload: Buffer } {
  const [, keyId, encoded] = sealedPattern.exec(sealed) ?? []
  if (keyId === undefined || encoded === undefined) throw brokenSeal(context)
  const payload = Buffer.from(encoded, 'base64url')
  if (payload.length < ivBytes + tagBytes) throw brokenSeal(context)
  return { keyId, payload }
}

function invalidMasterKeys(message: string): HoldfastError {
  return new HoldfastError('ConfigInvalid', message, {
    next: 'Give id:base64 entries separated by commas, the active one first; `openssl rand -base64 32` makes the base64 part',
  })
}

function unknownKey(keyId: string, context: string): HoldfastError {
  return new HoldfastError('MasterKeyUnknown', `${context} is sealed with the master key ${keyId}, which is not configured`, {
    next: `Add the key ${keyId} to HOLDFAST_MASTER_KEYS, after the active one`,
    facts: { keyId, context },
  })
}

function brokenSeal(context: string, cause?: unknown): HoldfastError {
  return new HoldfastError('SealBroken', `The sealed value of ${context} does not open: it was altered, or belongs elsewhere`, {
    next: 'Restore the control database row from a backup, or issue the secret anew',
    cause,
    facts: { context },
  })
}
