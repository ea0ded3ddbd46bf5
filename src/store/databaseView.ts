/** A database as the API shows it, in one statement: several of them for a list. */
import { z } from 'zod'
import { backupColumns, backupRow, failureRow } from './backups.ts'
import { databaseColumns, databaseShape } from './databaseRow.ts'
import { notFound } from './notFound.ts'
import { operationColumns, operationRow } from './operations.ts'
import { time, type Sql } from './sql.ts'
import type { CredentialView, DatabaseView, InstanceView, MemberView } from './views.ts'

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
})

const instanceRow: z.ZodType<InstanceView> = z.object({
  id: z.string(),
  kind: z.enum(['standalone', 'cluster']),
  role: z.enum(['serving', 'restoring', 'rollbackTarget', 'retired']),
  initialisedAt: time.nullable(),
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

const viewRow = z.object({
  ...databaseShape,
  team: named,
  project: named,
  instances: z.array(instanceRow),
  endpoint: z.object({ id: z.string(), host: z.string(), ports: z.object({ rw: z.number(), ro: z.number(), pooled: z.number() }) }).nullable(),
  credentials: z.array(credentialRow),
  operation: operationRow.nullable(),
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
         (m.status ->> 'timeline')::bigint as timeline, (m.status ->> 'lagBytes')::bigint as "lagBytes", m.status ->> 'syncState' as "syncState"
    from members m join hosts h on h.id = m.host_id where m.instance_id = i.id order by m.ordinal`

const instances = `
  select i.id, i.kind, i.role, i.initialised_at as "initialisedAt", i.created_at as "createdAt",
         (select coalesce(json_agg(member), '[]') from (${members}) member) as members
    from instances i where i.database_id = d.id order by i.created_at, i.id`

/** Addresses of slot 0: the second proxy is in use only once the database is highly available. */
const endpoint = `
  select e.id, e.host_name as host, json_build_object('rw', x.rw_port, 'ro', x.ro_port, 'pooled', x.pooled_port) as ports
    from endpoints e join endpoint_proxies x on x.endpoint_id = e.id and x.slot = 0 where e.database_id = d.id`

const credentials = `
  select c.id, c.role_name as "roleName", c.created_at as "createdAt", c.ends_at as "endsAt", c.ended_at as "endedAt", c.last_seen_at as "lastSeenAt"
    from credentials c where c.database_id = d.id order by c.created_at desc, c.role_name`

const operation = `
  select ${operationColumns} from operations o where o.database_id = d.id order by (o.finished_at is null) desc, o.created_at desc limit 1`

const newestBackup = `select ${backupColumns} from backups b where b.database_id = d.id order by b.requested_at desc, b.id limit 1`

const viewStatement = `
  select ${databaseColumns},
         json_build_object('id', t.id, 'name', t.name) as team, json_build_object('id', p.id, 'name', p.name) as project,
         (select coalesce(json_agg(instance), '[]') from (${instances}) instance) as instances,
         (select to_json(endpoint) from (${endpoint}) endpoint) as endpoint,
         (select coalesce(json_agg(credential), '[]') from (${credentials}) credential) as credentials,
         (select to_json(operation) from (${operation}) operation) as operation,
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
