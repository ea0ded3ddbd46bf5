/** What a rehearsal found out, and how it is told. Pure. */
import { z } from 'zod'
import type { RehearsedOperation } from '../domain/desired.ts'

/** As an upgrade shows it. */
const pauseSchema = z.object({
  /** Null: another controller had to bring the move to an end, and nobody measured it. */
  pauseMs: z.number().nullable(),
  /** Milliseconds from when clients were held to the end of each step. */
  steps: z.record(z.string(), z.number()).optional(),
})

/** Of the backup that was restored, of restoring it, of the upgrade; as far as it got. */
export const measuredSchema = z.object({
  backup: z.string(),
  databaseBytes: z.number().nullable(),
  restoredInSeconds: z.number(),
  /** From when the upgrade was ordered until clients were moved: nearly all of it is the copy. */
  copiedInSeconds: z.number(),
  ...pauseSchema.shape,
}).partial()
export type Measured = z.output<typeof measuredSchema>

export function restoreMeasured({ createdAt, finishedAt }: RehearsedOperation): Measured {
  return finishedAt === null ? {} : { restoredInSeconds: secondsBetween(createdAt, finishedAt) }
}

/** Of an upgrade that succeeded. Its last phase began when clients had been moved. */
export function upgradeMeasured({ progress, createdAt, phaseEnteredAt }: RehearsedOperation): Measured {
  const { data } = pauseSchema.safeParse(progress)
  return { copiedInSeconds: secondsBetween(createdAt, phaseEnteredAt), ...(data ?? { pauseMs: null }) }
}

export function summaryOf({ databaseBytes, pauseMs }: Measured): string {
  const size = databaseBytes == null ? 'a copy' : `a copy of ${Math.max(1, Math.round(databaseBytes / 1_000_000))} MB`
  return `a rehearsal on ${size}: ${pauseMs == null ? 'it went well, but how long clients would wait was not measured' : `clients would wait about ${Math.round(pauseMs)} ms`}`
}

function secondsBetween(from: Date, to: Date): number {
  return Math.round((to.getTime() - from.getTime()) / 100) / 10
}
