/** The endpoint's proxies: container, and the configuration that the running proxy has loaded. Its ports never change. */
import { planContainer } from './containers.ts'
import { act, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { proxiesInUse, proxyKey } from '../domain/reading.ts'

/** A booting proxy answers at once; one that still does not after this is asked seldom. */
const bootMs = 10_000
const probeSoonMs = 100
const probeLaterMs = 1_000

export function planEndpoint(input: PlanInput): Part {
  const { endpoint } = input.desired
  if (endpoint === null) return nothing
  return merge(proxiesInUse(input.desired, endpoint).map((proxy) => planProxy(input, proxyKey(endpoint.id, proxy.slot))))
}

function planProxy(input: PlanInput, key: string): Part {
  const blueprint = input.blueprints.proxies.get(key)
  if (blueprint === undefined) return waitFor('the certificates of the endpoint to be issued', probeLaterMs)
  const plan = planContainer(input, blueprint, 'the endpoint')
  if (plan.running === null) return plan.part
  const install = act({ kind: 'installFiles', blueprint, containerId: plan.running.id })
  const seen = input.observed.proxies.get(key)
  if (seen === undefined || !seen.known) {
    const age = input.now.getTime() - plan.running.since.getTime()
    const why = seen === undefined ? 'not asked yet' : seen.reason
    const wait = waitFor(`the endpoint to answer (${why})`, age < bootMs ? probeSoonMs : probeLaterMs)
    // through the engine, which asks neither side for a certificate that may be the very thing that is out of date
    return merge([plan.part, wait, seen?.distrust === true ? install : nothing])
  }
  if (seen.value.configHash === blueprint.configHash) return plan.part
  return merge([plan.part, install, waitFor('the endpoint to load its new configuration', 250)])
}
