/**
 * What an engine that was thrown away has left in the kernel, which no namespace takes with it: loop devices and control groups.
 * Nothing is left of one that could remove its containers before.
 */
import { execFile } from 'node:child_process'
import { glob, readdir, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'

const run = promisify(execFile)
const listSchema = z.object({ loopdevices: z.array(z.object({ name: z.string(), 'back-ino': z.number(), 'back-maj:min': z.string() })) })

/** Detaches the loop devices of the images in an engine's volumes; gives their names. To be asked while the files are there. */
export async function giveBackDisks(dataRoot: string): Promise<readonly string[]> {
  const { stdout } = await run('losetup', ['--json', '--list', '--output', 'NAME,BACK-INO,BACK-MAJ:MIN'])
  // nothing is printed when there is none
  const { loopdevices } = stdout.trim() === '' ? { loopdevices: [] } : listSchema.parse(JSON.parse(stdout))
  const files: string[] = []
  // the path that a device shows is that of a container which is gone: only the file itself can be compared
  for await (const path of glob('volumes/*/_data/*.img', { cwd: dataRoot })) files.push(await identityOf(join(dataRoot, path)))
  const left = loopdevices.filter((device) => files.includes(`${device['back-maj:min'].trim()} ${device['back-ino']}`)).map(({ name }) => name)
  for (const name of left) await run('losetup', ['--detach', name])
  return left
}

async function identityOf(path: string): Promise<string> {
  const { dev, ino } = await stat(path)
  return `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)} ${ino}`
}

/** The groups of this name, which are empty: nothing of the engine runs any more. A start that it was killed in leaves one behind. */
export async function removeGroups(name: string): Promise<void> {
  // one hierarchy, or one for each controller
  for await (const path of glob([name, `*/${name}`], { cwd: '/sys/fs/cgroup' })) {
    const group = join('/sys/fs/cgroup', path)
    const containers = (await readdir(group, { withFileTypes: true })).filter((entry) => entry.isDirectory())
    for (const { name: container } of containers) await rmdir(join(group, container))
    await rmdir(group)
  }
}
