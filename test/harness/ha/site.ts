/**
 * An installation as the measurements and faults of clusters see it: its API as any client has it, the engine for faults, and a
 * superuser's certificate for looking at members directly, past endpoint and controller.
 */
import { ensureFirstAuthority } from '../../../src/bootstrap/authorityFile.ts'
import { openDocker } from '../../../src/bootstrap/dockerConnection.ts'
import { ensureEngine } from '../../../src/bootstrap/engine.ts'
import { ensureMasterKeys } from '../../../src/bootstrap/masterKey.ts'
import type { HoldfastClient } from '../../../src/client/client.ts'
import { connectEngine, type EngineClient } from '../../../src/clients/docker.ts'
import type { Config } from '../../../src/config.ts'
import type { KeyPair } from '../../../src/domain/desired.ts'
import { commonName } from '../../../src/domain/names.ts'
import { issueFor } from '../../../src/pki/issuer.ts'

export interface Site {
  readonly config: Config
  readonly api: HoldfastClient
  readonly ca: string
  readonly docker: ReturnType<typeof openDocker>
  readonly engine: EngineClient
  /** PostgreSQL takes it for the superuser. */
  readonly superuser: KeyPair
}

const lifetimeMs = 86_400_000
const engineTimeoutMs = 60_000

export async function openSite({ config, api, ca }: Pick<Site, 'config' | 'api' | 'ca'>): Promise<Site> {
  const keyring = await ensureMasterKeys(config, { announce: () => undefined })
  const { authority, id } = await ensureFirstAuthority(config, keyring, new Date())
  const request = { commonName: commonName.controller(config.installation), names: [], usage: 'client' } as const
  const superuser = await issueFor(authority, id, request, lifetimeMs, new Date())
  const { connection } = await ensureEngine({ report: () => undefined, signal: AbortSignal.timeout(engineTimeoutMs) })
  return { config, api, ca, docker: openDocker(connection), engine: connectEngine(connection), superuser }
}
