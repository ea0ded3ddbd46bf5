/** Runs the machine's own `openssl` on certificates, as an independent judge of what the authority makes. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const openSslTimeoutMs = 20_000

/** A sentence for `test({ skip })`, or false where openssl is installed. */
export const withoutOpenSsl: string | false = await run('openssl', ['version']).then(
  () => false as const,
  () => 'openssl is not installed',
)

export interface Verdict {
  readonly accepted: boolean
  readonly text: string
}

/** `openssl` with `args`, in which `{name}` stands for the path of the file of that name. */
export async function openSsl(args: readonly string[], files: Readonly<Record<string, string>>): Promise<Verdict> {
  const directory = await mkdtemp(join(tmpdir(), 'hf-pki-'))
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content, { mode: 0o600 })
    const paths = args.map((arg) => arg.replace(/^\{(.+)\}$/, (_, name: string) => join(directory, name)))
    const { stdout, stderr } = await run('openssl', paths, { timeout: openSslTimeoutMs })
    return { accepted: true, text: stdout + stderr }
  } catch (error) {
    return { accepted: false, text: String(error) }
  } finally {
    await rm(directory, { recursive: true })
  }
}
