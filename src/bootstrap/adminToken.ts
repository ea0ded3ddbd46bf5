/** The first admin token: made once, written once to a file only its owner can read, known to the control database by its hash. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { Config } from '../config.ts'
import { Secret } from '../domain/secret.ts'

interface TokenStore {
  verify(token: Secret): Promise<unknown>
  create(
    token: { readonly teamId: null; readonly name: string; readonly role: 'admin'; readonly token: Secret },
    actor: { readonly tokenId: null; readonly name: string; readonly requestId: string },
  ): Promise<unknown>
}

/** A token that was revoked in the control database stays revoked: its file is left for its owner to remove. */
export async function ensureAdminToken({ stateDir }: Config, tokens: TokenStore): Promise<void> {
  const path = join(stateDir, 'admin-token')
  await writeFile(path, `hf_${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  })
  const token = new Secret((await readFile(path, 'utf8')).trim())
  if ((await tokens.verify(token)) !== null) return
  await tokens.create({ teamId: null, name: 'first admin', role: 'admin', token }, { tokenId: null, name: 'controller', requestId: 'start' })
}
