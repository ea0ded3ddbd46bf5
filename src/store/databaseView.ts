/** A database as the API shows it, in one statement: several of them for a list. */
import { z } from 'zod'
import { instanceRoles } from '../domain/desired.ts'
import { backupColumns, backupRow, failureRow } from './backups.ts'
import { databaseColumns, databaseShape } from './databaseRow.ts'
import { notFound } from './notFound.ts'
import { operationColumns, operationRow } from './operations.ts'
import { time, type Sql } from './sql.ts'
import type { CredentialView, DatabaseView, EndpointView, InstanceView, LastFailover, MemberView } from './views.ts'

export async function databaseView(sql: Sql, databaseId: string): Promise<DatabaseView> {
  const [view] = await databaseViews(sql, [databaseId])
  if (view === undefined) throw notFound('database', databaseId)
  return view
}

/** In the order of the ids; those that are not there are left out. */
export async function databaseViews(sql: Sql, databaseIds: readonly string[]): Promise<DatabaseView[]> {
  const rows = await sql.many(viewRow, viewStatement, [databaseIds])
  return rows.map(toView)
}

const named = z.object({ id: z.string(), name: z.string() })

const memberRow: z.ZodType<MemberView> = z.object({
  id: z.string(),
  name: z.string(),
  host: z.string(),
  ordinal: z.number(),
  role: z.string().nullable(),
  containerId: z.string().nullable(),
  timeline: z.number().nullable(),
  lagBytes: z.number().nullable(),
  syncState: z.string().nullable(),
  patroniState: z.string().nullable(),
})

const instanceRow: z.ZodType<InstanceView> = z.object({
  id: z.string(),
  kind: z.enum(['standalone', 'cluster']),
  role: z.enum(instanceRoles),
  initialisedAt: time.nullable(),
  keptUntil: time.nullable(),
  createdAt: time,
  members: z.array(memberRow),
})

const credentialRow: z.ZodType<CredentialView> = z.object({
  id: z.string(),
  roleName: z.string(),
  createdAt: time,
  endsAt: time.nullable(),
  endedAt: time.nullable(),
  lastSeenAt: time.nullable(),
})

const ports = z.object({ rw: z.number(), ro: z.number(), pooled: z.number() })
const endpointRow: z.ZodType<EndpointView> = z.object({
  id: z.string(), host: z.string(), ports, proxies: z.array(z.object({ slot: z.number(), host: z.string(), ports })),
})

const lastFailoverRow: z.ZodType<LastFailover> = z.object({
  at: time, writeGapMs: z.number().nullable(), reason: z.string(), eventSeq: z.number().nullable(),
})

const viewRow = z.object({
  ...databaseShape,
  team: named,
  project: named,
  instances: z.array(instanceRow),
  endpoint: endpointRow.nullable(),
  credentials: z.array(credentialRow),
  operation: operationRow.nullable(),
  lastFailover: lastFailoverRow.nullable(),
  verified: z.number(),
  repositoryBytes: z.number(),
  newestVerifiedAt: time.nullable(),
  newestBackup: backupRow.nullable(),
  lastPassAt: time.nullable(),
  lastError: failureRow.nullable(),
})

function toView(row: z.output<typeof viewRow>): DatabaseView {
  const { verified, repositoryBytes, newestVerifiedAt, newestBackup, ...rest } = row
  const { deletionRequestedAt, finalBackup, backupsKeptUntil, finalizers, removedAt, images: _, extraCertificateNames: __, ...shown } = rest
  return {
    ...shown,
    backups: { verified, repositoryBytes, newestVerifiedAt, newest: newestBackup },
    deletion: deletionRequestedAt === null ? null : { requestedAt: deletionRequestedAt, finalBackup, backupsKeptUntil, finalizers, removedAt },
  }
}

const members = `
  select m.id, 'member-' || m.ordinal as name, h.name as host, m.ordinal, m.status ->> 'role' as role, m.status ->> 'containerId' as "containerId",
         (m.status ->> 'timeline')::bigint as timeline, (m.status ->> 'lagBytes')::bigint as "lagBytes", m.status ->> 'syncState' as "syncState",
         m.status ->> 'patroniState' as "patroniState"
    from members m join hosts h on h.id = m.host_id where m.instance_id = i.id order by m.ordinal`

