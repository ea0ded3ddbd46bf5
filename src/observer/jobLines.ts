/**
 * What a job's output says: progress lines and, last, a result line, each one JSON object; everything else is for people.
 * Pure. A job that ended without a result has failed, whatever its exit code.
 */
import { z } from 'zod'
import type { JobProgress, JobResult } from '../domain/observed.ts'

const progressSchema = z.object({
  step: z.string(), percent: z.number().optional(), bytes: z.number().optional(), totalBytes: z.number().optional(),
})

const resultSchema = z.union([
  z.object({ ok: z.literal(true), facts: z.record(z.string(), z.unknown()).default({}) }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
])

export function progressIn(output: string): JobProgress | null {
  return lastOf(output, progressSchema)
}

export function resultIn(output: string, exitCode: number | null): JobResult {
  const result = lastOf(output, resultSchema)
  if (result !== null) return result.ok ? result : { ...result, message: printable(result.message) }
  const last = output.split('\n').map(printable).findLast((line) => line !== '')
  const message = `the job ended with exit code ${exitCode ?? 'unknown'} and without a result`
  return { ok: false, code: 'JobFailed', message: last === undefined ? message : `${message}; its last words: ${last}` }
}

function lastOf<T>(output: string, schema: z.ZodType<T>): T | null {
  for (const line of output.split('\n').reverse()) {
    const parsed = schema.safeParse(jsonIn(line))
    if (parsed.success) return parsed.data
  }
  return null
}

function jsonIn(line: string): unknown {
  const text = line.trim()
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A wrong cipher makes pgBackRest print what it decrypted. */
function printable(line: string): string {
  return line.replaceAll(/[^\x21-\x7e]+/g, ' ').trim().slice(0, 500)
}
