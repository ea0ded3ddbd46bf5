/**
 * How a server beside a cluster finds whoever leads it: one that follows, and one that is made as a copy and follows then. Pure. The order
 * to copy is a part of the server's configuration, and is seen to be taken back when there is a copy.
 */
import type { RenderedFile } from '../domain/blueprint.ts'
import { hostOf, servingInstance, type Desired, type Instance } from '../domain/desired.ts'
import { followerSlotName } from '../domain/prepared.ts'
import { address, identifier, integer, port, type Encoded } from './encode.ts'
import { plainFile } from './rendered.ts'

/** libpq tries one member after the other until one takes writes. */
export function followerConninfo(desired: Desired, { members }: Pick<Instance, 'members'>): string {
  const list = (parts: readonly Encoded[]): string => parts.map(({ text }) => text).join()
  return [
    `host=${list(members.map(({ hostId }) => address(hostOf(desired, hostId).privateAddress)))}`, `port=${list(members.map(({ ports }) => port(ports.postgres)))}`,
    'target_session_attrs=read-write', 'user=holdfast_replicator', 'sslmode=verify-full', 'sslrootcert=/conf/tls/ca.crt', 'sslcert=/conf/tls/server.crt',
    'sslkey=/conf/tls/server.key', 'connect_timeout=3', `application_name=${followerSlotName}`,
  ].join(' ')
}

/** Of a server that is being made for a downgrade: read by the image's may-start and copy-server. None of any other. */
export function copyFiles(desired: Desired, instance: Instance, rateMib: number | undefined): readonly RenderedFile[] {
  const serving = servingInstance(desired)
  if (instance.role !== 'rollbackTarget' || instance.keptUntil !== null || serving?.kind !== 'cluster') return []
  // emptied rather than left out: files that are no longer listed stay in the volume
  if (instance.initialisedAt !== null) return [plainFile('/conf/copy', '')]
  const order = [identifier(instance.id).text, followerConninfo(desired, serving), followerSlotName, integer(rateMib ?? 0).text]
  return [plainFile('/conf/copy', `${order.join('\n')}\n`)]
}
