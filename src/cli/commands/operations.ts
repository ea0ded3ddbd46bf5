/** What takes more than one step: list it, look at it, wait for it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { z } from 'zod'
import type { HoldfastClient } from '../../client/client.ts'
import { answerOf } from '../../client/problem.ts'
import type { Operation } from '../../client/schema.ts'
import { apiCommand, group } from '../apiCommand.ts'
import type { Surroundings } from '../apiCommand.ts'
import { table } from '../terminal.ts'

export function operationCommands(surroundings: Surroundings): Command {
  return group('operations', 'What takes more than one step', [
    apiCommand(surroundings, {
      usage: 'list <databaseId>', about: "A database's operations, newest first", input: z.object({ databaseId: z.string() }),
      ask: async (client, { databaseId }) => {
        const answer = await answerOf(client.GET('/v1/databases/{id}/operations', { params: { path: { id: databaseId } } }))
        const rows = answer.items.map((each) => [each.id, each.kind, each.outcome ?? each.phase, each.waitingFor ?? each.failure?.message, each.createdAt])
        return { answer, text: table(['OPERATION', 'KIND', 'PHASE', 'WAITING FOR', 'SINCE'], rows) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'get <operationId>', about: 'Its phase, what it waits for, and how far it is',
      options: waitOptions,
      input: z.object({ operationId: z.string(), ...waitInput }),
      ask: async (client, { operationId, ...waiting }) => {
        const answer = await ended(client, await getOperation(client, operationId), waiting)
        return { answer, text: describeOperation(answer) }
      },
    }),
    apiCommand(surroundings, {
      usage: 'cancel <operationId>', about: 'End an upgrade, a rollback or a downgrade before clients are moved, or a rehearsal', input: z.object({ operationId: z.string() }),
      ask: async (client, { operationId }) => {
        const answer = await answerOf(client.POST('/v1/operations/{id}/cancel', { params: { path: { id: operationId } } }))
        return { answer, text: describeOperation(answer) }
      },
    }),
  ])
}

export const waitOptions = [['--wait', 'until it has ended'], ['--timeout-seconds <seconds>', 'wait at most so long']] as const
export const waitInput = { wait: z.boolean().default(false), timeoutSeconds: z.coerce.number().min(1).max(86_400).default(600) }

export interface Waiting {
  readonly wait: boolean
  readonly timeoutSeconds: number
}

const lookMs = 250

/** With `wait`: as it is when it has ended. Throws what it failed with, and when the time is up. */
export async function ended(client: HoldfastClient, operation: Operation, { wait, timeoutSeconds }: Waiting): Promise<Operation> {
  if (!wait) return operation
  const deadline = performance.now() + timeoutSeconds * 1000
  for (let now = operation; ; now = await getOperation(client, operation.id)) {
    if (now.failure !== null) throw new OperationFailed(now.failure.code, now.failure.message, now.failure.next ?? `See: holdfast operations get ${now.id}.`)
    if (now.finishedAt !== null) return now
    if (performance.now() > deadline) throw new OperationFailed('TimedOut', `After ${timeoutSeconds} s: ${describeOperation(now)}`, 'It goes on; look again, or wait longer.')
    await sleep(lookMs)
  }
}

/** Carries a code and what to do next, so that it is shown like every other refusal. */
class OperationFailed extends Error {
  override readonly name = 'OperationFailed'
  readonly code: string
  readonly next: string

  constructor(code: string, message: string, next: string) {
    super(message)
    this.code = code
    this.next = next
  }
}

function getOperation(client: HoldfastClient, id: string): Promise<Operation> {
  return answerOf(client.GET('/v1/operations/{id}', { params: { path: { id } } }))
}

export function describeOperation({ id, kind, outcome, phase, waitingFor, progress }: Operation): string {
  if (outcome !== null) return [`Operation ${kind} (${id}) has ${outcome === 'cancelled' ? 'been cancelled' : outcome}.`, ...describeFindings(progress), ...describeSummary(progress)].join('\n')
  return `Operation ${kind} (${id}) is ${phase}${waitingFor === null ? '' : `, waiting for ${waitingFor}`}.`
}

const summed = z.object({ summary: z.string() })

/** Of a rehearsal: what came out. */
function describeSummary(progress: unknown): readonly string[] {
  const { data } = summed.safeParse(progress)
  return data === undefined ? [] : [`${data.summary}.`]
}

const finding = z.object({ message: z.string(), next: z.string() })
const findings = z.object({ blockers: z.array(finding), warnings: z.array(finding) })

/** Of a dry run: what stands in the way, and what to know beforehand. */
function describeFindings(progress: unknown): readonly string[] {
  const { data } = findings.safeParse(progress)
  if (data === undefined) return []
  const lines = [...data.blockers.map((one) => ({ ...one, word: 'Blocker' })), ...data.warnings.map((one) => ({ ...one, word: 'Warning' }))]
  return lines.length === 0 ? ['Nothing stands in its way.'] : lines.map(({ word, message, next }) => `${word}: ${message} ${next}`)
}
