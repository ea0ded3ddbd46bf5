/** The controller's process of a service, for tests that stop it, kill it and start it again as its operator would. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { answerIn, holdfast } from './command.ts'
import type { TestService } from './service.ts'
import { NotYet, until } from './waiting.ts'

const recordSchema = z.object({ pid: z.int().positive() })
const upSchema = z.object({ schema: z.literal('holdfast.up/1'), ok: z.literal(true), steps: z.array(z.object({ id: z.string(), ok: z.boolean() })) })
const upTimeoutMs = 120_000
/** A pass under way is let end, which takes less than its own limit. */
const endLimitMs = 60_000

export async function controllerPid({ config }: TestService): Promise<number> {
  return recordSchema.parse(JSON.parse(await readFile(join(config.stateDir, 'controller.json'), 'utf8'))).pid
}

/** Returns when the process is gone. */
export async function endController(service: TestService, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const pid = await controllerPid(service)
  process.kill(pid, signal)
  await until(`the controller ${pid} has ended`, async () => ((await commandOf(pid)) === '' ? true : new NotYet('it runs')), { limitMs: endLimitMs })
}

/** `holdfast up`, once more; `settings` over those of the service. */
export async function bringUp(service: TestService, settings: Readonly<Record<string, string>> = {}): Promise<z.output<typeof upSchema>> {
  const outcome = await holdfast(['up', '--json'], { ...service.settings, ...settings }, upTimeoutMs)
  assert.equal(outcome.code, 0, outcome.stderr)
  return upSchema.parse(answerIn(outcome))
}

/** Empty: there is none, or only what its parent has not buried yet. */
async function commandOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
}
