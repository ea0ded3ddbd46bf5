/** Where the runtime interfaces of a database's proxies are, and as whom they are asked. */
import type { RuntimeAddress } from '../clients/haproxy.ts'
import { hostOf, type Desired, type Endpoint, type Proxy } from '../domain/desired.ts'
import { internalName } from '../domain/names.ts'
import type { PostgresTools } from './postgres.ts'

export function runtimeAddress({ identity }: Pick<PostgresTools, 'identity'>, desired: Desired, { id }: Endpoint, { hostId, ports }: Proxy, timeoutMs: number): RuntimeAddress {
  const { certificatePem, keyPem } = identity()
  return {
    host: hostOf(desired, hostId).privateAddress, port: ports.runtime, serverName: internalName.endpoint(id),
    ca: desired.trustBundlePem, cert: certificatePem, key: keyPem, timeoutMs,
  }
}
