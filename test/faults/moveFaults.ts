/** What is done to the parts of a database while it is moved: to whichever of its two instances, and to what both stand on. */
import { label, internalName } from '../../src/domain/names.ts'
import { readPatroni } from '../../src/clients/patroni.ts'
import { aroundFaults } from '../harness/ha/aroundFaults.ts'
import type { Strike } from '../harness/ha/fault.ts'
import type { Site } from '../harness/ha/site.ts'
import { memberPlaces } from '../harness/ha/customer.ts'
import { serverPlaceOf, type MemberPlace, type ServerPlace } from '../harness/ha/members.ts'
import { NotYet, until } from '../harness/waiting.ts'
import type { Moved } from './moves.ts'

/** Who is who before a move begins. */
export interface Scene {
  readonly server: ServerPlace
  readonly members: readonly MemberPlace[]
  /** Of the cluster, also while it follows. */
  readonly leader: MemberPlace
}

/** Gives what takes it back; what mends itself needs nothing. */
export type MoveFault = (moved: Moved, scene: Scene) => Promise<() => Promise<void>>

const limitMs = 60_000
const nothingToEnd = (): Promise<void> => Promise.resolve()

export async function lookAround({ site, customer }: Moved): Promise<Scene> {
  const [server, members] = [await serverPlaceOf(site, customer.id), await memberPlaces(site, customer.id)]
  const leader = await until('one member to lead the cluster, or to follow for it', async () => {
    const roles = await Promise.all(members.map((member) => roleOf(member).catch((error: unknown) => String(error))))
    return members.find((_, index) => roles[index] === 'leader' || roles[index] === 'standbyLeader') ?? new NotYet(roles.join('; '))
  }, { limitMs })
  return { server, members, leader }

  async function roleOf({ host, memberId, ports }: MemberPlace): Promise<string> {
    const { certificatePem, keyPem } = site.superuser
    const address = { host, port: ports.patroni, serverName: internalName.member(memberId), ca: site.ca, cert: certificatePem, key: keyPem }
    return (await readPatroni(address, AbortSignal.timeout(limitMs))).role
  }
}

export const moveFaults = {
  serverKilled: killed(({ server }) => server),
  leaderKilled: killed(({ leader }) => leader),
  etcdMemberLost: around('etcdMemberLost'),
  etcdLeaderLost: around('etcdLeaderLost'),
  proxiesLost: around('bothProxiesLost'),
  objectStoreLost: async ({ site }) => {
    const [store] = await site.engine.listContainers({ [label.installation]: site.config.installation, [label.kind]: 'objectStore' }, AbortSignal.timeout(limitMs))
    if (store === undefined) throw new Error('the installation has no object store of its own')
    await site.docker.getContainer(store.id).kill()
    return async () => {
      if ((await site.engine.findContainer(store.id, AbortSignal.timeout(limitMs)))?.state !== 'running') await site.engine.startContainer(store.id, AbortSignal.timeout(limitMs))
    }
  },
  serverDiskFull: diskFull(({ server }) => server),
  leaderDiskFull: diskFull(({ leader }) => leader),
} as const satisfies Record<string, MoveFault>

/** What a file system keeps for its own books. */
const leastBytes = 256 * 1024
/** Everything but 4 MiB at once, which writes nothing, and then to the wall. Not of a volume without a limit: the host's disk is not ours to fill. */
const fillScript = `
  set -- $(df --output=size,avail -B1 /data | tail -n 1)
  [ "$1" -le $((64 << 30)) ] || { echo "the data volume has $1 bytes: no limit is enforced" >&2; exit 1; }
  [ "$2" -le $((4 << 20)) ] || fallocate -l $(($2 - (4 << 20))) /data/filler
  dd if=/dev/zero of=/data/filler.rest bs=4k 2>/dev/null
  df --output=avail -B1 /data | tail -n 1`

function diskFull(of: (scene: Scene) => ServerPlace): MoveFault {
  return async ({ site }, scene) => {
    const { container } = of(scene)
    const { exitCode, stdout, stderr } = await site.engine.exec(container, ['sh', '-c', fillScript], {}, AbortSignal.timeout(limitMs))
    if (exitCode !== 0 || Number(stdout) >= leastBytes) {
      await freed(site, container)
      throw new Error(`the disk of ${container} was not filled: ${stdout} ${stderr}`)
    }
    return () => freed(site, container)
  }
}

/** A container may be on its way up. */
async function freed({ engine }: Site, container: string): Promise<void> {
  await until(`the disk of ${container} to be freed`, async () => {
    const removed = await engine.exec(container, ['rm', '-f', '/data/filler', '/data/filler.rest'], {}, AbortSignal.timeout(limitMs)).catch(String)
    if (typeof removed === 'string') return new NotYet(removed)
    return removed.exitCode === 0 || new NotYet(removed.stderr)
  }, { limitMs })
}

function killed(of: (scene: Scene) => ServerPlace): MoveFault {
  return async ({ site }, scene) => {
    // one that a move has stopped just now has ended already
    await site.engine.killContainer(of(scene).container, 'SIGKILL', AbortSignal.timeout(limitMs))
    return nothingToEnd
  }
}

/** Of these, none looks at who leads. */
function around(kind: 'etcdMemberLost' | 'etcdLeaderLost' | 'bothProxiesLost'): MoveFault {
  return async ({ rig, site, customer }, { members, leader }) => {
    const strike: Strike = aroundFaults[kind]
    const fault = await strike({ site, databaseId: customer.id, places: members, controller: rig.controller }, { leader, replicas: [] })
    return () => fault.end()
  }
}