const instances = `
  select i.id, i.kind, i.role, i.initialised_at as "initialisedAt", i.kept_until as "keptUntil", i.created_at as "createdAt",
         (select coalesce(json_agg(member), '[]') from (${members}) member) as members
    from instances i where i.database_id = d.id order by i.created_at, i.id`

const proxyPorts = `json_build_object('rw', x.rw_port, 'ro', x.ro_port, 'pooled', x.pooled_port)`

/** The second proxy is in use only once the database is highly available. */
const proxies = `
  select x.slot, h.name as host, ${proxyPorts} as ports from endpoint_proxies x join hosts h on h.id = x.host_id
   where x.endpoint_id = e.id and (x.slot = 0 or d.topology = 'ha') order by x.slot`

const endpoint = `
  select e.id, e.host_name as host, ${proxyPorts} as ports, (select json_agg(proxy) from (${proxies}) proxy) as proxies
    from endpoints e join endpoint_proxies x on x.endpoint_id = e.id and x.slot = 0 where e.database_id = d.id`

const credentials = `
  select c.id, c.role_name as "roleName", c.created_at as "createdAt", c.ends_at as "endsAt", c.ended_at as "endedAt", c.last_seen_at as "lastSeenAt"
    from credentials c where c.database_id = d.id order by c.created_at desc, c.role_name`

const operation = `
  select ${operationColumns} from operations o where o.database_id = d.id order by (o.finished_at is null) desc, o.created_at desc limit 1`

const guarded = `
  select v.at, (v.outcome ->> 'writeGapMs')::float8 as "writeGapMs", v.outcome ->> 'reason' as reason, coalesce(v.outcome_event_seq, v.event_seq) as "eventSeq"
    from failover_verdicts v where v.database_id = d.id and v.outcome ->> 'leaderChanged' = 'true' order by v.at desc, v.id limit 1`

const noticed = `
  select e.at, (e.facts ->> 'writeGapMs')::float8 as "writeGapMs", e.reason, e.seq as "eventSeq"
    from events e where e.database_id = d.id and e.reason = 'FailedOver' order by e.seq desc limit 1`

/** What a pass noticed is news only where the guard did not tell of it before: it was away, and Patroni failed over by itself. */
const lastFailover = `
  select seen.at, seen."writeGapMs", seen.reason, seen."eventSeq"
    from (select *, at as since from (${guarded}) told union all select *, at - interval '2 minutes' from (${noticed}) noticed) seen
   order by seen.since desc limit 1`

const newestBackup = `select ${backupColumns} from backups b where b.database_id = d.id order by b.requested_at desc, b.id limit 1`

const viewStatement = `
  select ${databaseColumns},
         json_build_object('id', t.id, 'name', t.name) as team, json_build_object('id', p.id, 'name', p.name) as project,
         (select coalesce(json_agg(instance), '[]') from (${instances}) instance) as instances,
         (select to_json(endpoint) from (${endpoint}) endpoint) as endpoint,
         (select coalesce(json_agg(credential), '[]') from (${credentials}) credential) as credentials,
         (select to_json(operation) from (${operation}) operation) as operation,
         (select to_json(failover) from (${lastFailover}) failover) as "lastFailover",
         kept.verified, kept."repositoryBytes", kept."newestVerifiedAt",
         (select to_json(newest) from (${newestBackup}) newest) as "newestBackup",
         w.last_pass_at as "lastPassAt", w.last_error as "lastError"
    from unnest($1::uuid[]) with ordinality asked (id, place)
    join databases d on d.id = asked.id
    join projects p on p.id = d.project_id
    join teams t on t.id = p.team_id
    join work_items w on w.database_id = d.id
   cross join lateral (
     select count(*)::int as verified, coalesce(sum(b.repository_bytes), 0)::bigint as "repositoryBytes", max(b.verified_at) as "newestVerifiedAt"
       from backups b where b.database_id = d.id and b.state = 'verified') kept
   order by asked.place`
