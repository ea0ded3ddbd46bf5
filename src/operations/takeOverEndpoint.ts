/**
 * takeOverEndpoint: this database receives the endpoint of another one of its project, which receives this one's.
 * What must hold: customers who verify the certificate never meet one without their host name, so the certificate
 * carries both names before the exchange; and old sessions are cut at the exchange (the proxy is made anew for its new
 * backend), so that nobody goes on writing to the old database through the new address.
 * Phases: preparingCertificate → exchanging → awaitingRoute. Point of no return: the exchange itself (the way back is to
 * take over again); until it is seen, giving up leaves everything as it was.
 */
import { z } from 'zod'
import { certificateKey, type Endpoint } from '../domain/desired.ts'
import { internalName, label } from '../domain/names.ts'
import { nothing, record, waitFor, type Part } from '../domain/part.ts'
import { stay, type Decision, type Machine, type MachineInput } from './machine.ts'
import { containerNamed, endpointNames, engineOf, proxiesInUse, proxyKey } from '../domain/reading.ts'

export const takeOverInputSchema = z.object({ fromDatabaseId: z.string() })

const notesSchema = z.object({ endpointId: z.string() })

const lookMs = 200
/** Issuing and loading a certificate takes seconds; a database that cannot do it now must not be exchanged. */
const prepareMs = 10 * 60_000

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
    return { part: nothing, next: failed(`this controller does not know the phase ${input.operation.phase}`, 'Update the controller.') }
  },
}

function preparingCertificate(input: MachineInput): Decision {
  const { peerEndpoint, database } = input.desired
  if (peerEndpoint === null) return giveUp(input, 'the database whose endpoint was asked for is gone')
  const missing = namesOf(peerEndpoint.endpoint).filter((name) => !endpointNames(input.desired).includes(name))
  if (missing.length > 0) {
    const names = [...database.extraCertificateNames, ...missing]
    return stay({ ...record({ kind: 'extraCertificateNames', names }), requeueAfterMs: 0 }, 'the certificate to carry both names')
  }
  if (!isLoaded(input)) {
    const { operation, now } = input
    const isOver = now.getTime() - operation.phaseEnteredAt.getTime() > prepareMs
    if (isOver) return giveUp(input, `this database did not load a certificate with both names within ${prepareMs / 60_000} minutes`)
    return stay(waitFor('the certificate to carry both names', lookMs), 'the certificate to carry both names')
  }
  const notes = { endpointId: peerEndpoint.endpoint.id }
  return { part: soon, next: { to: 'enter', phase: 'exchanging', because: 'the certificate carries both names', notes } }
}

/** What clients of an endpoint verify: its host name, and the name by which its own pooler knows the server. */
function namesOf({ id, hostName }: Endpoint): string[] {
  return [hostName, internalName.endpoint(id)]
}

/** Every member of this database has loaded a configuration whose certificate carries all names. */
function isLoaded({ desired, observed, blueprints }: MachineInput): boolean {
  const members = desired.instances.filter((instance) => instance.role === 'serving').flatMap((instance) => instance.members)
  const names = endpointNames(desired)
  return members.length > 0 && members.every((member) => {
    const seen = observed.postgres.get(member.id)
    const certificate = desired.certificates.get(certificateKey('member', member.id))
    const isNamed = certificate !== undefined && names.every((name) => certificate.names.includes(name))
    return isNamed && seen?.known === true && seen.value.configHash === blueprints.members.get(member.id)?.configHash
  })
}

/** Exchanged is what is seen exchanged: a controller that died after the exchange does not exchange back. */
function exchanging(input: MachineInput): Decision {
  const { operation, desired: { endpoint, peerEndpoint } } = input
  const { endpointId } = notesSchema.parse(operation.notes)
  if (endpoint?.id === endpointId) {
    return { part: soon, next: { to: 'enter', phase: 'awaitingRoute', because: 'the endpoints were exchanged' } }
  }
  if (peerEndpoint?.endpoint.id !== endpointId) return giveUp(input, 'the endpoint that was asked for belongs to another database by now')
  const { fromDatabaseId } = takeOverInputSchema.parse(operation.input)
  // the clients of the other one may be on the move: then nothing is exchanged yet
  return stay({ ...record({ kind: 'swapEndpoints', withDatabaseId: fromDatabaseId }), requeueAfterMs: lookMs }, 'the endpoints to be exchanged')
}

function awaitingRoute(input: MachineInput): Decision {
  const { endpoint } = input.desired
  const isRouted = endpoint !== null && proxiesInUse(input.desired, endpoint).every((proxy) => {
    const key = proxyKey(endpoint.id, proxy.slot)
    const blueprint = input.blueprints.proxies.get(key)
    const engine = engineOf(input.observed, proxy.hostId)
    if (blueprint === undefined || !engine.known) return false
    const container = containerNamed(engine.value, blueprint.name)
    return container?.state === 'running' && container.labels[label.spec] === blueprint.specHash && input.observed.proxies.get(key)?.known === true
  })
  if (!isRouted) return stay(waitFor('the endpoint to route to this database', lookMs), 'the endpoint to route to this database')
  return { part: withoutExtraNames(input), next: { to: 'finish', outcome: 'succeeded', because: 'the endpoint routes to this database' } }
}

const soon: Part = { ...nothing, requeueAfterMs: 0 }

/** The way back: only names were added, and they are taken off again. */
function giveUp(input: MachineInput, message: string): Decision {
  return { part: withoutExtraNames(input), next: failed(message, 'Look at both databases and ask for the take-over again; nothing was exchanged.') }
}

function withoutExtraNames({ desired }: MachineInput): Part {
  return desired.database.extraCertificateNames.length === 0 ? nothing : record({ kind: 'extraCertificateNames', names: [] })
}

function failed(message: string, next: string): Decision['next'] {
  return { to: 'finish', outcome: 'failed', because: message, failure: { code: 'TakeOverFailed', message, next } }
}
