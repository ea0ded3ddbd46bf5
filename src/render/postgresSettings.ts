/**
 * The one place that turns a member's sizes into PostgreSQL settings. Bytes in; each setting says why it is what it is.
 */
import { Encoded, encoded, integer, lines, postgresString } from './encode.ts'

export interface MemberSizes {
  readonly memoryBytes: number
  readonly cpus: number
  readonly maxConnections: number
  readonly storageBytes: number
  readonly walKeepBytes: number
  readonly archiveTimeoutSeconds: number
}

/** What only a restart applies (context `postmaster` in pg_settings), of the settings that we give. A test asks a real server. */
export const restartOnly: ReadonlySet<string> = new Set([
  'archive_mode', 'autovacuum_max_workers', 'dynamic_shared_memory_type', 'hot_standby', 'huge_pages', 'listen_addresses',
  'logging_collector', 'max_connections', 'max_replication_slots', 'max_wal_senders', 'max_worker_processes', 'port',
  'recovery_target_timeline', 'shared_buffers', 'superuser_reserved_connections', 'unix_socket_directories', 'wal_level', 'wal_log_hints',
])

const mib = 1024 * 1024
const gib = 1024 * mib

export function postgresSettings(sizes: MemberSizes): Readonly<Record<string, string>> {
  const { memoryBytes, cpus, maxConnections, storageBytes, walKeepBytes } = sizes
  const workers = Math.max(2, Math.ceil(cpus))
  // A quarter for shared buffers, as PostgreSQL's manual advises. The page cache of the container has the rest.
  const sharedBuffers = clamp(memoryBytes / 4, 32 * mib, 16 * gib)
  // Every connection may use it several times over: an eighth of the memory, spread over all of them.
  const workMem = clamp(memoryBytes / 8 / maxConnections, mib, 64 * mib)
  // WAL that checkpoints leave behind: a share of the disk that can never crowd out the data.
  const maxWal = clamp(storageBytes / 20, 128 * mib, 8 * gib)
  // A customer may choose a smaller disk than the tier's: WAL that waits must leave most of it to the data.
  const slotWal = Math.min(walKeepBytes, storageBytes / 4)
  return {
    shared_buffers: megabytes(sharedBuffers),
    max_connections: String(maxConnections),
    max_worker_processes: String(workers + 6),
    effective_cache_size: megabytes(memoryBytes * 0.65),
    work_mem: megabytes(workMem),
    maintenance_work_mem: megabytes(clamp(memoryBytes / 16, 16 * mib, gib)),
    autovacuum_work_mem: megabytes(clamp(memoryBytes / 32, 16 * mib, 512 * mib)),
    max_parallel_workers: String(workers),
    max_parallel_maintenance_workers: String(Math.max(1, Math.floor(workers / 2))),
    max_parallel_workers_per_gather: String(Math.max(1, Math.floor(workers / 2))),
    max_wal_size: megabytes(maxWal),
    min_wal_size: megabytes(clamp(maxWal / 4, 80 * mib, gib)),
    // Keeps a short absence of a standby from costing a new base backup even where it has no slot.
    wal_keep_size: megabytes(clamp(storageBytes / 50, 64 * mib, 512 * mib)),
    max_slot_wal_keep_size: megabytes(slotWal),
    // One query must not fill the disk with its temporary files.
    temp_file_limit: megabytes(storageBytes / 4),
    archive_timeout: `${sizes.archiveTimeoutSeconds}s`,
  }
}

/** `name = 'value'`, one a line. */
export function settingLines(settings: Readonly<Record<string, string>>): Encoded {
  return lines(Object.entries(settings).map(([name, value]) => encoded`${settingName(name)} = ${postgresString(value)}`))
}

/** The lines of a postgresql.conf that only a restart applies. */
export function restartLines(text: string): readonly string[] {
  return text.split('\n').filter((line) => restartOnly.has(/^(\w+) *=/.exec(line)?.[1] ?? ''))
}

function settingName(name: string): Encoded {
  if (!/^[a-z_]+$/.test(name)) throw new Error(`not the name of a PostgreSQL setting: ${name}`)
  return new Encoded(name)
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

function megabytes(bytes: number): string {
  return `${integer(Math.floor(bytes / mib)).text}MB`
}
