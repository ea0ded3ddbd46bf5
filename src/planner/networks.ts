/** The project's own network on every host that the database uses. */
import { act, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { engineOf } from '../domain/reading.ts'

export function planNetworks(input: PlanInput): Part {
  const { desired, names } = input
  const name = names.network(desired.project.id)
  return merge(
    desired.networks.map(({ hostId, subnet }) => {
      const engine = engineOf(input.observed, hostId)
      if (!engine.known || engine.value.networks.some((network) => network.name === name)) return nothing
      const create = act({ kind: 'createNetwork', hostId, name, subnet, projectId: desired.project.id })
      return merge([create, waitFor(`network ${name} to be made`, 100)])
    }),
  )
}
