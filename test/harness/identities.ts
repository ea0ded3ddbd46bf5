/** Certificates that containers of the product hold, for tests that try them where they do not belong. */
import { containerOf, type Part } from './containers.ts'
import type { TestService } from './service.ts'

export interface Identity {
  readonly certificate: string
  readonly key: string
}

const timeoutMs = 20_000
const files: Readonly<Record<Part, readonly [string, string]>> = {
  member: ['/conf/tls/server.crt', '/conf/tls/server.key'], agent: ['/conf/tls/agent.crt', '/conf/tls/agent.key'], endpoint: ['/conf/tls/client.crt', '/conf/tls/client.key'],
}

/** As root of a host could take it: a container's own user cannot be asked by anybody else. */
export async function identityOf(service: TestService, databaseId: string, part: Part): Promise<Identity> {
  const { id } = await containerOf(service, databaseId, part)
  const [certificate, key] = await Promise.all(files[part].map(async (path) => {
    const { exitCode, stdout, stderr } = await service.engine.exec(id, ['cat', path], {}, AbortSignal.timeout(timeoutMs))
    if (exitCode !== 0) throw new Error(`${path} of the ${part} could not be read: ${stderr}`)
    return stdout
  }))
  return { certificate: certificate ?? '', key: key ?? '' }
}
