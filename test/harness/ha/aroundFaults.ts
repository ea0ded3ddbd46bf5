/** Faults of what a cluster stands on: the network between its parts, etcd, the endpoint's proxies, the controller. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { label } from '../../../src/domain/names.ts'
import type { Controller } from '../../faults/controller.ts'
import { cutOff, type Cut, type Direction } from './cuts.ts'
import { etcdLeader, etcdPlaces } from './etcd.ts'
import type { Fault, Stage, Strike } from './fault.ts'
import type { MemberPlace } from './members.ts'
import type { Site } from './site.ts'

const execute = promisify(execFile)
const limitMs = 30_000

export const aroundFaults = {
  leaderCutFromEtcd: async ({ site }, { leader }) => {
    const ports = (await etcdPlaces(site)).map(({ clientPort }) => clientPort)
    return cuts('leaderCutFromEtcd', leader.name, [await cutOff(site, leader, ports, 'both')])
  },
  leaderCutFromReplicas: between('leaderCutFromReplicas', 'both'),
  /** The replicas hear the leader and cannot answer. */
  replicasCannotAnswer: between('replicasCannotAnswer', 'towards'),
  /** The leader hears the replicas, and what it says is lost. */
  replicasCannotHear: between('replicasCannotHear', 'from'),
  leaderCutFromController: async ({ controller, places }, { leader }) => {
    const { rules, remove } = await hideFrom(running(controller), places.filter(({ name }) => name === leader.name))
    return { kind: 'leaderCutFromController', target: `${leader.name} (${rules})`, end: remove }
  },
  etcdMemberLost: async ({ site }) => {
    const leads = await etcdLeader(site)
    const other = (await etcdPlaces(site)).find(({ container, isRunning }) => isRunning && container !== leads.container)
    if (other === undefined) throw new Error('etcd has a leader and nobody else')
    return lost(site, 'etcdMemberLost', [other.container])
  },
  etcdLeaderLost: async ({ site }) => lost(site, 'etcdLeaderLost', [(await etcdLeader(site)).container]),
  etcdQuorumLost: async ({ site }) => lost(site, 'etcdQuorumLost', (await etcdPlaces(site)).slice(0, 2).map(({ container }) => container)),
  proxyLost: async (stage) => lost(stage.site, 'proxyLost', (await proxiesOf(stage)).slice(0, 1)),
  bothProxiesLost: async (stage) => lost(stage.site, 'bothProxiesLost', await proxiesOf(stage)),
  controllerKilled: async ({ controller }) => {
    await running(controller).kill()
    return { kind: 'controllerKilled', target: 'controller', end: () => startAgain(controller) }
  },
  controllerFrozen: ({ controller }) => {
    running(controller).freeze()
    return Promise.resolve({ kind: 'controllerFrozen', target: 'controller', end: () => Promise.resolve(running(controller).thaw()) })
  },
} as const satisfies Record<string, Strike>

function between(kind: string, direction: Direction): Strike {
  return async ({ site }, { leader, replicas }) => {
    const towards = await Promise.all(replicas.map((replica) => cutOff(site, replica, portsOf(leader), direction)))
    // the leader asks the replicas, too: whether they accept it while etcd is away
    const back = direction === 'both' ? [await cutOff(site, leader, replicas.flatMap(portsOf), 'both')] : []
    return cuts(kind, leader.name, [...towards, ...back])
  }
}

function cuts(kind: string, target: string, made: readonly Cut[]): Fault {
  return { kind, target, end: async () => void (await Promise.all(made.map((cut) => cut.mend()))) }
}

function portsOf({ ports }: MemberPlace): readonly number[] {
  return [ports.postgres, ports.patroni]
}

/** By the engine, which leaves them so; whoever looks after them may start them before we do. */
async function lost({ docker, engine }: Site, kind: string, containers: readonly string[]): Promise<Fault> {
  await Promise.all(containers.map((name) => docker.getContainer(name).kill()))
  const start = async (name: string): Promise<void> => {
    const seen = await engine.findContainer(name, AbortSignal.timeout(limitMs))
    if (seen !== null && seen.state !== 'running') await engine.startContainer(seen.id, AbortSignal.timeout(limitMs))
  }
  return { kind, target: containers.join(' and '), end: async () => void (await Promise.all(containers.map(start))) }
}

async function proxiesOf({ site, databaseId }: Stage): Promise<readonly string[]> {
  const found = await site.engine.listContainers({ [label.database]: databaseId, [label.kind]: 'endpoint' }, AbortSignal.timeout(limitMs))
  return found.filter(({ state }) => state === 'running').map(({ name }) => name).sort()
}

function running(controller: Controller | null): Controller {
  if (controller === null) throw new Error('the controller is not this test’s to touch')
  return controller
}

async function startAgain(controller: Controller | null): Promise<void> {
  if (!running(controller).isRunning()) await running(controller).start()
}

/** Before the address is rewritten to the container's: what this controller's process sends there vanishes. */
async function hideFrom(controller: Controller, places: readonly MemberPlace[]): Promise<{ readonly rules: number; readonly remove: () => Promise<void> }> {
  const { gid } = controller
  if (gid === null) throw new Error('the controller runs under no group of its own')
  const rules = places.flatMap((place) => portsOf(place).map((port) =>
    ['OUTPUT', '-m', 'owner', '--gid-owner', String(gid), '-d', place.host, '-p', 'tcp', '--dport', String(port), '-j', 'DROP']))
  const change = async (verb: '-I' | '-D'): Promise<void> => {
    for (const rule of rules) await execute('iptables', ['--wait', '-t', 'mangle', verb, ...rule], { timeout: limitMs })
  }
  await change('-I')
  return { rules: rules.length, remove: () => change('-D') }
}
