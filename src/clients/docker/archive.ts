/**
 * Files as the tar archives that the engine unpacks into a volume. Everything belongs to the user `postgres` of every image;
 * nothing is ever changed in ownership from inside a container.
 */
import { posix } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import type { MountedVolume, RenderedFile } from '../../domain/blueprint.ts'

/** uid and gid of `postgres` in every image. */
export const postgresId = 5432

export interface Archive {
  /** The mount that it is unpacked into. */
  readonly path: string
  readonly tar: Buffer
}

/** One archive for each mount that gets files. Throws when a file lies outside all of them: the root file system is read-only. */
export async function archivesFor(mounts: readonly MountedVolume[], files: readonly RenderedFile[]): Promise<Archive[]> {
  const byMount = Map.groupBy(files, (file) => mountOf(mounts, file.path))
  return Promise.all([...byMount].map(async ([path, inside]) => ({ path, tar: await tarOf(path, inside) })))
}

function mountOf(mounts: readonly MountedVolume[], path: string): string {
  const holding = mounts.filter((mount) => path.startsWith(`${mount.path}/`)).toSorted((a, b) => b.path.length - a.path.length)
  const [deepest] = holding
  if (deepest === undefined) throw new Error(`file ${path} lies in none of the mounted volumes`)
  return deepest.path
}

async function tarOf(mountPath: string, files: readonly RenderedFile[]): Promise<Buffer> {
  const archive = pack()
  const owner = { uid: postgresId, gid: postgresId, uname: '', gname: '' }
  const relative = files.map((file) => ({ ...file, name: posix.relative(mountPath, file.path) }))
  for (const name of parentsOf(relative.map((file) => file.name))) archive.entry({ ...owner, name, type: 'directory', mode: 0o700 })
  for (const file of relative) archive.entry({ ...owner, name: file.name, mode: file.mode }, file.content)
  archive.finalize()
  return buffer(archive)
}

/** Directories to be made below the mount, parents first. */
function parentsOf(names: readonly string[]): string[] {
  const parents = new Set<string>()
  for (const name of names) {
    const parts = name.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth += 1) parents.add(`${parts.slice(0, depth).join('/')}/`)
  }
  return [...parents].toSorted((a, b) => a.length - b.length)
}
