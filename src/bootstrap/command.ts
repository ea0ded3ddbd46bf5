/** Programs of this machine, run with a deadline. Nothing here goes through a shell. */
import { spawn } from 'node:child_process'

export interface CommandOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly env?: Readonly<Record<string, string>>
}

export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
}

/** The last lines of what a program said are what an operator needs; a package manager says thousands. */
const keptCharacters = 2_000

/** Resolves when it ends with 0. Rejects with the caller's abort reason, else with `CommandFailed` and the end of what it said. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions): Promise<void> {
  options.signal.throwIfAborted()
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)])
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, signal })
  let said = ''
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString('utf8')).slice(-keptCharacters)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const ended = await new Promise<string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, by) => resolve(code === 0 ? null : `ended with ${code ?? by}`))
  })
  if (ended === null) return
  options.signal.throwIfAborted()
  const why = signal.aborted ? `did not end within ${options.timeoutMs} ms` : ended
  throw new CommandFailed(`${command} ${args.join(' ')} ${why}: ${said.trim()}`)
}
