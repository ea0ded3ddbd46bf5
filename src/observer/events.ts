/** What an engine's event means for the facts. Pure. Events of strangers, and those that change nothing we keep, mean nothing. */
import type { EngineEvent } from '../clients/docker.ts'
import { label, labelPrefix } from '../domain/names.ts'
import type { ContainerState } from '../domain/observed.ts'
import type { Change } from './facts.ts'

export type Meaning =
  | { readonly kind: 'change'; readonly change: Change }
  /** The event names the thing, but only the engine knows whose it is. */
  | { readonly kind: 'ask'; readonly type: 'volume' | 'network'; readonly id: string }
  | null

const stateAfter: Readonly<Record<string, ContainerState>> = {
  create: 'created',
  start: 'running',
  die: 'exited',
  pause: 'paused',
  unpause: 'running',
}

export function meaningOf(event: EngineEvent, installation: string): Meaning {
  switch (event.type) {
    case 'container':
      return event.attributes[label.installation] === installation ? containerMeaning(event) : null
    case 'volume':
      return thingMeaning(event, { kind: 'volumeGone', name: event.id })
    case 'network':
      return thingMeaning(event, { kind: 'networkGone', id: event.id })
  }
}

function containerMeaning(event: EngineEvent): Meaning {
  const { id, name } = event
  if (event.action === 'destroy') return { kind: 'change', change: { kind: 'containerGone', id } }
  if (event.action === 'rename') return { kind: 'change', change: { kind: 'containerRenamed', id, name } }
  const state = stateAfter[event.action]
  if (state === undefined) return null
  const since = new Date(event.timeNano / 1e6)
  const exitCode = event.action === 'die' ? exitCodeOf(event.attributes['exitCode']) : null
  return { kind: 'change', change: { kind: 'container', id, name, labels: ownLabels(event.attributes), state, exitCode, since } }
}

/** Volumes and networks tell nothing of their labels; their end needs none, for what is not known is not removed. */
function thingMeaning(event: EngineEvent, gone: Change): Meaning {
  if (event.action === 'destroy' || event.action === 'remove') return { kind: 'change', change: gone }
  if (event.action === 'create' && event.type !== 'container') return { kind: 'ask', type: event.type, id: event.id }
  return null
}

export function exitCodeOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null
}

/** An event mixes labels with other attributes, and an image adds labels of its own. */
export function ownLabels(all: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith(labelPrefix)).sort())
}
