/** The embedded etcd on the real engine: formed of three, and what is done about a member that stopped, was lost, or is outdated. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { z } from 'zod'
import { endpointOf } from '../../src/bootstrap/etcd.ts'
import { dataVolume } from '../../src/bootstrap/etcd/blueprint.ts'
import type { EtcdClient } from '../../src/clients/etcd.ts'
import { isHoldfastError } from '../../src/domain/errors.ts'
import { label } from '../../src/domain/names.ts'
import { createAuthority, trustBundle } from '../../src/pki/authority.ts'
import { allServe, keepEtcdLeaderOff, seeMembers } from '../../src/executor/etcdUpkeep.ts'
import { endings } from '../harness/endings.ts'
import { openEtcd, type TestEtcd } from '../harness/etcd.ts'
import { NotYet, until } from '../harness/waiting.ts'

const installation = 'hftetcdmembers'
const signal = (): AbortSignal => AbortSignal.timeout(60_000)

const inspectionSchema = z.object({
  Config: z.object({ User: z.string(), Env: z.array(z.string()).nullable(), Cmd: z.array(z.string()).nullable() }),
  HostConfig: z.object({
    ReadonlyRootfs: z.boolean(), Privileged: z.boolean(), CapAdd: z.array(z.string()).nullable(), CapDrop: z.array(z.string()), SecurityOpt: z.array(z.string()),
    PidsLimit: z.number(), Memory: z.number(), RestartPolicy: z.object({ Name: z.string() }),
  }),
})

describe('the embedded etcd', () => {
  const ending = endings()
  let etcd: TestEtcd
  let client: EtcdClient
  let formedInMs: number

  before(async () => {
    const began = performance.now()
    etcd = await openEtcd(ending, installation, 3)
    formedInMs = performance.now() - began
    client = etcd.client()
    await keep('from the beginning')
  })

  const startedAt = (): Promise<readonly string[]> => Promise.all([1, 2, 3].map(async (ordinal) =>
    (await etcd.engine.inspectContainer(etcd.container(ordinal), signal())).startedAt?.toISOString() ?? 'never'))
  const members = async (): Promise<readonly string[]> => (await client.cluster.members(signal())).map(({ name }) => name).sort()
  const idOf = async (name: string): Promise<string> => (await client.cluster.members(signal())).find((one) => one.name === name)?.id ?? 'none'
  const serves = async (): Promise<boolean> => allServe(await seeMembers(client, etcd.access.endpoints, signal()))
  /** An answer may be lost with the member that was to give it; the same value written again is the same. */
  const keep = (value: string): Promise<true> => until(`"${value}" to be written`, async () => {
    const written = await client.put('/kept', value, signal())
    return written.outcome === 'done' ? true : new NotYet(written.reason)
  })
  const kept = async (): Promise<string | undefined> => (await client.get('/kept', signal())).entry?.value
  /** The member that was killed may have been the leader. */
  const keptAfterElection = (): Promise<string | undefined> => until('the others to elect', async () => {
    try {
      return await kept() ?? 'nothing'
    } catch (error) {
      if (isHoldfastError(error) && error.code === 'EtcdUnavailable') return new NotYet(error.message)
      throw error
    }
  }, { limitMs: 10_000, everyMs: 50 })

  test('is formed of three members that want a login', async (t) => {
    t.diagnostic(`formed in ${Math.round(formedInMs)} ms`)
    assert.deepEqual(await members(), ['etcd-1', 'etcd-2', 'etcd-3'])
    assert.ok(await serves())
    assert.deepEqual(await client.auth.users(signal()), ['root'])
    assert.equal(await client.auth.enable(signal()), 'present')
  })

  test('runs as nobody special: no root, no capability, a read-only root, and nothing secret in its environment or arguments', async () => {
    const { Config, HostConfig } = inspectionSchema.parse(await etcd.docker.getContainer(etcd.container(1)).inspect())
    assert.equal(Config.User, '5432:5432')
    assert.deepEqual([HostConfig.ReadonlyRootfs, HostConfig.Privileged, HostConfig.CapDrop, HostConfig.CapAdd ?? []], [true, false, ['ALL'], []])
    assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges'])
    assert.ok(HostConfig.PidsLimit > 0 && HostConfig.Memory > 0)
    assert.equal(HostConfig.RestartPolicy.Name, 'always')
    assert.doesNotMatch([...Config.Env ?? [], ...Config.Cmd ?? []].join(), /password|secret/i)
    const { stdout } = await etcd.engine.exec(etcd.container(1), ['sh', '-c', 'tr "\\0" " " < /proc/1/cmdline; stat -c "%a %U" /conf/tls/server.key'], {}, signal())
    assert.match(stdout, /^\/usr\/bin\/etcd .*--peer-client-cert-auth=true .*600 postgres\n$/s)
    assert.doesNotMatch(stdout, new RegExp(etcd.access.password.reveal()))
  })

  test('is left alone by a second run', async () => {
    const before = await startedAt()
    await etcd.ensure()
    assert.deepEqual(await startedAt(), before)
  })

  test('has a member that was killed started again, with what it knew', async () => {
    const id = await idOf('etcd-2')
    await etcd.engine.killContainer(etcd.container(2), 'SIGKILL', signal())
    assert.equal(await keptAfterElection(), 'from the beginning')
    await etcd.ensure()
    assert.ok(await serves())
    assert.equal(await idOf('etcd-2'), id)
  })

  test('takes a renewed certificate without a restart', async () => {
    const before = await startedAt()
    const [first, ...others] = etcd.members
    assert.ok(first !== undefined)
    const renewed = await etcd.renewed(first)
    await etcd.ensure({ members: [renewed, ...others] })
    assert.deepEqual(await startedAt(), before)
    const { address: host, clientPort: port } = first.place
    const shown = await new Promise<string>((resolve, reject) => {
      const { certificatePem: cert, keyPem } = etcd.access
      const socket = connect({ host, port, servername: endpointOf(first.place).serverName, ca: etcd.authority.certPem, cert: cert ?? '', key: keyPem?.reveal() ?? '' })
      socket.once('error', reject)
      socket.once('secureConnect', () => {
        resolve(socket.getPeerX509Certificate()?.toString().trim() ?? 'none')
        socket.destroy()
      })
    })
    assert.equal(shown, renewed.certificate.certificatePem.trim())
  })

  test('has a member whose volume is lost replaced by a new one, and loses nothing', async () => {
    const id = await idOf('etcd-3')
    await etcd.engine.removeContainer(etcd.container(3), { force: true }, signal())
    await etcd.engine.removeVolume(dataVolume(installation, 3), signal())
    await keep('while one was away')
    await etcd.ensure()
    assert.deepEqual(await members(), ['etcd-1', 'etcd-2', 'etcd-3'])
    assert.notEqual(await idOf('etcd-3'), id)
    const third = etcd.members[2]
    assert.ok(third !== undefined)
    assert.equal((await etcd.client({ endpoints: [endpointOf(third.place)] }).get('/kept', signal())).entry?.value, 'while one was away')
    await etcd.ensure()
  })

  test('is restarted one by one when another authority is trusted, and serves all the while', async () => {
    const next = await createAuthority({ commonName: 'next', validityMs: 3_600_000, now: new Date() })
    const trustPem = trustBundle([etcd.authority, next])
    const before = await startedAt()
    const watching = new AbortController()
    const asked = askAllTheTime(etcd.client(), watching.signal)
    await etcd.ensure({ members: etcd.members.map((member) => ({ ...member, settings: { ...member.settings, trustPem } })) })
    watching.abort()
    const { answers, longestMs } = await asked
    assert.ok(answers > 10 && longestMs < 5_000, `${answers} answers, once nothing for ${longestMs} ms`)
    assert.ok((await startedAt()).every((at, index) => at !== before[index]))
    const pair = await etcd.clientCertificate('somebody', next)
    assert.equal((await etcd.client(pair).get('/kept', signal())).entry?.value, 'while one was away')
  })

  test('hands its leadership to a member of another host, where there is one', async () => {
    const places = etcd.members.map(({ place }, at) => ({ endpoint: endpointOf(place), hostId: `host-${at}` }))
    const leaderHost = async (): Promise<string> => {
      const seen = await seeMembers(client, etcd.access.endpoints, signal())
      return `host-${seen.findIndex(({ status }) => status !== null && status.leaderId === status.memberId)}`
    }
    const busy = await leaderHost()
    assert.equal(await keepEtcdLeaderOff(client, places, new Set([busy]), signal()), true)
    assert.notEqual(await leaderHost(), busy)
    const settled = await leaderHost()
    assert.equal(await keepEtcdLeaderOff(client, places, new Set([busy]), signal()), true)
    assert.equal(await leaderHost(), settled)
    assert.equal(await keepEtcdLeaderOff(client, places, new Set(['host-0', 'host-1', 'host-2']), signal()), false)
  })

  test('refuses to start on an emptied volume, and is never begun anew when most of it is lost', async () => {
    for (const ordinal of [1, 2]) {
      await etcd.engine.removeContainer(etcd.container(ordinal), { force: true }, signal())
      await etcd.engine.removeVolume(dataVolume(installation, ordinal), signal())
    }
    // somebody made the volume of the first anew, which is as good as none
    await etcd.engine.createVolume({ name: dataVolume(installation, 1), labels: { [label.installation]: installation, [label.kind]: 'volume' } }, signal())
    await assert.rejects(etcd.ensure(), { code: 'DataMissing', message: /etcd-1 and hftetcdmembers-etcd-2/ })
    const log = await until('the first refuses', async () => {
      const text = await etcd.engine.logs(etcd.container(1), { tail: 5 }, signal())
      return text.includes('DataMissing') ? text : new NotYet(text)
    })
    assert.match(log, /nobody asked this member to join/)
    assert.equal(await etcd.engine.findContainer(etcd.container(2), signal()), null)
  })
})

/** Reads, one after the other, until it is told to stop; the longest time between two answers. */
async function askAllTheTime(client: EtcdClient, until: AbortSignal): Promise<{ readonly answers: number; readonly longestMs: number }> {
  let answers = 0
  let longestMs = 0
  let last = performance.now()
  while (!until.aborted) {
    const answered = await client.get('/kept', AbortSignal.timeout(10_000)).then(() => true, () => false)
    if (!answered) continue
    answers += 1
    longestMs = Math.max(longestMs, performance.now() - last)
    last = performance.now()
  }
  return { answers, longestMs }
}
