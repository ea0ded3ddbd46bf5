/** The members of one cluster as they are, asked directly: who leads, who follows, whose commits wait for whom. */
import { z } from 'zod'
import { answerOf } from '../../../src/client/problem.ts'
import { label, patroniName, resourceNames } from '../../../src/domain/names.ts'
import { NotYet, until } from '../waiting.ts'
import { directTo, openSession, within } from './session.ts'
import type { Site } from './site.ts'

/** A PostgreSQL that is reached past the endpoint: of a cluster's member, or of a server without a cluster. */
export interface ServerPlace {
  readonly memberId: string
  /** What Patroni and replication call it. */
  readonly name: string
  readonly container: string
  readonly host: string
  readonly ports: { readonly postgres: number }
}

export interface MemberPlace extends ServerPlace {
  readonly pod: string
  readonly dataVolume: string
  readonly ports: { readonly postgres: number; readonly patroni: number }
}

export type MemberSight =
  | { readonly answers: false; readonly why: string }
  /** `willAdmit`: its files name our own access rules, so that its next start lets in whom this one does. */
  | { readonly answers: true; readonly inRecovery: boolean; readonly willAdmit: boolean; readonly followers: readonly Follower[] }

interface Follower {
  readonly name: string
  readonly isSynchronous: boolean
}

const limitMs = 1_500
const engineLimitMs = 30_000
const bindingsSchema = z.object({ Name: z.string(), HostConfig: z.object({ PortBindings: z.record(z.string(), z.array(z.object({ HostIp: z.string(), HostPort: z.string() }))) }) })

/** From the pods, which own the ports; sorted by name. Without those that are just being made anew. */
export async function placesOf({ engine, docker, config }: Site, databaseId: string): Promise<readonly MemberPlace[]> {
  const names = resourceNames(config.installation)
  const pods = await engine.listContainers({ [label.database]: databaseId, [label.kind]: 'pod' }, AbortSignal.timeout(engineLimitMs))
  const places = await Promise.all(pods.map(async (pod): Promise<MemberPlace | null> => {
    const memberId = pod.labels[label.member] ?? ''
    const inspected = await docker.getContainer(pod.id).inspect().catch(unlessGone)
    if (inspected === null) return null
    const [postgres, patroni] = [boundPort(inspected, 5432), boundPort(inspected, 8008)]
    return {
      memberId, name: patroniName(memberId), container: names.member(memberId), pod: pod.name, dataVolume: names.dataVolume(memberId),
      host: postgres.host, ports: { postgres: postgres.port, patroni: patroni.port },
    }
  }))
  return places.filter((place) => place !== null).toSorted((left, right) => (left.name < right.name ? -1 : 1))
}

/** The one server without a cluster that a database has. */
export async function serverPlaceOf({ api, docker, config }: Pick<Site, 'api' | 'docker' | 'config'>, databaseId: string): Promise<ServerPlace> {
  const { instances } = await answerOf(api.GET('/v1/databases/{id}', { params: { path: { id: databaseId } } }))
  const member = instances.find(({ kind }) => kind === 'standalone')?.members[0]
  if (member === undefined) throw new Error(`the database ${databaseId} has no server of its own`)
  const container = resourceNames(config.installation).member(member.id)
  const { host, port } = boundPort(await docker.getContainer(container).inspect(), 5432)
  return { memberId: member.id, name: patroniName(member.id), container, host, ports: { postgres: port } }
}

/** `inspected`: what the engine says of a container that publishes it. */
export function boundPort(inspected: unknown, port: number): { readonly host: string; readonly port: number } {
  const { Name, HostConfig: { PortBindings } } = bindingsSchema.parse(inspected)
  const [first] = PortBindings[`${port}/tcp`] ?? []
  if (first === undefined) throw new Error(`the container ${Name} does not publish ${port}`)
  return { host: first.HostIp, port: Number(first.HostPort) }
}

function unlessGone(error: unknown): null {
  if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return null
  throw error
}

const sightSchema = z.tuple([z.object({ recovering: z.boolean(), admitting: z.boolean(), followers: z.array(z.object({ name: z.string(), synchronous: z.boolean() })) })])
const sightStatement = `
  select pg_is_in_recovery() as recovering,
         (select setting from pg_file_settings where name = 'hba_file' order by seqno desc limit 1) is not distinct from '/conf/pg_hba.conf' as admitting,
         coalesce((select json_agg(json_build_object('name', application_name, 'synchronous', state = 'streaming' and sync_state in ('sync', 'quorum')))
                   from pg_stat_replication), '[]') as followers`

export async function lookAt(site: Site, place: MemberPlace): Promise<MemberSight> {
  try {
    const session = await openSession(directTo(site, place, 'postgres'), limitMs)
    try {
      const { rows } = await within(session, limitMs, () => session.client.query(sightStatement))
      const [{ recovering, admitting, followers }] = sightSchema.parse(rows)
      return { answers: true, inRecovery: recovering, willAdmit: admitting, followers: followers.map(({ name, synchronous }) => ({ name, isSynchronous: synchronous })) }
    } finally {
      session.leave()
    }
  } catch (error) {
    return { answers: false, why: error instanceof Error ? error.message : String(error) }
  }
}

export interface ClusterSight {
  readonly leader: MemberPlace | null
  readonly replicas: readonly MemberPlace[]
  /** Of the leader's, the synchronous ones. */
  readonly synchronous: readonly string[]
  /** Every one that answers will let in whom it should when it starts next. */
  readonly willAdmit: boolean
  /** For failures of waits. */
  readonly told: string
}

export async function lookAtCluster(site: Site, places: readonly MemberPlace[]): Promise<ClusterSight> {
  const seen = await Promise.all(places.map(async (place) => ({ place, sight: await lookAt(site, place) })))
  const leading = seen.filter(({ sight }) => sight.answers && !sight.inRecovery)
  const [first] = leading
  const leader = leading.length === 1 && first !== undefined ? first : null
  const followers = leader?.sight.answers === true ? leader.sight.followers : []
  return {
    leader: leader?.place ?? null,
    replicas: seen.filter(({ sight }) => sight.answers && sight.inRecovery).map(({ place }) => place),
    synchronous: followers.filter(({ name, isSynchronous }) => isSynchronous && places.some((place) => place.name === name)).map(({ name }) => name),
    willAdmit: seen.every(({ sight }) => !sight.answers || sight.willAdmit),
    told: seen.map(({ place, sight }) => `${place.name} ${sight.answers ? describe(sight) : `does not answer: ${sight.why}`}`).join('; '),
  }
}

function describe({ inRecovery, willAdmit, followers }: Extract<MemberSight, { answers: true }>): string {
  const fate = willAdmit ? '' : ' (and has lost its access rules)'
  if (inRecovery) return `follows${fate}`
  return `leads${fate} ${followers.map(({ name, isSynchronous }) => `${name}${isSynchronous ? '' : ' (not synchronous)'}`).join(' and ') || 'nobody'}`
}

export interface Whole {
  readonly leader: MemberPlace
  readonly replicas: readonly MemberPlace[]
}

/** One leads, two follow, and a commit waits for them: what every fault has to end in. */
export async function untilWhole(site: Site, places: readonly MemberPlace[], limit: number, everyMs = 250): Promise<Whole> {
  return until('one leader with two synchronous replicas', async () => {
    const { leader, replicas, synchronous, willAdmit, told } = await lookAtCluster(site, places)
    return leader !== null && willAdmit && replicas.length === places.length - 1 && synchronous.length === places.length - 1 ? { leader, replicas } : new NotYet(told)
  }, { limitMs: limit, everyMs })
}
