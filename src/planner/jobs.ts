/** Job containers that have told all they know go. Jobs themselves are started and judged where their result is wanted. */
import { jobId } from '../domain/names.ts'
import type { JobSeen } from '../domain/observed.ts'
import { act, merge, nothing, type Part, type PlanInput } from '../domain/part.ts'
import { isOpen } from '../domain/reading.ts'

/** Jobs whose backup is no longer open have told all they know. */
export function planFinishedJobs(input: PlanInput): Part {
  const open = input.desired.backups.filter((backup) => isOpen(backup.state))
  const needed = new Set(open.flatMap((backup) => [jobId.backup(backup.id, backup.attempt), jobId.verify(backup.id, backup.attempt)]))
  const { operation } = input.desired
  const ofOperation = operation === null ? null : jobId.restore(operation.id, 0).slice(0, -1)
  return merge([...input.observed.jobs].map(([id, job]) => {
    const isNeeded = needed.has(id) || (ofOperation !== null && id.startsWith(ofOperation))
    return isNeeded || !job.known || job.value.result === null ? nothing : removeJob(input, job.value)
  }))
}

export function removeJob(input: PlanInput, { container }: JobSeen): Part {
  const host = [...input.observed.engines].find(([, engine]) => engine.known && engine.value.containers.some((seen) => seen.id === container.id))
  if (host === undefined) return nothing
  return act({ kind: 'removeContainer', hostId: host[0], containerId: container.id, name: container.name })
}
