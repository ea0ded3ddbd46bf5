/** Carries verdicts out, one at a time, and tells what came of them. Whether one was right is decided elsewhere, before. */
import { describeError } from '../domain/errors.ts'
import type { WatchedCluster } from './cluster.ts'
import type { Evidence } from './evidence.ts'
import { fence } from './fence.ts'
import { Incident, wordsOf } from './incident.ts'
import { loseHost } from './lostHost.ts'
import type { MemberProbe } from './memberProbe.ts'
import type { GuardWorld } from './ports.ts'
import type { Recordings } from './recorder.ts'
import { releaseLeader } from './release.ts'
import type { Route, RouteTold } from './route.ts'
import type { Verdict } from './verdict.ts'

export interface ActorOptions {
  readonly cluster: WatchedCluster
  readonly world: GuardWorld
  readonly recordings: Recordings
  /** Its name, for the record. */
  readonly controller: string
  readonly route: Route
  readonly probeOf: (name: string) => MemberProbe | undefined
  /** Asks everything that counts, now. */
  readonly look: () => Promise<Evidence>
  /** The keys are not what they were: they count again once they are read anew. */
  readonly forgetKeys: () => void
  readonly signal: AbortSignal
}

export interface Actor {
  /** Returns when it is done, or was given up. Never rejects. */
  act(verdict: Verdict, evidence: Evidence): Promise<void>
  /** Another member takes writes, and the proxies were told. */
  routed(leader: string, told: readonly RouteTold[], verdict: Verdict, evidence: Evidence): void
  /** Nothing is amiss any more. */
  calm(): void
}

/** For one transaction with its repetitions; after that the keys are read and judged anew. */
const releaseMs = 4_000
const wakeEveryMs = 150
const wakeMs = 500
/** What is over sooner was no trouble worth telling. */
const waitToldMs = 1_000

type Of<Kind extends Verdict['kind']> = Extract<Verdict, { kind: Kind }>

