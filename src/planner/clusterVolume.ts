/**
 * The data volume of a cluster's member. Before the cluster was initialised all are made at once. Afterwards a missing one is
 * a loss: it is told, and made anew, empty, only while a leader is there to be copied from, one member at a time. With the
 * last one all data are gone, and nothing is put in their place.
 */
import type { Member } from '../domain/desired.ts'
import { act, block, merge, record, waitFor, type Part } from '../domain/part.ts'
import { engineOf } from '../domain/reading.ts'
import { hasVolume, isCopying, type ClusterScene } from './clusterScene.ts'

const soonMs = 250
const laterMs = 1_000

export function planVolume(scene: ClusterScene, member: Member): Part | 'present' {
  const { input, instance } = scene
  const engine = engineOf(input.observed, member.hostId)
  if (!engine.known) return waitFor(`the data volume of member ${member.ordinal}: its host cannot be seen (${engine.reason})`, laterMs)
  if (hasVolume(scene, member) === true) return 'present'
  if (instance.initialisedAt === null) return making(scene, member)
  if (instance.members.every((one) => hasVolume(scene, one) === false)) return allLost(scene)
  const { leader } = scene
  if (leader === null || leader.member.id === member.id) return waitFor(`a leader, to copy the lost data of member ${member.ordinal} from`, laterMs)
  if (member.volumeBytes !== null) return telling(member)
  const other = instance.members.find((one) => one.ordinal !== member.ordinal && isBeingRebuilt(scene, one) && (hasVolume(scene, one) === true || one.ordinal < member.ordinal))
  if (other !== undefined) return waitFor(`member ${other.ordinal} to be rebuilt, before member ${member.ordinal}`, laterMs)
  return making(scene, member)
}

/** Only what members stand on, while nothing else of them can be made yet. */
export function planVolumes(scene: ClusterScene): Part {
  return merge(scene.instance.members.map((member) => planVolume(scene, member)).filter((volume) => volume !== 'present'))
}

/** Its volume is gone, or new and being filled. */
function isBeingRebuilt(scene: ClusterScene, member: Member): boolean {
  return hasVolume(scene, member) === false || isCopying(scene, member)
}

function making({ input, instance }: ClusterScene, member: Member): Part {
  const { desired, names } = input
  const create = act({
    kind: 'createDataVolume', hostId: member.hostId, memberId: member.id, instanceId: instance.id,
    databaseId: desired.database.id, name: names.dataVolume(member.id), bytes: desired.database.storageBytes,
  })
  return merge([create, waitFor(`the data volume of member ${member.ordinal} to be made`, 100)])
}

/** Written down before anything is made: that there was a volume is known by its size. */
function telling(member: Member): Part {
  const message = `The data volume of member ${member.ordinal} is gone from its host. It is made anew and copied from the leader; nothing acknowledged is lost.`
  const note = { severity: 'warning', reason: 'MemberDataLost', message, facts: { memberId: member.id } } as const
  const told = record({ kind: 'volumeSized', memberId: member.id, bytes: null }, { kind: 'event', note })
  return merge([{ ...told, requeueAfterMs: 0 }, waitFor(`member ${member.ordinal} to be rebuilt`, soonMs)])
}

function allLost({ input, instance }: ClusterScene): Part {
  const volumes = instance.members.map(({ id }) => input.names.dataVolume(id)).join(', ')
  return block('DataMissing', `No member has its data volume any more (${volumes}). Nothing was put in their place; restore the database from its latest backup.`)
}
