/**
 * SQL that makes an instance ours and a database the customer's. Texts only; every one may run again without harm.
 * Identifiers and literals are quoted here, because these statements take no parameters.
 */
import { HoldfastError } from '../domain/errors.ts'
import { preparedVersion } from '../domain/prepared.ts'
import type { Secret } from '../domain/secret.ts'
import { templateText } from './template.ts'

/** Run as `postgres` in database `postgres`, as one simple query (several statements, one transaction). */
export function bootstrapSql(): string {
  return `${templateText('sql/bootstrap.sql')}\ncomment on database postgres is ${quoteLiteral(preparedVersion)};\n`
}

/** The role that owns a customer's objects; nobody logs in as it, so passwords rotate without a change of owner. */
export function ownerRoleOf(databaseName: string): string {
  return `${databaseName.slice(0, 57)}_owner`
}

/** Run in database `postgres`, before `createDatabaseSql`. */
export function ownerRoleSql(databaseName: string): string {
  const owner = ownerRoleOf(databaseName)
  return `do $do$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = ${quoteLiteral(owner)}) then
    create role ${quoteIdentifier(owner)};
  end if;
end $do$;
alter role ${quoteIdentifier(owner)} with nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;`
}

/** `select` one row if the database is there. CREATE DATABASE cannot run in a transaction, nor conditionally. */
export function databaseExistsSql(databaseName: string): string {
  return `select from pg_catalog.pg_database where datname = ${quoteLiteral(databaseName)}`
}

/** Run alone, in database `postgres`, if `databaseExistsSql` found nothing. `file_copy` would force two checkpoints. */
export function createDatabaseSql(databaseName: string): string {
  return `create database ${quoteIdentifier(databaseName)} owner ${quoteIdentifier(ownerRoleOf(databaseName))} strategy wal_log`
}

/** Run as `postgres` in the customer's database. */
export function customerDatabaseSql(databaseName: string): string {
  const owner = quoteIdentifier(ownerRoleOf(databaseName))
  const database = quoteIdentifier(databaseName)
  return `revoke all on database ${database} from public;
grant connect, temporary, create on database ${database} to ${owner};
alter schema public owner to ${owner};`
}

/**
 * Makes, or brings up to date, a role that a customer logs in with. What it creates belongs to the owner role.
 * `validUntil` bounds new logins only; end existing sessions with `endRoleSessionsSql`.
 */
export function loginRoleSql(role: {
  readonly name: string
  readonly databaseName: string
  readonly verifier: Secret
  readonly validUntil: Date | null
}): string {
  const name = quoteIdentifier(role.name)
  const owner = quoteIdentifier(ownerRoleOf(role.databaseName))
  const until = role.validUntil === null ? 'infinity' : role.validUntil.toISOString()
  return `do $do$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = ${quoteLiteral(role.name)}) then
    create role ${name};
  end if;
end $do$;
alter role ${name} with login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls
  password ${quoteLiteral(checkedVerifier(role.verifier))} valid until ${quoteLiteral(until)};
grant ${owner} to ${name} with inherit true, set true;
alter role ${name} in database ${quoteIdentifier(role.databaseName)} set role = ${quoteLiteral(ownerRoleOf(role.databaseName))};`
}

/** Takes the login away and ends its sessions; the role stays, so that nothing that depends on it can stop this. */
export function endLoginRoleSql(roleName: string): string {
  return `do $do$ begin
  if exists (select from pg_catalog.pg_roles where rolname = ${quoteLiteral(roleName)}) then
    alter role ${quoteIdentifier(roleName)} with nologin password null;
  end if;
end $do$;
${endRoleSessionsSql(roleName)};`
}

export function endRoleSessionsSql(roleName: string): string {
  return `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where usename = ${quoteLiteral(roleName)}`
}

export function quoteIdentifier(name: string): string {
  return `"${safe(name).replaceAll('"', '""')}"`
}

export function quoteLiteral(text: string): string {
  const quoted = safe(text).replaceAll("'", "''")
  return text.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`
}

function checkedVerifier(verifier: Secret): string {
  const text = verifier.reveal()
  if (/^SCRAM-SHA-256\$\d{4,7}:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$/.test(text)) return text
  throw refused('a password verifier is not of the SCRAM-SHA-256 form')
}

/** `$` would end the dollar quotes around some of these statements when it stands in `$do$`. */
function safe(text: string): string {
  if (text === '' || text.includes('\0') || text.includes('$do$')) throw refused('a name or text cannot be quoted')
  return text
}

function refused(message: string): HoldfastError {
  return new HoldfastError('Internal', `SQL cannot be made: ${message}`, {
    next: 'This value should have been refused when it was given; report it as a fault.',
  })
}
