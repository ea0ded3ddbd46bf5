/** The members of an etcd cluster, how each of them is, and what is done to one of them alone. */
import { Readable } from 'node:stream'
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import type { EtcdEndpoint } from '../etcd.ts'
import { encoded, int64 } from './encoding.ts'
import { resultsIn } from './lines.ts'
import { etcdRefusalOf } from './refusals.ts'
import type { Session } from './session.ts'
import { addressOf } from './transport.ts'

export interface EtcdMember {
  readonly id: string
  /** Empty until it has started for the first time. */
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
}

export interface EtcdStatus {
  readonly memberId: string
  /** Null while there is none. */
  readonly leaderId: string | null
  readonly version: string
  readonly raftTerm: number
  readonly raftIndex: number
  readonly dbSizeBytes: number
  /** What a defragmentation would leave. */
  readonly dbSizeInUseBytes: number
}

export interface EtcdAlarm {
  readonly memberId: string
  readonly kind: 'NOSPACE' | 'CORRUPT'
}

/** What names an endpoint asks that one and no other. */
export interface EtcdCluster {
  members(signal: AbortSignal): Promise<readonly EtcdMember[]>
  /** A member with these peer addresses that is there already is success. */
  addMember(peerUrls: readonly string[], signal: AbortSignal): Promise<void>
  /** A member that is not there is success. */
  removeMember(id: string, signal: AbortSignal): Promise<void>
  status(endpoint: EtcdEndpoint, signal: AbortSignal): Promise<EtcdStatus>
  /** Resolves when that member has what the majority has: it serves. Errors: `EtcdUnavailable`. */
  checkServing(endpoint: EtcdEndpoint, signal: AbortSignal): Promise<void>
  /** False when none of the endpoints is the leader's, or it does not lead any more. */
  moveLeader(toMemberId: string, signal: AbortSignal): Promise<boolean>
  alarms(signal: AbortSignal): Promise<readonly EtcdAlarm[]>
  disarm(alarm: EtcdAlarm, signal: AbortSignal): Promise<void>
  /** Forgets every past value; watches that were behind have to list anew. */
  compact(signal: AbortSignal): Promise<void>
  /** Blocks that member for a while: one at a time, never the leader where it can be helped. */
  defragment(endpoint: EtcdEndpoint, signal: AbortSignal): Promise<void>
  /** The whole store; its last 32 bytes are the SHA-256 of the others. `etcdutl snapshot restore` takes it. */
  snapshot(signal: AbortSignal): Promise<Readable>
}

/** A member copies what is in use into a new file: seconds for a gigabyte. */
const defragmentMs = 60_000

const nothing = z.object({})
const revisionSchema = z.object({ header: z.object({ revision: int64 }) })
const id = z.string().default('0')

const memberSchema = z
  .object({ ID: z.string(), name: z.string().default(''), peerURLs: z.array(z.string()).default([]), clientURLs: z.array(z.string()).default([]) })
  .transform((seen): EtcdMember => ({ id: seen.ID, name: seen.name, peerUrls: seen.peerURLs, clientUrls: seen.clientURLs }))
const membersSchema = z.object({ members: z.array(memberSchema).default([]) })

const statusSchema = z
  .object({
    header: z.object({ member_id: z.string() }), version: z.string(), leader: id, raftTerm: int64.default(0), raftIndex: int64.default(0),
    dbSize: int64.default(0), dbSizeInUse: int64.default(0),
  })
  .transform((seen): EtcdStatus => ({
    memberId: seen.header.member_id, leaderId: seen.leader === '0' ? null : seen.leader, version: seen.version, raftTerm: seen.raftTerm,
    raftIndex: seen.raftIndex, dbSizeBytes: seen.dbSize, dbSizeInUseBytes: seen.dbSizeInUse,
  }))

const alarmSchema = z.object({ memberID: id, alarm: z.enum(['NOSPACE', 'CORRUPT']) }).transform((seen): EtcdAlarm => ({ memberId: seen.memberID, kind: seen.alarm }))
const alarmsSchema = z.object({ alarms: z.array(alarmSchema).default([]) })

