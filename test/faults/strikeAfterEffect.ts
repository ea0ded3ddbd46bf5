/**
 * Preloaded into a controller (`node --import`): notes each effect that the product tells of (src/clients/effects.ts), and kills or freezes the
 * process right after the one that strikes.ts has planned, before anything else of it can run.
 */
import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { firstEffect, notedFile, planFile, planSchema, struckFile, type Plan } from './strikes.ts'

const effectSchema = z.object({ on: z.string(), what: z.string() })

const folder = process.env['HFT_STRIKES']
if (folder === undefined) throw new Error('HFT_STRIKES names no folder')
const [noted, planned, struck] = [join(folder, notedFile), join(folder, planFile), join(folder, struckFile)]
let counts = new Map<string, number>()
let counted = 0
let seen = ''

subscribe('holdfast:effect', (message) => {
  const { on, what } = effectSchema.parse(message)
  const effect = `${on}: ${what}`
  if (effect === firstEffect) counts = new Map()
  const nth = (counts.get(effect) ?? 0) + 1
  counts.set(effect, nth)
  appendFileSync(noted, `${JSON.stringify({ effect, nth })}\n`)
  const plan = planAsIs()
  counted += 1
  if (plan === null || !isMet(plan, effect, nth)) return
  appendFileSync(struck, `${JSON.stringify({ effect, nth })}\n`)
  process.kill(process.pid, plan.signal)
})

function isMet({ at }: Plan, effect: string, nth: number): boolean {
  return at.effect === null ? at.nth === counted : at.effect === effect && at.nth === nth
}

/** Looked at each time: it is made while this process runs. */
function planAsIs(): Plan | null {
  const text = existsSync(planned) ? readFileSync(planned, 'utf8') : ''
  if (text !== seen) counted = 0
  seen = text
  return text === '' ? null : planSchema.parse(JSON.parse(text))
}
