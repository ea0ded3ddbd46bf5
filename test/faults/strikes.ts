/**
 * Where a controller is killed: right after an effect of an operation that it told of when nobody struck. The steps of an operation are what it
 * did, in its order, from its first phase on; nobody wrote them down.
 */
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import type { Endings } from '../harness/endings.ts'

/** The `nth` of this kind since the operation began. */
export interface Step {
  readonly effect: string
  readonly nth: number
}

export const notedFile = 'effects.jsonl'
export const planFile = 'plan.json'
/** Both ways of a move begin with it. */
export const firstEffect = 'store: enter preflight'
const lastEffects = /^store: finish /
const stepSchema = z.object({ effect: z.string(), nth: z.number() })

export interface Strikes {
  /** Of a controller's process. */
  readonly settings: Readonly<Record<string, string>>
  /** The next operation that begins meets it. Null: none does. */
  plan(step: Step | null): Promise<void>
  /** What controllers did from the beginning of the last operation until its end, or until now. */
  stepsOfLast(): Promise<readonly Step[]>
}

export async function openStrikes(ending: Endings): Promise<Strikes> {
  const folder = await mkdtemp(join(tmpdir(), 'hft-strikes-'))
  ending.after(() => rm(folder, { recursive: true }))
  await appendFile(join(folder, notedFile), '')
  const module = pathToFileURL(join(import.meta.dirname, 'strikeAfterEffect.ts'))
  return {
    settings: { NODE_OPTIONS: `--import ${module.href}`, HFT_STRIKES: folder },
    plan: (step) => (step === null ? rm(join(folder, planFile), { force: true }) : writeFile(join(folder, planFile), JSON.stringify(step))),
    async stepsOfLast() {
      const steps = (await readFile(join(folder, notedFile), 'utf8')).trim().split('\n').filter((line) => line !== '').map((line) => stepSchema.parse(JSON.parse(line)))
      const own = steps.slice(steps.findLastIndex(({ effect }) => effect === firstEffect))
      const last = own.findIndex(({ effect }) => lastEffects.test(effect))
      return last === -1 ? own : own.slice(0, last + 1)
    },
  }
}

export function told({ effect, nth }: Step): string {
  return nth === 1 ? effect : `${effect} (${nth})`
}
