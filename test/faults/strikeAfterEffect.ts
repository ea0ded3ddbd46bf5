/**
 * Preloaded into a controller (`node --import`): notes each effect that the product tells of (src/clients/effects.ts), and kills the process
 * right after the one that strikes.ts has planned, before anything else of it can run.
 */
import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { firstEffect, notedFile, planFile, type Step } from './strikes.ts'

const effectSchema = z.object({ on: z.string(), what: z.string() })
const planSchema = z.object({ effect: z.string(), nth: z.number() })

const folder = process.env['HFT_STRIKES']
if (folder === undefined) throw new Error('HFT_STRIKES names no folder')
const [noted, planned] = [join(folder, notedFile), join(folder, planFile)]
let counts = new Map<string, number>()
let plan: Step | null = null

subscribe('holdfast:effect', (message) => {
  const { on, what } = effectSchema.parse(message)
  const effect = `${on}: ${what}`
  if (effect === firstEffect) {
    counts = new Map()
    plan = existsSync(planned) ? planSchema.parse(JSON.parse(readFileSync(planned, 'utf8'))) : null
  }
  const nth = (counts.get(effect) ?? 0) + 1
  counts.set(effect, nth)
  appendFileSync(noted, `${JSON.stringify({ effect, nth })}\n`)
  if (plan?.effect === effect && plan.nth === nth) process.kill(process.pid, 'SIGKILL')
})
