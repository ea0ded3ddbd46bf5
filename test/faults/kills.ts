/**
 * A database's life in chapters (provisioning, backup, restore, deletion), told with a controller that is killed at chosen steps
 * of each and started again. A step is an action that the controller's log says was applied; a random pause after it hits
 * what lies between two of them: half-made containers, records that were not written, replies that nobody read.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { census, type Census } from './census.ts'
import { answered, backUp, gone, look, order, query, remove, restore, settled, verified, type Customer } from './customer.ts'
import type { Random } from './random.ts'
import { NotYet } from '../harness/waiting.ts'
import { eventually, type Rig } from './rig.ts'

export const chapters = ['provisioning', 'backup', 'restore', 'deletion'] as const
export type Chapter = (typeof chapters)[number]

export interface Ending {
  /** What there is of the source and of its restored copy before they are deleted. */
  readonly source: Census
  readonly restored: Census | null
  /** How many actions each chapter took, and how often its controller was killed. */
  readonly steps: Readonly<Record<Chapter, number>>
  readonly kills: number
  readonly chapterMs: Readonly<Record<Chapter, number>>
  /** From each kill to the end of its chapter's work, in milliseconds; the longest. */
  readonly longestRecoveryMs: number
}

/** Where to kill in a chapter: so many steps after its beginning or after the kill before. */
export type Points = Readonly<Partial<Record<Chapter, readonly number[]>>>

const longestPauseMs = 50
const chapterLimitMs = 300_000
const rows = 500
const checksum = `select count(*) || ' ' || coalesce(sum(hashtext(text)), 0) as sum from kept`

export async function tell(rig: Rig, random: Random, points: Points, name: string, shape: { readonly withRestore?: boolean } = {}): Promise<Ending> {
  const projectId = await rig.newProject()
  const steps = { provisioning: 0, backup: 0, restore: 0, deletion: 0 }
  const chapterMs = { ...steps }
  let kills = 0
  let longestRecoveryMs = 0
  const chapter = async <T>(which: Chapter, work: () => Promise<T>): Promise<T> => {
    const began = performance.now()
    const struck = await underFire(rig, random, points[which] ?? [], work)
    chapterMs[which] = Math.round(performance.now() - began)
    steps[which] = struck.steps
    kills += struck.kills
    longestRecoveryMs = Math.max(longestRecoveryMs, struck.recoveryMs)
    return struck.result
  }
  const made = await order(rig, name, { projectId })
  await chapter('provisioning', () => settled(rig, made.id, chapterLimitMs))
  const [expected] = await fill(made)
  const backupId = await backUp(rig, made.id)
  await chapter('backup', async () => {
    await verified(rig, backupId, chapterLimitMs)
    await settled(rig, made.id, chapterLimitMs)
  })
  const copy = shape.withRestore === false ? null : await restore(rig, made, `${name}-copy`)
  if (copy !== null) {
    await chapter('restore', () => restored(rig, copy))
    const [found] = await answered(copy, checksum)
    assert.deepEqual(found, expected, 'the restored rows are not those that were written')
  }
  const source = await census(rig, made.id)
  const target = copy === null ? null : await census(rig, copy.id)
  await remove(rig, made, true)
  if (copy !== null) await remove(rig, copy)
  await chapter('deletion', async () => {
    await gone(rig, made, chapterLimitMs)
    if (copy !== null) await gone(rig, copy, chapterLimitMs)
  })
  return { source, restored: target, steps, kills, chapterMs, longestRecoveryMs }
}

async function fill(made: Customer): Promise<{ sum: string }[]> {
  await answered(made, 'create table if not exists kept (id int primary key, text text not null)')
  await query(made, `insert into kept select i, md5(i::text) from generate_series(1, ${rows}) i`)
  return query<{ sum: string }>(made, checksum)
}

async function restored(rig: Rig, { id }: Customer): Promise<void> {
  await eventually('the restore to succeed', async () => {
    const { operation } = (await look(rig, id)).status
    assert.notEqual(operation?.outcome, 'failed', operation?.failure?.message)
    return operation?.outcome === 'succeeded' ? true : new NotYet(`${operation?.phase ?? 'no operation'}: ${operation?.waitingFor ?? ''}`)
  }, chapterLimitMs)
  await settled(rig, id, chapterLimitMs)
}

interface Struck<T> {
  readonly result: T
  readonly steps: number
  readonly kills: number
  readonly recoveryMs: number
}

const isStep = ({ msg }: { readonly msg: string }): boolean => msg === 'action applied'

/** Does `work` while the controller is killed after so many steps, started, killed after so many more. */
async function underFire<T>(rig: Rig, random: Random, points: readonly number[], work: () => Promise<T>): Promise<Struck<T>> {
  const { log } = rig.controller
  await log.read()
  const first = log.lines.length
  const done = new AbortController()
  const working = work().finally(() => done.abort())
  // a failure of the work is met where its result is asked for
  working.catch(() => undefined)
  let kills = 0
  let killedAt: number | null = null
  for (const point of points) {
    if (!(await log.reached(point, isStep, done.signal))) break
    await sleep(random.between(0, longestPauseMs))
    killedAt = performance.now()
    await rig.restart()
    kills += 1
  }
  const result = await working
  await log.read()
  const steps = log.lines.slice(first).filter(isStep).length
  return { result, steps, kills, recoveryMs: killedAt === null ? 0 : Math.round(performance.now() - killedAt) }
}
