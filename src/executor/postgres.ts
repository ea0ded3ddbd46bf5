/** What has to hold inside a member's PostgreSQL: our roles, the customer's database, one login role a credential. */
import { z } from 'zod'
import { connectPostgres, type PostgresConnection } from '../clients/postgres.ts'
import { hostOf, type Credential, type Desired, type Member } from '../domain/desired.ts'
import { internalName } from '../domain/names.ts'
import type { Clock } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import {
  bootstrapSql, createDatabaseSql, customerDatabaseSql, databaseExistsSql, endLoginRoleSql, loginRoleSql, ownerRoleSql,
} from '../render/sql.ts'

export interface PostgresTools {
  /** Our client certificate: PostgreSQL maps its name to the superuser. */
  readonly identity: () => { readonly certificatePem: string; readonly keyPem: Secret }
  readonly clock: Clock
  readonly connect?: typeof connectPostgres
}

const connectTimeoutMs = 5_000
/** CREATE DATABASE copies a template, on a busy disk. */
const statementTimeoutMs = 30_000
/** A database that is nearly full is read-only by default, which must not keep us from preparing it. A statement of its own: it counts from the next transaction. */
const mayWrite = 'set default_transaction_read_only = off'
/** What is prepared counts once the version is written; the one flush of that commit covers all that came before it. */
const flushLater = 'set synchronous_commit = off'
const flush = 'set synchronous_commit = on;'
/** A new leader has nobody yet who would confirm: what is prepared is looked at again, whoever leads by then. */
const flushHere = 'set synchronous_commit = local;'

/** Whether the schema `public` is as CREATE DATABASE left it. Once handed over it is the customer's, who may drop it or give it away. */
const untouchedSchema = `select from pg_catalog.pg_namespace
  where nspname = 'public' and nspowner = (select oid from pg_catalog.pg_roles where rolname = 'pg_database_owner')`

export async function prepareDatabase(tools: PostgresTools, memberId: string, desired: Desired, signal: AbortSignal): Promise<void> {
  const { databaseName } = desired.database
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (ours) => {
    await ours.execute(flushLater, [], signal)
    await ours.execute(ownerRoleSql(databaseName), [], signal)
    const found = await ours.query({ text: databaseExistsSql(databaseName), row: z.object({}) }, [], signal)
    if (found.length === 0) await ours.execute(createDatabaseSql(databaseName), [], signal)
    await withPostgres(tools, memberId, desired, databaseName, signal, async (customers) => {
      await customers.execute(flushLater, [], signal)
      const untouched = await customers.query({ text: untouchedSchema, row: z.object({}) }, [], signal)
      if (untouched.length > 0) await customers.execute(customerDatabaseSql(databaseName), [], signal)
    })
    const roles = desired.credentials.map((credential) => roleSql(credential, databaseName, tools.clock.now()))
    // One transaction, and the last: it writes the version by which all of this is known to be in place.
    await ours.execute([isOfCluster(desired, memberId) ? flushHere : flush, ...roles, bootstrapSql()].join('\n'), [], signal)
  })
}

function isOfCluster({ instances }: Desired, memberId: string): boolean {
  return instances.some(({ kind, members }) => kind === 'cluster' && members.some(({ id }) => id === memberId))
}

function roleSql(credential: Credential, databaseName: string, now: Date): string {
  const isOver = credential.endedAt !== null || (credential.endsAt !== null && credential.endsAt <= now)
  if (isOver) return endLoginRoleSql(credential.roleName)
  return loginRoleSql({ name: credential.roleName, databaseName, verifier: credential.verifier, validUntil: credential.endsAt })
}

/** For sessions that begin and transactions that follow; a session may still switch it off for itself, to delete what fills the disk. */
export async function setReadOnly(tools: PostgresTools, memberId: string, readOnly: boolean, desired: Desired, signal: AbortSignal): Promise<void> {
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (connection) => {
    // ALTER SYSTEM refuses to be part of a transaction, hence of one message with others.
    await connection.execute(readOnly ? 'alter system set default_transaction_read_only = on' : 'alter system reset default_transaction_read_only', [], signal)
    await connection.execute('select pg_catalog.pg_reload_conf()', [], signal)
  })
}

export async function dropSlot(tools: PostgresTools, memberId: string, slot: string, desired: Desired, signal: AbortSignal): Promise<void> {
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (connection) => {
    await connection.execute(
      'select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = $1 and not active',
      [slot], signal)
  })
}

/** Only of a standby's slot that nobody uses, and not beyond what the standby has replayed. */
export async function advanceSlot(tools: PostgresTools, memberId: string, slot: string, lsn: string, desired: Desired, signal: AbortSignal): Promise<void> {
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (connection) => {
    await connection.execute(
      `select pg_catalog.pg_replication_slot_advance(slot_name, $2::pg_catalog.pg_lsn) from pg_catalog.pg_replication_slots
        where slot_name = $1 and not active and restart_lsn < $2::pg_catalog.pg_lsn and $2::pg_catalog.pg_lsn <= pg_catalog.pg_last_wal_replay_lsn()`,
      [slot, lsn], signal)
  })
}

/** It holds WAL from now on. Done again, nothing changes. */
export async function makeSlot(tools: PostgresTools, memberId: string, slot: string, desired: Desired, signal: AbortSignal): Promise<void> {
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (connection) => {
    await connection.execute(
      `select pg_catalog.pg_create_physical_replication_slot($1, true) where not exists (select from pg_catalog.pg_replication_slots where slot_name = $1)`,
      [slot], signal)
  })
}

/**
 * Writes a commit record of now and ends the segment of WAL that holds it; gives the segment's name. Recovery stops at a
 * time only when it meets a later commit: an idle database would have none, and a busy one none in the archive yet.
 */
export async function endSegment(tools: PostgresTools, memberId: string, desired: Desired, signal: AbortSignal): Promise<string> {
  let segment = ''
  await withPostgres(tools, memberId, desired, 'postgres', signal, async (connection) => {
    await connection.execute(`select pg_catalog.pg_logical_emit_message(true, 'holdfast', 'a moment to restore to')`, [], signal)
    const [row] = await connection.query({ text: 'select pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal()) as name', row: z.object({ name: z.string() }) }, [], signal)
    segment = row?.name ?? ''
  })
  return segment
}

/** Work on a connection of its own, as our superuser there. */
export async function withPostgres(
  tools: PostgresTools, memberId: string, desired: Desired, database: string, signal: AbortSignal,
  work: (connection: PostgresConnection) => Promise<void>,
): Promise<void> {
  const connect = tools.connect ?? connectPostgres
  const address = { ...addressOf(tools, memberOf(desired, memberId), desired), database, applicationName: 'holdfast executor', connectTimeoutMs, statementTimeoutMs }
  const connection = await connect(address, signal)
  try {
    await connection.execute(mayWrite, [], signal)
    await work(connection)
  } finally {
    connection.close()
  }
}

/** Of a member's PostgreSQL, as its superuser. */
export function addressOf({ identity }: Pick<PostgresTools, 'identity'>, member: Member, desired: Desired) {
  const { certificatePem, keyPem } = identity()
  return {
    host: hostOf(desired, member.hostId).privateAddress, port: member.ports.postgres, serverName: internalName.member(member.id), user: 'postgres',
    ca: desired.trustBundlePem, cert: certificatePem, key: keyPem,
  }
}

function memberOf(desired: Desired, memberId: string): Member {
  const member = desired.instances.flatMap((instance) => instance.members).find((candidate) => candidate.id === memberId)
  if (member === undefined) throw new Error(`member ${memberId} is not among the members of database ${desired.database.id}`)
  return member
}
