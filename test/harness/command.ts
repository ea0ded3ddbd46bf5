/** Runs the product's own command line as a process, with the settings of a test's installation and none of the developer's. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export const root = join(import.meta.dirname, '..', '..')

/** `npm run demo` and the like, without npm. */
export async function holdfast(args: readonly string[], settings: Readonly<Record<string, string>>, timeoutMs: number): Promise<Outcome> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: root, env: { ...foreignEnvironment(), ...settings }, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs,
  })
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [code, stdout, stderr] = await Promise.all([closed, text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

/** The last line of standard output, as every command promises it with --json. */
export function answerIn({ stdout }: Outcome): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}

function foreignEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_') && name !== 'NODE_TEST_CONTEXT'))
}
