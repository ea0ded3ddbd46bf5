/**
 * Stories of the simulated world, told once without a fault and then again with one at every step: each must come to the
 * same end, and nothing may be made twice on the way.
 */
import assert from 'node:assert/strict'
import { label } from '../../src/domain/names.ts'
import { createWorld, type Fault, type World } from './world.ts'

export interface Story {
  /** Sets the scene; no fault happens here. Gives what changes something, one act after the other. */
  readonly acts: (world: World) => Promise<readonly ((world: World) => void)[]>
}

export interface Told {
  readonly world: World
  readonly end: string
  /** What each step was, counted from the first act. */
  readonly steps: readonly string[]
}

/** Tells a story, with a fault at one step of it, counted from its first act. */
export async function tell(story: Story, step = -1, fault: Fault = 'none'): Promise<Told> {
  const world = createWorld()
  const acts = await story.acts(world)
  const steps: string[] = []
  world.faultAt = (_at, what) => (steps.push(what) === step + 1 ? fault : 'none')
  for (const act of acts) {
    act(world)
    await world.settle()
  }
  world.faultAt = () => 'none'
  await world.settle()
  return { world, end: endOf(world), steps }
}

/** Faults that make a difference at such a step: only what is made and then started can be left half-made. */
export function faultsAt(what: string): readonly Fault[] {
  const halves: readonly Fault[] = what === 'createContainer' || what === 'startJob' ? ['dieHalfway'] : []
  return ['dieBefore', 'dieAfter', 'twice', 'fail', 'loseReply', ...halves]
}

/** Everything that lasts, without times and without what counts tries. */
export function endOf(world: World): string {
  const databases = [...world.databases.values()].map(({ database, instances, endpoint, backups, credentials, certificates, operation }) => ({
    name: database.name, finalizers: database.finalizers, names: database.extraCertificateNames, operation,
    conditions: database.conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
    instances: instances.map(({ role, initialisedAt, members }) => ({ role, initialised: initialisedAt !== null, volumes: members.map((member) => member.volumeBytes) })),
    endpoint: endpoint?.hostName,
    backups: backups.map(({ kind, trigger, state }) => `${kind} ${trigger} ${state}`),
    credentials: credentials.map(({ roleName, endedAt }) => `${roleName} ${endedAt === null ? 'lives' : 'ended'}`),
    certificates: [...certificates].map(([key, { commonName, names, authorityId }]) => [key, commonName, names, authorityId]).sort(),
  }))
  const { engine } = world
  const containers = [...engine.containers.values()].map(({ name, state, blueprint: { labels } }) => `${name} ${state} of ${labels[label.database]}`).sort()
  const volumes = [...engine.volumes.values()].map(({ name, data, bytes }) => `${name} ${bytes} ${JSON.stringify(data?.roles)} ${data?.rows} ${data?.isReadOnly}`).sort()
  const bucket = [...engine.bucket].map(([instance, sets]) => `${instance} ${sets.size}`).sort()
  return JSON.stringify({ databases, containers, volumes, networks: [...engine.networks.keys()], bucket, ended: world.ended.map(({ outcome, code }) => [outcome, code]) }, null, 1)
}

/** No cluster was initialised twice and no job ran twice under one name. */
export function assertNothingTwice({ engine }: World): void {
  const twice = [...engine.made].filter(([what, times]) => times > 1 && (what.startsWith('initdb') || what.includes('-job-')))
  assert.deepEqual(twice, [])
}
