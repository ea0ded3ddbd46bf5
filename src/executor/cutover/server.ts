/** What a cutover does to a server, from inside its container: its fence, its end, and its coming back. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import { jsonOrNull } from '../../domain/json.ts'
import type { Member } from '../../domain/desired.ts'
import type { ActionResult } from '../../domain/ports.ts'
import { parseLsn, walSegmentBytes, type Lsn } from '../../domain/lsn.ts'
import { followerSlotName } from '../../domain/prepared.ts'
import type { Places } from './places.ts'

const libexec = '/usr/libexec/holdfast'
const execMs = 10_000
/** Beyond the budget of any cutover. */
const stopSeconds = 20
/** A stop is prepared this long before it is wanted, at the most: checkpoints of a busy disk lie between. */
const preparedMs = 180_000
const stoppedSchema = z.object({ holdfast: z.literal('left'), lsn: z.string() })

/**
 * It is on the disk when this returns. `conninfo`: of whom it may follow from its next start on; null: it may serve. `revision`: of the decision
 * that it follows from; a call that comes after a newer one is refused.
 */
export async function setFence({ standalone, container }: Places, conninfo: string | null, revision: number, signal: AbortSignal): Promise<void> {
  const { engine, name } = container(standalone)
  const mode = conninfo === null ? 'none' : 'standby'
  const argv = [`${libexec}/set-fence`, mode, String(revision), ...(conninfo === null ? [] : [conninfo, followerSlotName])]
  const { exitCode, stdout, stderr } = await engine.exec(name, argv, { timeoutMs: execMs }, signal)
  if (exitCode === 0 && stdout.trim() === mode) return
  throw new HoldfastError('Conflict', `The fence of ${name} was not set (${exitCode}): ${stdout.trim()} ${stderr.trim()}`.slice(0, 300))
}

/** A stop that waits for the word: to begin a command in a container takes longer than to stop a server that is prepared for it. */
export interface PreparedStop {
  /** Where its WAL ends: the beginning of its shutdown checkpoint, from its control file. Errors: `Conflict` when it did not stop within `limit`; it may stop all the same. */
  stop(limit: AbortSignal): Promise<Lsn>
}

/** The standalone, which has to be fenced by then; it is started again when it does not stop in time. Nothing happens when `signal` aborts before it is told. */
export function prepareStop(places: Places, signal: AbortSignal): Promise<PreparedStop> {
  return preparedStop(places, places.standalone, ['stop-server', String(stopSeconds)], signal)
}

/** A cluster's leader, whose Patroni has to know by then that it is paused for this operation. */
export function prepareLeaderStop(places: Places, leader: Member, operationId: string, signal: AbortSignal): Promise<PreparedStop> {
  return preparedStop(places, leader, ['stop-leader', String(stopSeconds), operationId], signal)
}

async function preparedStop({ container }: Places, member: Member, [program = '', ...rest]: readonly string[], signal: AbortSignal): Promise<PreparedStop> {
  const { engine, name } = container(member)
  const opened = await engine.openExec(name, [`${libexec}/${program}`, ...rest], { timeoutMs: preparedMs }, signal)
  return {
    async stop(limit) {
      opened.say('go')
      const line = await within(limit, opened.firstLine, name)
      const stopped = line === null ? undefined : stoppedSchema.safeParse(jsonOrNull(line)).data
      if (stopped !== undefined) return parseLsn(stopped.lsn)
      const { exitCode, stdout, stderr } = await opened.ended
      throw new HoldfastError('Conflict', `PostgreSQL in ${name} did not stop (${exitCode}): ${stdout.trim()} ${stderr.trim()}`.slice(0, 300))
    },
  }
}

async function within<T>(limit: AbortSignal, work: Promise<T>, name: string): Promise<T> {
  const over = Promise.withResolvers<never>()
  const end = (): void => over.reject(new HoldfastError('Conflict', `PostgreSQL in ${name} did not stop in time`))
  if (limit.aborted) end()
  limit.addEventListener('abort', end, { once: true })
  try {
    return await Promise.race([work, over.promise])
  } finally {
    limit.removeEventListener('abort', end)
  }
}

/** A fence is set from inside. One that did not run comes up as its fence says. */
export async function ensureRunning({ standalone, container }: Places, signal: AbortSignal): Promise<void> {
  const { engine, name } = container(standalone)
  if ((await engine.inspectContainer(name, signal)).state !== 'running') await engine.startContainer(name, signal)
}

/** Of a WAL file to be filled, another one that a promotion copies, and what is written next. Without the reserve. */
const leastRoomBytes = 6 * walSegmentBytes

type Container = ReturnType<Places['container']>

/**
 * What a member measured may be ten seconds old, and who has received everything may still lack the room to be promoted: nobody would serve.
 * Errors: `Conflict` when there is too little, or nobody knows.
 */
export async function checkRoom({ engine, name }: Container, signal: AbortSignal): Promise<void> {
  const { exitCode, stdout, stderr } = await engine.exec(name, ['df', '--output=avail', '-B1', '/data'], { timeoutMs: execMs }, signal)
  const available = Number(stdout.trim().split('\n').at(-1) ?? '')
  if (exitCode !== 0 || Number.isNaN(available)) throw new HoldfastError('Conflict', `How much room ${name} has is not known (${exitCode}): ${stderr.trim()}`.slice(0, 300))
  if (available >= leastRoomBytes) return
  throw new HoldfastError('Conflict', `The data volume of ${name} has room for ${available} bytes; whoever is promoted there needs ${leastRoomBytes}. Choose more storage.`)
}

/** Only where there is too little room to start, or to be promoted: the reserve of the volume is for that. */
export async function releaseReserve({ engine, name }: Container, signal: AbortSignal): Promise<void> {
  await engine.exec(name, [`${libexec}/keep-ballast`, 'starting'], { timeoutMs: execMs }, signal)
}

/** PostgreSQL in a container that runs, as far as its fence lets it. */
export async function startServer({ engine, name }: Container, signal: AbortSignal): Promise<void> {
  const { exitCode, stderr } = await engine.exec(name, [`${libexec}/start-server`], { timeoutMs: execMs }, signal)
  if (exitCode !== 0) throw new HoldfastError('Conflict', `PostgreSQL in ${name} was not started (${exitCode}): ${stderr.trim()}`.slice(0, 300))
}

/** A large one copies what changed since the timelines part. */
const rewindMs = 10 * 60_000
const rewoundSchema = z.object({ holdfast: z.string(), code: z.string(), message: z.string() })

/** Errors: `Conflict` when it was not, and says why. */
export async function rewindServer({ engine, name }: Container, signal: AbortSignal): Promise<ActionResult> {
  const { exitCode, stdout, stderr } = await engine.exec(name, [`${libexec}/rewind-server`], { timeoutMs: rewindMs }, signal)
  const said = rewoundSchema.safeParse(jsonOrNull(stdout.trim().split('\n').at(-1) ?? '')).data
  if (said?.code === 'TooSoon') return { records: [] }
  if (exitCode !== 0) throw new HoldfastError('Conflict', `The former server in ${name} was not wound back (${exitCode}): ${said?.message ?? stderr.trim()}`.slice(0, 300))
  if (said?.code !== 'Rewound') return { records: [] }
  const message = 'The former server had received what a leader wrote that nobody else had when it died, and that was never acknowledged. It was wound back to where the cluster goes on.'
  return { records: [{ kind: 'event', note: { severity: 'warning', reason: 'RollbackTargetRewound', message } }] }
}
