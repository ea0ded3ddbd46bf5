import { startRig, actor } from './rig.ts'
import { importAuthority, keyPairOf } from './certificateRig.ts'
const ends: (() => Promise<void>)[] = []
const rig = await startRig({ after: (e) => void ends.push(e) })
const { store } = rig
const authorityId = await importAuthority(store)
const ids: string[] = []
const N = Number(process.argv[2] ?? 200)
console.time('create'); const c0 = process.cpuUsage()
for (let i = 0; i < N; i++) ids.push((await rig.create(`b-${i}`, { portRanges: { public: { from: 10000, to: 29999 }, internal: { from: 30000, to: 39999 } } })).id)
console.timeEnd('create'); const c1 = process.cpuUsage(c0); console.log('create cpu ms each', (c1.user + c1.system) / 1000 / N)
for (const id of ids.slice(0, 20)) {
  const inst = await rig.initialise(id)
  const d = (await store.desired.load(id))!
  const l = await rig.lease(id)
  const kp = { ...keyPairOf(authorityId, 'x'), certificatePem: 'x'.repeat(900) }
  await store.records.apply(l, [], [{ purpose: 'member', ownerId: d.instances[0]!.members[0]!.id, keyPair: kp }, { purpose: 'agent', ownerId: inst, keyPair: kp }, { purpose: 'endpointServer', ownerId: d.endpoint!.id, keyPair: kp }, { purpose: 'endpointClient', ownerId: d.endpoint!.id, keyPair: kp }])
  for (let k = 0; k < 14; k++) await rig.pool.query(`insert into backups (id, database_id, instance_id, kind, trigger, state, requested_at, label, verified_at, repository_bytes, finished_at) values (gen_random_uuid(), $1, $2, 'full', 'scheduled', 'verified', now() - make_interval(days => $3), 'l', now(), 1, now())`, [id, inst, k])
  await store.queue.release(l, { dueInMs: 0 })
}
await rig.pool.query('analyze')
const measure = async (name: string, n: number, work: (i: number) => Promise<unknown>) => {
  for (let i = 0; i < 60; i++) await work(i)
  const times: number[] = []; const before = process.cpuUsage(); 
  for (let i = 0; i < n; i++) { const t = performance.now(); await work(i); times.push(performance.now() - t) }
  const cpu = process.cpuUsage(before); times.sort((a, b) => a - b)
  console.log(name, 'median ms', times[n >> 1]!.toFixed(2), 'p95', times[Math.floor(n * .95)]!.toFixed(2), 'cpu ms/call', ((cpu.user + cpu.system) / 1000 / n).toFixed(2))
}
await measure('select 1', 500, () => store.ping())
await measure('desired.load', 1000, (i) => store.desired.load(ids[i % 20]!))
const { desiredStatement } = await import('../../src/store/desiredStatement.ts')
console.log((await rig.pool.query(`explain (analyze, timing off) ${desiredStatement.replaceAll('$1', `'${ids[0]}'`)}`)).rows.map((r: any) => r['QUERY PLAN']).filter((l: string) => /Time|Seq Scan/.test(l)).join('\n'))
await measure('view', 300, (i) => store.databases.view(ids[i % 20]!))
await measure('list 50', 40, () => store.databases.list({ limit: 50 }))
await measure('claim+release (settled)', 300, async () => { const [l] = await store.queue.claim({ holder: 'a', leaseSeconds: 60, limit: 1 }); await store.queue.release(l!, { dueInMs: 0, settledGeneration: 1 }) })
await measure('claim+load+release', 300, async () => { const [l] = await store.queue.claim({ holder: 'a', leaseSeconds: 60, limit: 1 }); await store.desired.load(l!.databaseId); await store.queue.release(l!, { dueInMs: 0, settledGeneration: 1 }) })
await measure('nextDue', 300, () => store.queue.nextDueInMs())
for (const e of ends.reverse()) await e()
