/**
 * takeOverEndpoint: this database receives the endpoint of another one of its project, which receives this one's.
 * What must hold: customers who verify the certificate never meet one without their host name, so the certificate
 * carries both names before the exchange; and old sessions are cut at the exchange (the proxy is made anew for its new
 * backend), so that nobody goes on writing to the old database through the new address.
 * Phases: preparingCertificate → exchanging → awaitingRoute. Point of no return: exchanging (the way back is to take over again).
 */
import { z } from 'zod'
import { label } from '../domain/names.ts'

import { nothing, record, waitFor } from '../domain/part.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { containerNamed, endpointNames, engineOf, proxiesInUse, proxyKey } from '../domain/reading.ts'

export const takeOverInputSchema = z.object({ fromDatabaseId: z.string() })

const notesSchema = z.object({ endpointId: z.string() })

const lookMs = 200

export const takeOverEndpointMachine: Machine = {
  kind: 'takeOverEndpoint',
  version: 1,
  firstPhase: 'preparingCertificate',
  pointOfNoReturn: 'exchanging',
  decide(input) {
    switch (input.operation.phase) {
      case 'preparingCertificate':
        return preparingCertificate(input)
      case 'exchanging':
        return exchanging(input)
      case 'awaitingRoute':
        return awaitingRoute(input)
    }
    return give(`this controller does not know the phase ${input.operation.phase}`)
  },
}

function preparingCertificate(input: MachineInput): Decision {
  const { peerEndpoint, database } = input.desired
  if (peerEndpoint === null) return give('the database whose endpoint was asked for is gone')
  const wanted = peerEndpoint.endpoint.hostName
  if (!endpointNames(input.desired).includes(wanted)) {
    const names = [...database.extraCertificateNames, wanted]
    return stay({ ...record({ kind: 'extraCertificateNames', names }), requeueAfterMs: 0 }, 'the certificate to carry both names')
  }
  if (!isLoaded(input)) return stay(waitFor('the certificate to carry both names', lookMs), 'the certificate to carry both names')
  const notes = { endpointId: peerEndpoint.endpoint.id }
  return { part: { ...nothing, requeueAfterMs: 0 }, next: { to: 'enter', phase: 'exchanging', because: 'the certificate carries both names', notes } }
}

/** Every member of this database has loaded a configuration whose certificate carries all names. */
function isLoaded({ desired, observed, blueprints }: MachineInput): boolean {
  const members = desired.instances.filter((instance) => instance.role === 'serving').flatMap((instance) => instance.members)
  const names = endpointNames(desired)
  return members.length > 0 && members.every((member) => {
    const seen = observed.postgres.get(member.id)
    const certificate = desired.certificates.get(`member/${member.id}`)
    const named = certificate !== undefined && names.every((name) => certificate.names.includes(name))
    return named && seen?.known === true && seen.value.configHash === blueprints.members.get(member.id)?.configHash
  })
}

/** Exchanged is what is seen exchanged: a controller that died after the exchange does not exchange back. */
function exchanging({ operation, desired }: MachineInput): Decision {
  const { endpointId } = notesSchema.parse(operation.notes)
  if (desired.endpoint?.id === endpointId) {
    return { part: { ...nothing, requeueAfterMs: 0 }, next: { to: 'enter', phase: 'awaitingRoute', because: 'the endpoints were exchanged' } }
  }
  const { fromDatabaseId } = takeOverInputSchema.parse(operation.input)
  return stay({ ...record({ kind: 'swapEndpoints', withDatabaseId: fromDatabaseId }), requeueAfterMs: 0 }, 'the endpoints to be exchanged')
}

function awaitingRoute(input: MachineInput): Decision {
  const { endpoint, database } = input.desired
  const routed = endpoint !== null && proxiesInUse(input.desired, endpoint).every((proxy) => {
    const key = proxyKey(endpoint.id, proxy.slot)
    const blueprint = input.blueprints.proxies.get(key)
    const engine = engineOf(input.observed, proxy.hostId)
    if (blueprint === undefined || !engine.known) return false
    const container = containerNamed(engine.value, blueprint.name)
    return container?.state === 'running' && container.labels[label.spec] === blueprint.specHash && input.observed.proxies.get(key)?.known === true
  })
  if (!routed) return stay(waitFor('the endpoint to route to this database', lookMs), 'the endpoint to route to this database')
  const tidy = database.extraCertificateNames.length === 0 ? nothing : record({ kind: 'extraCertificateNames', names: [] })
  return { part: tidy, next: { to: 'finish', outcome: 'succeeded', because: 'the endpoint routes to this database' } }
}

function give(message: string): Decision {
  return { part: nothing, next: { to: 'finish', outcome: 'failed', because: message, failure: { code: 'TakeOverFailed', message, next: 'Look at both databases and ask for the take-over again.' } } }
}
