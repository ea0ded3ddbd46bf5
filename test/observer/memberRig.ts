/** One real member and its endpoint, made by the executor's own actions, for tests of what looks at them. */
import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Action } from '../../src/domain/action.ts'
import type { Blueprint } from '../../src/domain/blueprint.ts'
import { certificateKey, type CertificatePurpose, type Desired, type Host, type KeyPair, type Member } from '../../src/domain/desired.ts'
import { resourceNames } from '../../src/domain/names.ts'
import type { EngineClient } from '../../src/clients/docker.ts'
import { openRig } from '../executor/rig.ts'
import { testImages } from './images.ts'

export interface MemberRig {
  readonly installation: string
  readonly engine: EngineClient
  readonly desired: Desired
  readonly host: Host
  readonly member: Member
  readonly controller: KeyPair
  readonly signal: AbortSignal
  /** What a cluster says before anything was prepared in it. */
  readonly unprepared: string | null
  apply(action: Action): Promise<void>
  memberBlueprint(): Blueprint
  proxyBlueprint(): Blueprint
  certificate(purpose: CertificatePurpose): KeyPair
  /** Until it takes connections. */
  startMember(): Promise<void>
  startProxy(): Promise<void>
  /** Accepts connections and says nothing. */
  silentServer(): Promise<{ readonly server: Server; readonly port: number }>
  sweep(): Promise<void>
}

const testMs = 180_000

export async function openMember(): Promise<MemberRig> {
  const signal = AbortSignal.timeout(testMs)
  const rig = await openRig({ images: await testImages(), signal })
  const { engine, installation, sample: { desired, controller } } = rig
  const [instance] = desired.instances
  const [member] = instance?.members ?? []
  const [host] = desired.hosts
  const { endpoint } = desired
  assert.ok(instance !== undefined && member !== undefined && host !== undefined && endpoint !== null)
  const names = resourceNames(installation)
  const blueprints = rig.blueprinter.blueprints(desired)
  const apply = async (action: Action): Promise<void> => { await rig.executor.apply(action, desired, signal) }
  const base = { hostId: host.id, databaseId: desired.database.id }
  const network = { kind: 'createNetwork', hostId: host.id, name: names.network(desired.project.id), subnet: desired.networks[0]?.subnet ?? '', projectId: desired.project.id } as const
  const volume = { kind: 'createDataVolume', ...base, memberId: member.id, instanceId: instance.id, name: names.dataVolume(member.id), bytes: desired.database.storageBytes } as const

  const found = (blueprint: Blueprint | undefined): Blueprint => {
    assert.ok(blueprint !== undefined)
    return blueprint
  }
  const memberBlueprint = (): Blueprint => found(blueprints.members.get(member.id))
  const proxyBlueprint = (): Blueprint => found(blueprints.proxies.get(`${endpoint.id}/0`))

  return {
    installation, engine, desired, host, member, controller, signal, apply, memberBlueprint, proxyBlueprint,
    unprepared: 'default administrative connection database',
    certificate: (purpose) => {
      const pair = desired.certificates.get(certificateKey(purpose, purpose === 'member' ? member.id : purpose === 'agent' ? instance.id : endpoint.id))
      assert.ok(pair !== undefined)
      return pair
    },
    startMember: async () => {
      await apply(network)
      await apply(volume)
      await apply({ kind: 'createContainer', blueprint: memberBlueprint() })
      await until(engine, memberBlueprint().name, ['pg_isready', '-q', '-h', '/run/postgresql'], signal)
    },
    startProxy: async () => {
      await apply(network)
      await apply({ kind: 'createContainer', blueprint: proxyBlueprint() })
      await until(engine, proxyBlueprint().name, ['test', '-S', '/run/haproxy/admin.sock'], signal)
    },
    silentServer: async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return { server, port: (server.address() as AddressInfo).port }
    },
    sweep: () => rig.sweep(),
  }
}

async function until(engine: EngineClient, name: string, test: readonly string[], signal: AbortSignal): Promise<void> {
  const limit = performance.now() + 30_000
  while ((await engine.exec(name, test, {}, signal)).exitCode !== 0) {
    if (performance.now() > limit) assert.fail(`${name} is not ready within 30 s; its log: ${await engine.logs(name, { tail: 30 }, signal)}`)
    await sleep(100)
  }
}
