/** What new databases take from the settings, whoever makes them: the API, or a pass of the loop. */
import { databasePortRange } from '../bootstrap/embedded.ts'
import { shortId } from '../domain/names.ts'
import type { Provisioning } from '../store/store.ts'
import type { Ground } from './ground.ts'

export function provisioningOf({ config, images }: Pick<Ground, 'config' | 'images'>): Provisioning {
  const { domain, publicHost, portRange } = config.endpoint
  return {
    images,
    endpointHost: (databaseId, name) => (domain === undefined ? publicHost.toLowerCase() : `${name}-${shortId(databaseId)}.${domain}`),
    portRanges: { public: { from: portRange.first, to: portRange.last }, internal: databasePortRange(config) },
    networkPool: config.networkPool,
  }
}
