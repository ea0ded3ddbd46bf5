/**
 * Where a controller is struck: right after an effect of an operation that it told of when nobody struck. The steps of an operation are what it
 * did, in its order, from its first phase on; nobody wrote them down.
 */
import { appendFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import type { Endings } from '../harness/endings.ts'

const stepSchema = z.object({ effect: z.string(), nth: z.number() })
/** The `nth` of this kind since the operation began. */
export type Step = z.output<typeof stepSchema>

/** Without an effect: the `nth` of any kind since it was planned. */
export const planSchema = z.object({ at: z.object({ effect: z.string().nullable(), nth: z.number() }), signal: z.enum(['SIGKILL', 'SIGSTOP']) })
export type Plan = z.output<typeof planSchema>

export const notedFile = 'effects.jsonl'
export const planFile = 'plan.json'
export const struckFile = 'struck.jsonl'
/** Both ways of a move begin with it. */
export const firstEffect = 'store: enter preflight'
const lastEffects = /^store: finish /

export interface Strikes {
  /** Of a controller's process. */
  readonly settings: Readonly<Record<string, string>>
  /** Whichever controller comes to it meets it, once. Null: nobody does. */
  plan(plan: Plan | null): Promise<void>
  /** How often a controller was struck. */
  struck(): Promise<number>
  /** What controllers did from the beginning of the last operation until its end, or until now. */
  stepsOfLast(): Promise<readonly Step[]>
}

export async function openStrikes(ending: Endings): Promise<Strikes> {
  const folder = await mkdtemp(join(tmpdir(), 'hft-strikes-'))
  ending.after(() => rm(folder, { recursive: true }))
  for (const file of [notedFile, struckFile]) await appendFile(join(folder, file), '')
  const stepsIn = async (file: string): Promise<readonly Step[]> =>
    (await readFile(join(folder, file), 'utf8')).trim().split('\n').filter((line) => line !== '').map((line) => stepSchema.parse(JSON.parse(line)))
  const module = pathToFileURL(join(import.meta.dirname, 'strikeAfterEffect.ts'))
  return {
    settings: { NODE_OPTIONS: `--import ${module.href}`, HFT_STRIKES: folder },
    plan: (plan) => (plan === null ? rm(join(folder, planFile), { force: true }) : write(join(folder, planFile), JSON.stringify(plan))),
    struck: async () => (await stepsIn(struckFile)).length,
    async stepsOfLast() {
      const steps = await stepsIn(notedFile)
      const own = steps.slice(steps.findLastIndex(({ effect }) => effect === firstEffect))
      const last = own.findIndex(({ effect }) => lastEffects.test(effect))
      return last === -1 ? own : own.slice(0, last + 1)
    },
  }
}

/** Whole or not at all: it is read at any moment. */
async function write(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

export function told({ effect, nth }: Step): string {
  return nth === 1 ? effect : `${effect} (${nth})`
}
