/**
 * What an image is built from: templates/images/<name>.Dockerfile and all files below templates/images/<name>, which are the
 * build's context. Modes, owners and times are made the same everywhere, so that two checkouts give one image.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { pack } from 'tar-stream'

export interface InputFile {
  /** Below the context. */
  readonly path: string
  readonly executable: boolean
  readonly content: Buffer
}

export interface ImageInputs {
  readonly name: string
  readonly dockerfile: Buffer
  readonly files: readonly InputFile[]
}

export const baseImage = 'debian:trixie-slim'
export const dockerfileName = 'Dockerfile'

const templates = fileURLToPath(new URL('../../templates/images', import.meta.url))
const revisionDigits = 12

export async function readImageInputs(name: string, directory = templates): Promise<ImageInputs> {
  const context = join(directory, name)
  const entries = await readdir(context, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    // An image may consist of its Dockerfile alone.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort()
  return {
    name,
    dockerfile: await readFile(join(directory, `${name}.Dockerfile`)),
    files: await Promise.all(paths.map(async (path) => ({
      path: relative(context, path),
      executable: ((await stat(path)).mode & 0o100) !== 0,
      content: await readFile(path),
    }))),
  }
}

/** Another base, file, name or mode gives another revision. Lengths keep neighbouring parts apart. */
export function revisionOf({ dockerfile, files }: ImageInputs, baseId: string): string {
  const hash = createHash('sha256')
  const add = (part: string | Buffer): void => {
    hash.update(`${Buffer.byteLength(part)}:`).update(part)
  }
  add(baseId)
  add(dockerfile)
  for (const file of files) {
    add(file.path)
    add(file.executable ? 'x' : '-')
    add(file.content)
  }
  return hash.digest('hex').slice(0, revisionDigits)
}

export async function contextOf({ dockerfile, files }: ImageInputs): Promise<Buffer> {
  const archive = pack()
  const owner = { uid: 0, gid: 0, mtime: new Date(0) }
  archive.entry({ ...owner, name: dockerfileName, mode: 0o644 }, dockerfile)
  for (const name of directoriesOf(files)) archive.entry({ ...owner, name, type: 'directory', mode: 0o755 })
  for (const file of files) archive.entry({ ...owner, name: file.path, mode: file.executable ? 0o755 : 0o644 }, file.content)
  archive.finalize()
  return buffer(archive)
}

/** Every directory that holds something, parents first. */
function directoriesOf(files: readonly InputFile[]): string[] {
  const directories = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/').slice(0, -1)
    parts.forEach((_part, depth) => directories.add(parts.slice(0, depth + 1).join('/')))
  }
  return [...directories].sort()
}
