/** Every secret of a service, in the pieces in which it would show up somewhere, and where it was found. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { z } from 'zod'
import type { Secret } from '../../src/domain/secret.ts'
import { attachStore, type OpenStore } from '../../src/main/openStore.ts'
import type { Store } from '../../src/store/store.ts'
import type { TestService } from './service.ts'

export interface NamedSecret {
  readonly what: string
  readonly value: string
}

const connectTimeoutMs = 30_000
/** Shorter ones would be found by chance. */
const leastLength = 12

/** As the controller opens it, with its master key; it writes nothing. */
export function openStoreOf({ config }: TestService): Promise<OpenStore> {
  return attachStore(config, AbortSignal.timeout(connectTimeoutMs))
}

/** What was handed out, what lies in the state directory, and what the control database keeps sealed. */
export async function secretsOf(service: TestService, { pool, store }: OpenStore): Promise<readonly NamedSecret[]> {
  const all = [...await noted(service), ...await inStateDirectory(service), ...await sealed(pool, store)]
  return all.flatMap(({ what, value }) => piecesOf(value).map((piece) => ({ what, value: piece }))).filter(({ value }) => value.length >= leastLength)
}

const notedSchema = z.object({ what: z.string(), value: z.string() })

async function noted({ records }: TestService): Promise<NamedSecret[]> {
  const text = await readFile(join(records, 'secrets.jsonl'), 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '').map((line) => notedSchema.parse(JSON.parse(line)))
}

const storeKeysSchema = z.object({ secretAccessKey: z.string() })

async function inStateDirectory({ config: { stateDir } }: TestService): Promise<NamedSecret[]> {
  const [masterKeys, token, storeKeys] = await Promise.all(['master.keys', 'admin-token', 'objectstore.json'].map((name) => readFile(join(stateDir, name), 'utf8')))
  const keys = (masterKeys ?? '').split(/\s+/).filter((line) => line.includes(':')).map((line) => ({ what: 'master key', value: line.slice(line.indexOf(':') + 1) }))
  return [...keys, { what: 'admin token', value: (token ?? '').trim() }, { what: 'secret key of the object store', value: storeKeysSchema.parse(JSON.parse(storeKeys ?? '')).secretAccessKey }]
}

const idRow = z.object({ id: z.string() })

async function sealed(pool: pg.Pool, store: Store): Promise<NamedSecret[]> {
  const active = await store.certificates.active()
  const authority = named('key of the authority', active.keyPem)
  const { rows } = await pool.query('select id from databases')
  const found = await Promise.all(z.array(idRow).parse(rows).map(({ id }) => store.desired.load(id)))
  return [authority, ...found.flatMap((desired) => desired === null ? [] : [
    ...desired.credentials.flatMap(({ roleName, password, verifier }) => [named(`password of ${roleName}`, password), named(`verifier of ${roleName}`, verifier)]),
    ...desired.instances.map(({ id, repository }) => named(`cipher of ${id}`, repository.cipher)),
    ...[...desired.certificates].map(([key, { keyPem }]) => named(`key of ${key}`, keyPem)),
  ])]
}

function named(what: string, secret: Secret): NamedSecret {
  return { what, value: secret.reveal() }
}

/** Line breaks look different wherever a text is quoted, so a key is searched by its lines; a verifier by its keys. */
function piecesOf(value: string): readonly string[] {
  if (value.startsWith('SCRAM-SHA-256$')) return value.split(/[$:]/).slice(3)
  return value.split('\n').filter((line) => line !== '' && !line.startsWith('-----'))
}

/** Where which secret was found: empty, as it should be. Texts by name. */
export function findings(secrets: readonly NamedSecret[], texts: ReadonlyMap<string, string>): readonly string[] {
  return [...texts].flatMap(([name, text]) => [...new Set(secrets.filter(({ value }) => text.includes(value)).map(({ what }) => `${what} in ${name}`))])
}
