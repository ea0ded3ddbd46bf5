/** A database as the API shows it: the store's view, what was seen live, and what follows from both. No secrets in, none out. */
import { Cron } from 'croner'
import type { z } from 'zod'
import type { LiveMember } from '../domain/liveStatus.ts'
import { tiers } from '../domain/tiers.ts'
import type { Tier, TierName } from '../domain/tiers.ts'
import type { CredentialView, DatabaseView, EndpointPorts, InstanceView } from '../store/views.ts'
import type { credential, database } from './schemas/databases.ts'
import type { ApiParts } from './settings.ts'

type Shown = z.output<typeof database>

export async function showDatabase({ live }: Pick<ApiParts, 'live'>, view: DatabaseView): Promise<Shown> {
  const members = (await live?.of(view.id)) ?? []
  const { id, name, team, project, databaseName, tier, topology, durability, storageBytes, paused, generation, observedGeneration, createdAt, rehearsalOf } = view
  return {
    id, name, team, project, databaseName, tier, topology, durability, storageBytes, paused, generation, observedGeneration, createdAt, rehearsalOf,
    tierFacts: showTier(tier),
    allowList: [...view.allowList],
    deletion: view.deletion === null ? null : { ...view.deletion, remaining: [...view.deletion.finalizers] },
    status: { conditions: [...view.conditions], rollback: showRollback(view, members), operation: view.operation, lastFailover: view.lastFailover, lastPassAt: view.lastPassAt, lastError: view.lastError },
    instances: view.instances.map((instance) => showInstance(instance, members)),
    endpoint: view.endpoint,
    proxies: [...(view.endpoint?.proxies ?? [])],
    urls: urlsOf(view),
    libpqUrls: libpqUrlsOf(view),
    backups: {
      verified: view.backups.verified,
      repositoryBytes: view.backups.repositoryBytes,
      lastVerifiedAt: view.backups.newestVerifiedAt,
      last: view.backups.newest,
      next: paused || view.deletion !== null ? null : nextBackup(tier, new Date()),
    },
  }
}

type ShownTier = Omit<Tier, 'topologies'> & { topologies: Tier['topologies'][number][] }

export function showTier(name: TierName): ShownTier {
  return { ...tiers[name], topologies: [...tiers[name].topologies] }
}

export function showCredential(view: CredentialView): z.output<typeof credential> {
  return { ...view, state: view.endedAt !== null ? 'ended' : view.endsAt !== null ? 'ending' : 'current' }
}

function showRollback({ instances, conditions }: DatabaseView, live: readonly LiveMember[]): Shown['status']['rollback'] {
  const former = instances.find(({ role }) => role === 'rollbackTarget')
  if (former?.keptUntil == null) return null
  const [member] = showInstance(former, live).members
  return { until: former.keptUntil, ready: conditions.some(({ type, status }) => type === 'RollbackReady' && status === 'true'), behindBytes: member?.lagBytes ?? null }
}

/** Live facts first, then what the last pass wrote down. */
function showInstance(instance: InstanceView, live: readonly LiveMember[]): Shown['instances'][number] {
  const members = instance.members.map((member) => ({ ...member, ...live.find(({ memberId }) => memberId === member.id) }))
  return { ...instance, members }
}

function urlsOf(view: DatabaseView): Shown['urls'] {
  return view.endpoint === null ? null : urlsTo(view, [view.endpoint.ports])
}

/** Proxies on several hosts have the same ports: the name then stands for all of their addresses. */
function libpqUrlsOf(view: DatabaseView): Shown['urls'] {
  if (view.endpoint === null || view.topology !== 'ha') return null
  return urlsTo(view, view.endpoint.proxies.map(({ ports }) => ports))
}

function urlsTo({ endpoint, credentials, databaseName }: DatabaseView, proxies: readonly EndpointPorts[]): Shown['urls'] {
  const current = credentials.find(({ endsAt }) => endsAt === null)
  if (endpoint === null || current === undefined) return null
  const url = (face: keyof EndpointPorts): string => {
    const hosts = new Set(proxies.map((ports) => `${endpoint.host}:${ports[face]}`))
    return `postgresql://${current.roleName}@${[...hosts].join(',')}/${databaseName}?sslmode=verify-full`
  }
  return { rw: url('rw'), ro: url('ro'), pooled: url('pooled') }
}

function nextBackup(tier: TierName, now: Date): Shown['backups']['next'] {
  const { full, incremental } = tiers[tier].backups
  const runs = [
    { kind: 'full' as const, at: nextRun(full, now) },
    { kind: 'incremental' as const, at: nextRun(incremental, now) },
  ].flatMap(({ kind, at }) => (at === null ? [] : [{ kind, at }]))
  return runs.toSorted((a, b) => a.at.getTime() - b.at.getTime())[0] ?? null
}

function nextRun(cron: string, now: Date): Date | null {
  return new Cron(cron, { timezone: 'UTC' }).nextRun(now)
}
