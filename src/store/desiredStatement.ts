/** The statement behind `desired.load`: one row, JSON inside, so that a pass costs one round trip. */
import { backupColumns } from './backups.ts'
import { databaseColumns } from './databaseRow.ts'
import { hostColumns } from './hosts.ts'

function list(rows: string): string {
  return `(select coalesce(json_agg(item), '[]') from (${rows}) item)`
}

function single(row: string): string {
  return `(select to_json(item) from (${row}) item)`
}

const memberRows = `
  select m.id, m.instance_id as "instanceId", m.host_id as "hostId", m.ordinal, m.volume_bytes as "volumeBytes",
         json_build_object('postgres', m.postgres_port, 'backup', m.backup_port, 'patroni', m.patroni_port) as ports
    from members m where m.instance_id = i.id order by m.ordinal`

const instanceRows = `
  select i.id, i.kind, i.role, i.initialised_at as "initialisedAt", i.system_identifier as "systemIdentifier",
         i.repository_path as "repositoryPath", i.repository_cipher as "repositoryCipher", i.dcs_password as "dcsPassword", i.last_leader as "lastLeader", i.kept_until as "keptUntil", ${list(memberRows)} as members
    from instances i where i.database_id = d.id order by i.created_at, i.id`

const proxyRows = `
  select x.slot, x.host_id as "hostId",
         json_build_object('rw', x.rw_port, 'ro', x.ro_port, 'pooled', x.pooled_port, 'runtime', x.runtime_port) as ports
    from endpoint_proxies x where x.endpoint_id = e.id order by x.slot`

const endpointColumns = `e.id, e.host_name as "hostName", ${list(proxyRows)} as proxies`
const endpointRow = `select ${endpointColumns} from endpoints e where e.database_id = d.id`

/** Roles whose overlap is over stay in the list: they have to be seen gone from PostgreSQL. */
const credentialRows = `
  select c.id, c.role_name as "roleName", c.password, c.verifier, c.created_at as "createdAt", c.ends_at as "endsAt", c.ended_at as "endedAt"
    from credentials c where c.database_id = d.id order by c.created_at, c.role_name`

const certificateRows = `
  select c.purpose, c.owner_id as "ownerId", c.certificate as "certificatePem", c.private_key as "sealedKey", c.common_name as "commonName",
         c.names, c.not_before as "notBefore", c.not_after as "notAfter", c.authority_id as "authorityId"
    from certificates c where c.database_id = d.id`

/**
 * Open ones, all that are kept, failures that the schedule still counts, and the newest whatever became of them: that
 * there was a first backup must never be forgotten. Bounded, because a pass parses them all.
 */
const backupRows = `
  select ${backupColumns}
    from (select b.*, row_number() over (partition by b.instance_id order by b.requested_at desc) as place
            from backups b where b.database_id = d.id) b
   where b.place <= 5
      or (b.place <= 250 and (b.state in ('requested', 'running', 'verifying', 'verified')
                              or (b.state = 'failed' and b.requested_at > now() - interval '8 days')))
   order by b.requested_at desc, b.id`

const operationRow = `
  select o.id, o.kind, o.machine_version as "machineVersion", o.phase, o.input, o.notes, o.created_at as "createdAt",
         o.phase_entered_at as "phaseEnteredAt", o.progressed_at as "progressedAt", o.progress
    from operations o where o.database_id = d.id and o.finished_at is null`

const rehearsedRow = `
  select o.kind, o.phase, o.outcome, o.failure, o.progress, o.created_at as "createdAt", o.phase_entered_at as "phaseEnteredAt", o.finished_at as "finishedAt"
    from operations o where o.database_id = c.id order by (o.finished_at is null) desc, o.created_at desc limit 1`

const rehearsalRow = `
  select c.id as "databaseId", c.name, c.conditions, c.deletion_requested_at is not null as "isDeleting",
         (c.deletion_requested_at is not null and not c.final_backup and c.backups_kept_until <= now()) as "leavesNothing",
         ${single(rehearsedRow)} as operation
    from databases c where c.rehearsal_of = d.id`

const peerRow = `
  select e.database_id as "databaseId", (select to_json(peer) from (select ${endpointColumns}) peer) as endpoint
    from operations o join endpoints e on e.database_id = (o.input ->> 'fromDatabaseId')::uuid
   where o.database_id = d.id and o.finished_at is null and o.kind = 'takeOverEndpoint'`

const hostIds = `
  select m.host_id from members m join instances i on i.id = m.instance_id where i.database_id = d.id
   union select x.host_id from endpoint_proxies x join endpoints e on e.id = x.endpoint_id where e.database_id = d.id`

export const desiredStatement = `
  select ${single(`select ${databaseColumns}`)} as database,
         json_build_object('id', t.id, 'name', t.name, 'haEnabled', t.ha_enabled) as team,
         json_build_object('id', p.id, 'name', p.name) as project,
         ${list(`select ${hostColumns} from hosts h where h.id in (${hostIds}) order by h.name`)} as hosts,
         ${list(`select n.host_id as "hostId", n.subnet from project_networks n where n.project_id = p.id and n.host_id in (${hostIds})`)} as networks,
         not exists (select from databases other where other.project_id = p.id and other.id <> d.id and other.removed_at is null) as "lastOfProject",
         ${list(instanceRows)} as instances,
         ${single(endpointRow)} as endpoint,
         ${list(credentialRows)} as credentials,
         ${list(certificateRows)} as certificates,
         authorities.bundle as "trustBundlePem",
         authorities.active as "activeAuthorityId",
         ${list(backupRows)} as backups,
         ${single(operationRow)} as operation,
         ${single(rehearsalRow)} as rehearsal,
         ${single(peerRow)} as "peerEndpoint"
    from databases d
    join projects p on p.id = d.project_id
    join teams t on t.id = p.team_id
   cross join lateral (
     select coalesce(string_agg(rtrim(a.certificate, E'\\n') || E'\\n', '' order by a.created_at, a.id), '') as bundle,
            coalesce(max(a.id::text) filter (where a.state = 'active'), '') as active
       from certificate_authorities a) authorities
   where d.id = $1`
