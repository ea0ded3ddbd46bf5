/** What a pass found out and decided, written in one transaction under its lease. Every record may be written twice. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { BackupFacts, EventNote, StoreRecord } from '../domain/action.ts'
import type { BackupState } from '../domain/desired.ts'
import { HoldfastError } from '../domain/errors.ts'
import type { Keyring } from '../domain/keyring.ts'
import { putCertificate, type IssuedCertificate } from './certificates.ts'
import { finishFinalizer, removeCopy, removeIfFinished } from './deletion.ts'
import { setExtraCertificateNames, swapEndpoints } from './endpoints.ts'
import { appendDatabaseEvents } from './events.ts'
import { holdLease, type Lease } from './lease.ts'
import type { Provisioning } from './provision.ts'
import { makeCopy, orderUpgradeOfCopy } from './rehearsal.ts'
import type { Sql } from './sql.ts'
import type { ControlDatabase } from './transaction.ts'
import { changePlaces, removeInstance } from './upgrade.ts'

export interface RecordStore {
  /**
   * `issueCertificate` records are answered by `issued`: the caller has asked the authority. With the last finalizer
   * done the database's rows go, and with them the lease; releasing it then does nothing.
   */
  apply(lease: Lease, records: readonly StoreRecord[], issued?: readonly IssuedCertificate[]): Promise<void>
}

/** `provisioning`: for records that make something new. */
export function recordStore(database: ControlDatabase, keyring: Keyring, provisioning: Provisioning | null): RecordStore {
  return {
    async apply(lease, records, issued = []) {
      if (records.length === 0 && issued.length === 0) return
      await database.transaction(async (sql) => {
        await holdLease(sql, lease)
        for (const certificate of issued) await putCertificate(sql, keyring, lease.databaseId, certificate)
        for (const record of records) await write(sql, { keyring, provisioning }, lease, record)
        // after everything else: they hold up the team's other events
        await appendDatabaseEvents(sql, lease.databaseId, notesOf(records))
        await removeIfFinished(sql, lease.databaseId)
      })
    },
  }
}

function notesOf(records: readonly StoreRecord[]): EventNote[] {
  return records.flatMap((record) => (record.kind === 'event' ? [record.note] : []))
}

interface Means {
  readonly keyring: Keyring
  readonly provisioning: Provisioning | null
}

async function write(sql: Sql, { keyring, provisioning }: Means, lease: Lease, record: StoreRecord): Promise<void> {
  const { databaseId } = lease
  switch (record.kind) {
    case 'issueCertificate':
    case 'event':
      return
    case 'instanceInitialised':
      return markInitialised(sql, databaseId, record.instanceId, record.systemIdentifier)
    case 'leaderSeen':
      await sql.run(
        `update instances set last_leader = jsonb_build_object('memberId', $3::text, 'timeline', $4::integer) where id = $1 and database_id = $2`,
        [record.instanceId, databaseId, record.memberId, record.timeline],
      )
      return
    case 'instanceRole':
      await sql.run(`update instances set role = $3, kept_until = null where id = $1 and database_id = $2`, [record.instanceId, databaseId, record.role])
      return
    case 'instanceGone':
      return removeInstance(sql, databaseId, record.instanceId)
    case 'placesChanged':
      return changePlaces(sql, keyring, databaseId, record)
    case 'operationNoted':
      await sql.run(`update operations set notes = notes || $3::jsonb where id = $1 and database_id = $2 and finished_at is null`, [record.operationId, databaseId, JSON.stringify(record.notes)])
      return
    case 'rehearsalMade':
      return makeCopy(sql, keyring, given(provisioning), databaseId, record.operationId)
    case 'rehearsalUpgradeOrdered':
      return orderUpgradeOfCopy(sql, keyring, given(provisioning), databaseId, record)
    case 'rehearsalRemoved':
      await removeCopy(sql, databaseId)
      return
    case 'requestBackup':
      return requestBackup(sql, databaseId, record)
    case 'backupState':
      return setBackupState(sql, databaseId, record.backupId, record.state, record.facts ?? {})
    case 'volumeSized':
      await sql.run(
        `update members m set volume_bytes = $3 from instances i where m.id = $1 and i.id = m.instance_id and i.database_id = $2`,
        [record.memberId, databaseId, record.bytes],
      )
      return
    case 'extraCertificateNames':
      return setExtraCertificateNames(sql, databaseId, record.names)
    case 'swapEndpoints':
      return swapEndpoints(sql, lease, record.withDatabaseId)
    case 'credentialEnded':
      await sql.run(`update credentials set ended_at = coalesce(ended_at, now()) where id = $1 and database_id = $2 and ends_at is not null`, [record.credentialId, databaseId])
      return
    case 'credentialSeen':
      return markSeen(sql, databaseId, record.credentialId)
    case 'finalizerDone':
      return finishFinalizer(sql, databaseId, record.finalizer, record.networksStay)
  }
}

