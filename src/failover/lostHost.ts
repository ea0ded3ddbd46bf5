/** The procedure for lost hosts with everything it acts through: see `hostLost.ts` for its order. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../domain/errors.ts'
import type { ActorOptions } from './actor.ts'
import { block, unblock } from './block.ts'
import type { WatchedCluster, WatchedMember } from './cluster.ts'
import type { Evidence } from './evidence.ts'
import { runHostLost, type HostLostOutcome } from './hostLost.ts'
import { releaseLeader } from './release.ts'
import { judge, keysToRelease, type Verdict } from './verdict.ts'

const pollMs = 20

export async function loseHost(verdict: Extract<Verdict, { kind: 'hostLost' }>, { cluster, world, look, forgetKeys, signal }: ActorOptions): Promise<HostLostOutcome> {
  const lost = memberOf(cluster, verdict.leader)
  const addresses = [lost.address]
  const at = (name: string): { readonly engine: ReturnType<typeof world.engineOf>; readonly pod: string } => {
    const member = memberOf(cluster, name)
    // its own address behind the block would cut it off from everybody
    if (addresses.includes(member.address)) throw new Error(`${name} is reached at the address of the lost host`)
    return { engine: world.engineOf(member.hostId), pod: member.podName }
  }
  return runHostLost(verdict.others, {
    read: async () => {
      const evidence = await look()
      const again = judge(evidence)
      return again.kind === 'hostLost' && again.leader === verdict.leader && evidence.keys.known ? keysToRelease(evidence.keys) : null
    },
    block: async (name, limit) => {
      const { engine, pod } = at(name)
      await block(engine, pod, addresses, limit)
    },
    see: async (name, limit) => {
      for (let evidence = await look(); !isDetached(evidence, name); evidence = await look()) await sleep(pollMs, undefined, { signal: limit })
    },
    release: async (keys, limit) => {
      const outcome = await releaseLeader(world.etcd, cluster.prefix, keys, limit)
      // read before, they would show the lost leader still leading: as if it had taken its key back
      forgetKeys()
      return outcome
    },
    awaitWritable: async (limit) => {
      while (!limit.aborted) {
        const { keys, members } = await look()
        const owner = keys.known ? keys.leader?.name : undefined
        // it took its key back: it lives, and goes on leading
        if (owner === verdict.leader) return null
        if (members.some(({ name, said }) => name === owner && said !== null && !said.inRecovery)) return owner ?? null
        await sleep(pollMs, undefined, { signal: limit }).catch(() => undefined)
      }
      return null
    },
    unblock: async (name, limit) => {
      const { engine, pod } = at(name)
      await unblock(engine, pod, addresses, limit)
    },
    describe: describeError,
  }, signal)
}

/** Asked after the block, it says itself that it follows nobody. */
function isDetached({ members }: Evidence, name: string): boolean {
  const said = members.find((member) => member.name === name)?.said ?? null
  return said !== null && said.agoMs <= detachedAgoMs && said.inRecovery && said.heardMs === null
}

const detachedAgoMs = 100

function memberOf({ members }: WatchedCluster, name: string): WatchedMember {
  const member = members.find((one) => one.name === name)
  if (member === undefined) throw new Error(`${name} is no member of this cluster`)
  return member
}
