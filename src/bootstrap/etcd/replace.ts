/**
 * A member whose data are lost goes and comes back as a new one: what it once promised is forgotten with its old identity, so
 * that it can break no promise. Only while all others serve; each step may be the last of a run and the first of the next.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EtcdClient } from '../../clients/etcd.ts'
import { HoldfastError } from '../../domain/errors.ts'
import { dataVolume, etcdContainer } from './blueprint.ts'
import { bringUp, remove, tell, type Member } from './member.ts'
import { peerUrl } from './place.ts'
import { servingInTime } from './serving.ts'

/** etcd takes no new member until the others have been connected for 5 s. */
const admitTimeoutMs = 30_000
const admitPauseMs = 500
const joinTimeoutMs = 60_000

export async function replaceMember(member: Member, members: readonly Member[], client: EtcdClient, signal: AbortSignal): Promise<void> {
  const { settings, place } = member
  const url = peerUrl(place)
  await remove(member, signal)
  await place.engine.removeVolume(dataVolume(settings.installation, place.ordinal), signal)
  for (const { id, peerUrls } of await client.cluster.members(signal)) {
    if (peerUrls.includes(url)) await admitted(() => client.cluster.removeMember(id, signal), signal)
  }
  await admitted(() => client.cluster.addMember([url], signal), signal)
  await bringUp(member, { state: 'existing', cluster: members.map((one) => one.place) }, signal)
  const came = await servingInTime(member, client, joinTimeoutMs, signal)
  if (came !== 'serves') {
    const name = etcdContainer(settings.installation, place.ordinal)
    throw new HoldfastError('EtcdUnavailable', `The new member ${name} of the embedded etcd does not join`, { next: `See its log: docker logs ${name}` })
  }
  await tell(member, null, signal)
}

async function admitted(change: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + admitTimeoutMs
  for (;;) {
    try {
      await change()
      return
    } catch (error) {
      signal.throwIfAborted()
      const isEarly = error instanceof HoldfastError && error.code === 'EtcdUnavailable'
      if (!isEarly || performance.now() > deadline) throw error
    }
    await sleep(admitPauseMs, undefined, { signal })
  }
}