function given(provisioning: Provisioning | null): Provisioning {
  if (provisioning !== null) return provisioning
  throw new HoldfastError('Internal', 'This store was opened without the settings that new databases are made with.')
}

const identifierRow = z.object({ systemIdentifier: z.string() })

/** An instance keeps the identity it was first seen with: another one means that its data was replaced behind our back. */
async function markInitialised(sql: Sql, databaseId: string, instanceId: string, systemIdentifier: string): Promise<void> {
  const row = await sql.one(
    identifierRow,
    `update instances set initialised_at = coalesce(initialised_at, now()), system_identifier = coalesce(system_identifier, $3)
      where id = $1 and database_id = $2 returning system_identifier as "systemIdentifier"`,
    [instanceId, databaseId, systemIdentifier],
  )
  if (row.systemIdentifier === systemIdentifier) return
  throw new HoldfastError('ResourceConflict', `Instance ${instanceId} has the system identifier ${row.systemIdentifier}, but ${systemIdentifier} was seen.`, {
    next: 'Find out which data directory is on its volume before anything else is done to it.',
    facts: { instanceId, expected: row.systemIdentifier, seen: systemIdentifier },
  })
}

/** One open backup an instance: a request while one is open is already answered. */
async function requestBackup(sql: Sql, databaseId: string, { instanceId, backup, trigger }: Extract<StoreRecord, { kind: 'requestBackup' }>): Promise<void> {
  await sql.run(
    `insert into backups (id, database_id, instance_id, kind, trigger)
     select $1, i.database_id, i.id, $4, $5 from instances i where i.id = $2 and i.database_id = $3
     on conflict (instance_id) where state in ('requested', 'running', 'verifying') do nothing`,
    [randomUUID(), instanceId, databaseId, backup, trigger],
  )
}

/** What has ended stays ended: only expiry follows on it. */
async function setBackupState(sql: Sql, databaseId: string, backupId: string, state: BackupState, facts: BackupFacts): Promise<void> {
  const isNext = facts.nextAttempt === true
  await sql.run(
    `update backups
        set state = $3,
            attempt = attempt + case when $4 then 1 else 0 end,
            started_at = case when $3 = 'running' then coalesce(started_at, now()) when $4 then null else started_at end,
            finished_at = case when $3 = 'running' then null when $3 in ('verifying', 'failed') or $4 then now() else finished_at end,
            verified_at = case when $3 = 'verified' then now() else verified_at end,
            label = coalesce($5, label), start_lsn = coalesce($6, start_lsn), stop_lsn = coalesce($7, stop_lsn),
            database_bytes = coalesce($8, database_bytes), repository_bytes = coalesce($9, repository_bytes),
            object_count = coalesce($10, object_count),
            failure = case when $3 = 'verified' then null else coalesce($11::jsonb, failure) end
      where id = $1 and database_id = $2
        and (state in ('requested', 'running', 'verifying') or (state in ('verified', 'failed') and $3 = 'expired'))`,
    [
      backupId, databaseId, state, isNext, facts.label ?? null, facts.startLsn ?? null, facts.stopLsn ?? null, facts.databaseBytes ?? null,
      facts.repositoryBytes ?? null, facts.objectCount ?? null, facts.failure === undefined ? null : JSON.stringify(facts.failure),
    ],
  )
}

/** To the minute: every pass sees the sessions, and nobody needs to know it better. */
async function markSeen(sql: Sql, databaseId: string, credentialId: string): Promise<void> {
  await sql.run(
    `update credentials set last_seen_at = now()
      where id = $1 and database_id = $2 and (last_seen_at is null or last_seen_at < now() - interval '1 minute')`,
    [credentialId, databaseId],
  )
}
