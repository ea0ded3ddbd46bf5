/** Counts what there is of databases, wherever it can be: engine, disks, control database, object store. */
import { z } from 'zod'
import { label } from '../../src/domain/names.ts'
import type { Rig } from './rig.ts'

/** What there is, by kind; equal for two databases that were made and used alike. */
export type Census = Readonly<Record<string, number>>

const limitMs = 30_000
const disksSchema = z.object({ disks: z.array(z.object({ name: z.string() })) }).or(z.array(z.object({ name: z.string() })))
const countSchema = z.object({ count: z.coerce.number() })
const pathSchema = z.object({ repository_path: z.string() })

export async function census(rig: Rig, databaseId: string): Promise<Census> {
  const counts = new Map<string, number>()
  const add = (what: string, count = 1): void => void counts.set(what, (counts.get(what) ?? 0) + count)
  const ours = { [label.installation]: rig.service.config.installation, [label.database]: databaseId }
  const { engine } = rig.service
  for (const { labels, state } of await engine.listContainers(ours, AbortSignal.timeout(limitMs))) add(`container ${labels[label.kind]} ${state}`)
  const volumes = await engine.listVolumes(ours, AbortSignal.timeout(limitMs))
  add('volume', volumes.length)
  const disks = new Set(await disksOf(rig))
  add('disk', volumes.filter(({ name }) => disks.has(name)).length)
  await rig.control(async (pool) => {
    const count = async (what: string, text: string): Promise<void> => add(what, countSchema.parse((await pool.query(text, [databaseId])).rows[0]).count)
    await count('port', `select count(*) from ports where owner_id in (select id from endpoints where database_id = $1
                          union select m.id from members m join instances i on i.id = m.instance_id where i.database_id = $1)`)
    await count('instance', 'select count(*) from instances where database_id = $1')
    await count('backup', `select count(*) from backups where database_id = $1`)
    await count('verified backup', `select count(*) from backups where database_id = $1 and state = 'verified'`)
    const paths = z.array(pathSchema).parse((await pool.query('select repository_path from instances where database_id = $1', [databaseId])).rows)
    for (const { repository_path: path } of paths) add('set in the store', await setsAt(rig, path))
  })
  return Object.fromEntries([...counts].sort())
}

/** pgBackRest's sets: folders named after their time, beside its catalogue. */
async function setsAt({ objects, bucket }: Rig, path: string): Promise<number> {
  const prefixes = await objects.listPrefixes(bucket, `${path.slice(1)}/backup/main/`, AbortSignal.timeout(limitMs))
  return prefixes.filter((prefix) => /\/\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?\/$/.test(prefix)).length
}

/** Everything of databases that is still anywhere, by name; after the deletion of all it has to be empty. */
export async function remains(rig: Rig): Promise<readonly string[]> {
  const { engine, config } = rig.service
  const ours = { [label.installation]: config.installation }
  const signal = AbortSignal.timeout(limitMs)
  const [containers, volumes, networks, disks] = await Promise.all([
    engine.listContainers(ours, signal), engine.listVolumes(ours, signal), engine.listNetworks(ours, signal), disksOf(rig),
  ])
  const ofDatabases = [...containers, ...volumes].filter(({ labels }) => labels[label.database] !== undefined)
  const objects: string[] = []
  for await (const { key } of rig.objects.listObjects(rig.bucket, 'lineages/', signal)) objects.push(key)
  const rows = await rig.control(async (pool) => Promise.all(['databases', 'instances', 'members', 'ports', 'endpoints', 'work_items', 'project_networks'].map(async (table) => {
    const { count } = countSchema.parse((await pool.query(`select count(*) from ${table}`)).rows[0])
    return count === 0 ? [] : [`${count} rows of ${table}`]
  })))
  return [
    ...ofDatabases.map(({ name }) => name), ...networks.map(({ name }) => `network ${name}`), ...disks.map((name) => `disk ${name}`),
    ...objects.slice(0, 20).map((key) => `object ${key}`), ...rows.flat(),
  ]
}

async function disksOf({ service: { engine, config } }: Rig): Promise<readonly string[]> {
  const { stdout } = await engine.exec(`${config.installation}-disks`, ['disk', 'list'], {}, AbortSignal.timeout(limitMs))
  const parsed = disksSchema.parse(JSON.parse(stdout))
  return ('disks' in parsed ? parsed.disks : parsed).map(({ name }) => name)
}