export function createActor(options: ActorOptions): Actor {
  const { cluster, world, recordings, route, signal } = options
  /** That a new leader ends. */
  const open: Incident[] = []
  /** Of one spell of trouble: what was told already. */
  const told = new Map<string, number>()
  let troubleAt: number | null = null
  let wokenAt = -Infinity

  const begin = (verdict: Verdict, evidence: Evidence): Incident => {
    const incident = new Incident(cluster, options.controller, verdict.kind, wordsOf(verdict), evidence)
    const { verdict: kind, notes } = incident.record
    world.log.warn({ databaseId: cluster.databaseId, verdictId: incident.record.id, verdict: kind, reason: notes.verdict.reason }, 'the failover guard reached a verdict')
    recordings.keep(incident.record)
    return incident
  }
  const keep = (incident: Incident): void => recordings.keep(incident.record)
  const idOf = (name: string | null): string | null => cluster.members.find((member) => member.name === name)?.memberId ?? null

  const release = async (verdict: Of<'releaseLeader'>, evidence: Evidence): Promise<void> => {
    // first of all: every moment of what else there is to do would lengthen the time without a leader
    const startedAt = performance.now()
    const releasing = releaseLeader(world.etcd, cluster.prefix, verdict.keys, AbortSignal.any([signal, AbortSignal.timeout(releaseMs)]))
    const incident = begin(verdict, evidence)
    tellRoute(incident, verdict.keys.leader, route.away(verdict.keys.leader, signal))
    const outcome = await releasing
    // judged on the old ones the same leader would be released again
    options.forgetKeys()
    incident.fact('release', { ...outcome, tookMs: Math.round(performance.now() - startedAt) })
    if (outcome.kind === 'released') {
      incident.tell('done', `The leader key of ${verdict.keys.leader} was removed and /sync put again, in one transaction`)
      open.push(incident)
      return
    }
    const why = outcome.kind === 'changed' ? 'KeysChanged' : 'EtcdUnanswered'
    incident.end({ reason: why, leaderChanged: false, leaderId: null, writeGapMs: null }, null)
    keep(incident)
  }

  const kill = async (verdict: Of<'killLeader'> | Of<'killReplica'>, evidence: Evidence): Promise<void> => {
    const incident = begin(verdict, evidence)
    const { memberId, name } = verdict.run
    const hostId = cluster.members.find((member) => member.memberId === memberId)?.hostId ?? ''
    if (verdict.kind === 'killLeader') tellRoute(incident, name, route.away(name, signal))
    const outcome = await fence({ engine: world.engineOf(hostId), events: world.events }, verdict.run, signal)
    incident.fact('fence', outcome)
    const dead = outcome.kind === 'dead'
    incident.tell('done', dead ? `The container of ${name} was killed; the engine says ${outcome.state}` : `The container of ${name} was not seen dead (${outcome.kind})`)
    incident.end({ reason: dead ? 'Fenced' : 'NotFenced', leaderChanged: false, leaderId: null, writeGapMs: null }, null)
    keep(incident)
  }

  const wake = (verdict: Of<'wakeLeader'>, evidence: Evidence): void => {
    const key = `wake/${verdict.because}/${verdict.member}`
    if (!told.has(key)) {
      told.set(key, performance.now())
      open.push(begin(verdict, evidence))
    }
    const probe = options.probeOf(verdict.leader)
    if (probe === undefined || performance.now() - wokenAt < wakeEveryMs) return
    wokenAt = performance.now()
    probe.patroni.wake(AbortSignal.any([signal, AbortSignal.timeout(wakeMs)])).catch((error: unknown) => {
      world.log.info({ databaseId: cluster.databaseId, member: verdict.leader, reason: describeError(error) }, 'Patroni could not be woken')
    })
  }

  const waitFor = (verdict: Of<'wait'>, evidence: Evidence): void => {
    if (verdict.reason === 'NoLeader' || verdict.reason === 'NotLongEnough') return
    const key = `wait/${verdict.reason}/${verdict.member ?? ''}`
    const since = told.get(key)
    if (since === undefined) told.set(key, performance.now())
    else if (since >= 0 && performance.now() - since > waitToldMs) {
      told.set(key, -1)
      open.push(begin(verdict, evidence))
    }
  }

  const host = async (verdict: Of<'hostLost'>, evidence: Evidence): Promise<void> => {
    const incident = begin(verdict, evidence)
    tellRoute(incident, verdict.leader, route.away(verdict.leader, signal))
    const outcome = await loseHost(verdict, options)
    incident.fact('procedure', outcome)
    for (const { step, reason } of outcome.steps) incident.tell('done', reason === null ? `${step}: done` : `${step}: ${reason}`)
    if (outcome.released) open.push(incident)
    else {
      incident.end({ reason: 'ProcedureGivenUp', leaderChanged: false, leaderId: null, writeGapMs: null }, null)
      keep(incident)
    }
  }

  const tellRoute = (incident: Incident, name: string, telling: Promise<readonly RouteTold[]>): void => {
    void telling.then((proxies) => incident.tell('done', `The proxies were told that ${name} does not lead any more${failures(proxies)}`))
  }

  return {
    async act(verdict, evidence) {
      if (verdict.kind !== 'nothing' && isAboutLeader(verdict)) troubleAt ??= performance.now() - lastAnswerMs(evidence)
      try {
        switch (verdict.kind) {
          case 'nothing':
            return
          case 'wait':
            return waitFor(verdict, evidence)
          case 'wakeLeader':
            return wake(verdict, evidence)
          case 'releaseLeader':
            return await release(verdict, evidence)
          case 'killLeader':
          case 'killReplica':
            return await kill(verdict, evidence)
          case 'hostLost':
            return await host(verdict, evidence)
        }
      } catch (error) {
        world.log.error({ databaseId: cluster.databaseId, verdict: verdict.kind, reason: describeError(error) }, 'a verdict could not be carried out')
      }
    },

    routed(leader, proxies, verdict, evidence) {
      const writeGapMs = troubleAt === null ? null : Math.round(performance.now() - troubleAt)
      // somebody moved the lead, and tells so himself
      if (open.length === 0 && troubleAt === null) return
      troubleAt = null
      if (open.length === 0) open.push(begin(verdict, evidence))
      const incidents = open.splice(0)
      for (const incident of incidents) {
        incident.tell('done', `The proxies were told that ${leader} leads${failures(proxies)}`)
        const gap = writeGapMs === null ? '' : `, ${writeGapMs} ms after the old leader last answered`
        const note = { severity: 'info', reason: 'LeaderChanged', message: `${leader} leads and takes writes${gap}` } as const
        // several verdicts led to one change: the last one tells of it
        incident.end({ reason: 'LeaderChanged', leaderChanged: true, leaderId: idOf(leader), writeGapMs }, incident === incidents.at(-1) ? note : null)
        keep(incident)
      }
    },

    calm() {
      troubleAt = null
      told.clear()
      for (const incident of open.splice(0)) {
        incident.end({ reason: 'TroubleOver', leaderChanged: false, leaderId: null, writeGapMs: null }, null)
        keep(incident)
      }
    },
  }
}

function isAboutLeader(verdict: Verdict): boolean {
  return verdict.kind !== 'killReplica' && !(verdict.kind === 'wakeLeader' && verdict.because === 'ReplicaDied')
}

/** Since the leader of the key last answered a query: from then on it may not have acknowledged anything any more. */
function lastAnswerMs({ keys, members }: Evidence): number {
  const name = keys.known ? keys.leader?.name : undefined
  return members.find((member) => member.name === name)?.said?.agoMs ?? 0
}

function failures(proxies: readonly RouteTold[]): string {
  const failed = proxies.filter(({ failure }) => failure !== null)
  return failed.length === 0 ? '' : ` (not: ${failed.map(({ proxy, failure }) => `${proxy}: ${failure ?? ''}`).join('; ')})`
}
