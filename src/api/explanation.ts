/**
 * What an event was about, as a story. A failover has the guard's own, with all it did within the same half minute; an operation tells its phases; every other event
 * stands among what happened to its database at about the same time.
 */
import type { z } from 'zod'
import type { StoryLine } from '../domain/failover.ts'
import type { Store } from '../store/store.ts'
import type { EventView, FailoverView } from '../store/views.ts'
import type { explanation, failover } from './schemas/failovers.ts'

type Explanation = z.output<typeof explanation>

export async function explainEvent(store: Store, teamId: string, seq: number): Promise<Explanation> {
  const event = await store.events.get(teamId, seq)
  const incident = await store.failovers.ofEvent(teamId, seq)
  if (incident !== null) {
    const all = await store.failovers.around(incident)
    const measured = [incident, ...all].find(({ outcome }) => outcome !== null && outcome.writeGapMs !== null)
    return { event, failover: showFailover(incident), operation: null, story: storyOf(all, measured), writeGapMs: measured?.outcome?.writeGapMs ?? null }
  }
  const around = await store.events.around(event, teamId)
  const operation = event.operationId === null ? null : await store.operations.get(event.operationId)
  return { event, failover: null, operation, story: around.map(lineOf), writeGapMs: gapOf(around) }
}

export function showFailover(view: FailoverView): z.output<typeof failover> {
  return { ...view, story: [...view.story] }
}

/** The gap is what everybody asks for: it is said even where nobody wrote a line about it. */
function storyOf(incidents: readonly FailoverView[], measured: FailoverView | undefined): StoryLine[] {
  const lines = incidents.flatMap(({ story }) => story).toSorted((a, b) => a.at.getTime() - b.at.getTime())
  const outcome = measured?.outcome
  if (outcome === undefined || outcome === null || outcome.writeGapMs === null) return lines
  return [...lines, { at: outcome.at, part: 'result', text: `No write was acknowledged for ${(outcome.writeGapMs / 1000).toFixed(2)} s.` }]
}

function lineOf({ at, reason, severity, message }: EventView): StoryLine {
  const ended = ['OperationSucceeded', 'OperationFailed', 'OperationCancelled'].includes(reason)
  const part = ended ? 'result' : reason.startsWith('Operation') || severity === 'info' ? 'done' : 'seen'
  return { at, part, text: message }
}

/** Of an operation that measured one: a switchover says in its event how long writes stood still. */
function gapOf(events: readonly EventView[]): number | null {
  const measured = events.map(({ facts }) => facts['writeGapMs']).findLast((value) => typeof value === 'number')
  return typeof measured === 'number' ? measured : null
}
