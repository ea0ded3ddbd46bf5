/**
 * The endpoint's proxies: container, and the configuration that the running proxy has loaded. Its ports never change. Of two that
 * serve one is replaced at a time, so that clients always have the other.
 */
import type { Proxy } from '../domain/desired.ts'
import { label } from '../domain/names.ts'
import { act, merge, nothing, waitFor, type Part, type PlanInput } from '../domain/part.ts'
import { containerNamed, engineOf, proxiesInUse, proxyKey } from '../domain/reading.ts'
import { planContainer } from './containers.ts'
import { planContainerGone } from './deletion.ts'

/** A booting proxy answers at once; one that still does not after this is asked seldom. */
const bootMs = 10_000
const probeSoonMs = 100
const probeLaterMs = 1_000

export function planEndpoint(input: PlanInput): Part {
  const { endpoint } = input.desired
  if (endpoint === null) return nothing
  const keys = proxiesInUse(input.desired, endpoint).map(({ slot }) => proxyKey(endpoint.id, slot))
  const unused = endpoint.proxies.filter(({ slot }) => !keys.includes(proxyKey(endpoint.id, slot))).map((proxy) => planUnused(input, endpoint.id, proxy))
  const serving = new Map(keys.map((key) => [key, servingOf(input, key)]))
  return merge([...unused, ...keys.map((key, at) => {
    const isOthersTurn = keys.some((other, otherAt) => {
      const state = serving.get(other)
      return other !== key && (state === 'no' || (state === 'outdated' && otherAt < at))
    })
    const mustWait = serving.get(key) === 'outdated' && isOthersTurn
    return mustWait ? waitFor('the other proxy to serve, before this one is replaced', probeSoonMs) : planProxy(input, key)
  })])
}

/** Of a cluster that is gone. */
function planUnused({ observed, names }: PlanInput, endpointId: string, { hostId, slot }: Proxy): Part {
  const engine = engineOf(observed, hostId)
  const seen = engine.known ? containerNamed(engine.value, names.endpoint(endpointId, slot)) : undefined
  return seen === undefined || !engine.known ? nothing : planContainerGone(hostId, seen, engine.value.containers)
}

/** Whether clients are served by it now, and by a container that is to be replaced. */
function servingOf(input: PlanInput, key: string): 'no' | 'outdated' | 'yes' {
  const blueprint = input.blueprints.proxies.get(key)
  const engine = blueprint === undefined ? undefined : engineOf(input.observed, blueprint.hostId)
  const seen = blueprint === undefined || engine?.known !== true ? undefined : containerNamed(engine.value, blueprint.name)
  if (seen?.state !== 'running' || input.observed.proxies.get(key)?.known !== true) return 'no'
  return seen.labels[label.spec] === blueprint?.specHash ? 'yes' : 'outdated'
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