const blobSchema = z.object({ blob: z.string().default('') }).transform(({ blob }) => Buffer.from(blob, 'base64'))

export function clusterClient(session: Session): EtcdCluster {
  const members: EtcdCluster['members'] = async (signal) =>
    (await session.manage('/v3/cluster/member/list', { linearizable: true }, membersSchema, signal)).members
  const status: EtcdCluster['status'] = (endpoint, signal) => session.askMember(endpoint, '/v3/maintenance/status', {}, statusSchema, signal)
  const alarmed = (action: string, alarm: Partial<EtcdAlarm>, signal: AbortSignal): Promise<z.output<typeof alarmsSchema>> =>
    session.manage('/v3/maintenance/alarm', { action, memberID: alarm.memberId ?? '0', alarm: alarm.kind ?? 'NONE' }, alarmsSchema, signal)

  return {
    members,
    status,
    checkServing: async (endpoint, signal) => {
      await session.at(endpoint, '/v3/kv/range', { key: encoded('health'), count_only: true }, nothing, signal)
    },
    addMember: async (peerUrls, signal) => {
      const isThere = (await members(signal)).some((member) => peerUrls.every((url) => member.peerUrls.includes(url)))
      if (!isThere) await so('Peer URLs already exists', session.manage('/v3/cluster/member/add', { peerURLs: peerUrls }, nothing, signal))
    },
    removeMember: (memberId, signal) => so('member not found', session.manage('/v3/cluster/member/remove', { ID: memberId }, nothing, signal)),
    moveLeader: async (toMemberId, signal) => {
      for (const endpoint of session.order()) {
        const seen = await status(endpoint, signal).catch((error: unknown) => silent(error, signal))
        if (seen === null || seen.leaderId !== seen.memberId) continue
        if (seen.memberId === toMemberId) return true
        return movedFrom(session.at(endpoint, '/v3/maintenance/transfer-leadership', { targetID: toMemberId }, nothing, signal))
      }
      return false
    },
    alarms: async (signal) => (await alarmed('GET', {}, signal)).alarms,
    disarm: async (alarm, signal) => {
      await alarmed('DEACTIVATE', alarm, signal)
    },
    compact: async (signal) => {
      const { header } = await session.manage('/v3/kv/range', { key: encoded('health'), count_only: true }, revisionSchema, signal)
      const request = { revision: String(header.revision), physical: true }
      await so('mvcc: required revision has been compacted', session.manage('/v3/kv/compaction', request, nothing, signal))
    },
    defragment: async (endpoint, signal) => {
      await session.at(endpoint, '/v3/maintenance/defragment', {}, nothing, signal, defragmentMs)
    },
    snapshot: (signal) => snapshot(session, signal),
  }
}

async function so(already: string, done: Promise<unknown>): Promise<void> {
  await done.catch((error: unknown) => {
    if (etcdRefusalOf(error)?.reason !== already) throw error
  })
}

/** A member that does not answer is not the one that is looked for. */
function silent(error: unknown, signal: AbortSignal): null {
  signal.throwIfAborted()
  if (error instanceof HoldfastError && error.code === 'EtcdUnavailable') return null
  throw error
}

async function movedFrom(asked: Promise<unknown>): Promise<boolean> {
  try {
    await asked
    return true
  } catch (error) {
    if (etcdRefusalOf(error)?.reason === 'not leader') return false
    throw error
  }
}

async function snapshot(session: Session, signal: AbortSignal): Promise<Readable> {
  const path = '/v3/maintenance/snapshot'
  const [endpoint] = session.order()
  if (endpoint === undefined) throw new HoldfastError('EtcdUnavailable', 'etcd has no endpoint')
  const body = await session.streamAt(endpoint, path, {}, signal)
  return Readable.from(resultsIn(body, addressOf(endpoint), path, blobSchema), { objectMode: false })
}
