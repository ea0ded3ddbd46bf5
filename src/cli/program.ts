/** `holdfast <command>`: all commands, what they have in common, and how their errors become exit codes. */
import { Command, CommanderError } from 'commander'
import { z } from 'zod'
import { ApiProblem } from '../client/problem.ts'
import type { Surroundings } from './apiCommand.ts'
import { backupCommands, credentialCommands, restoreCommand, takeoverCommand } from './commands/backups.ts'
import { clusterCommands, haCommand } from './commands/clusters.ts'
import { databaseCommands } from './commands/databases.ts'
import { explainCommand, failoversCommand } from './commands/explain.ts'
import { operationCommands } from './commands/operations.ts'
import { projectCommands, teamCommands, tokenCommands } from './commands/tenants.ts'
import { caCommand, eventsCommand, reconcileCommand } from './commands/watching.ts'
import { localCommands } from './localCommand.ts'
import { showFailure } from './terminal.ts'
import type { Failing } from './terminal.ts'
import { Unfit, WrongUsage, exitCode } from './usage.ts'

/** Runs one command and says with which code the process should end. Never throws. */
export async function runProgram(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = exitCode.ok
  const program = buildProgram(surroundings, (ended) => { code = ended })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    // help and version end by throwing, and are no failure
    if (error instanceof CommanderError && error.exitCode === 0) return exitCode.ok
    const { failing, exit } = explain(error)
    showFailure(surroundings.terminal, args.includes('--json'), failing)
    return exit
  }
}

function buildProgram(surroundings: Surroundings, finish: (code: number) => void): Command {
  const program = new Command('holdfast')
    .description("Managed PostgreSQL on one's own machines")
    .option('--json', 'print one JSON object as the last line of stdout')
    .option('--api-url <url>', 'where the API answers')
    .option('--token-file <file>', 'file with the token')
    .option('--ca-file <file>', 'certificates to verify the API with')
    .option('--state-dir <directory>', 'where the service of this machine keeps its files')
    .option('--installation <name>', 'which installation of this machine')
  const commands = [
    ...localCommands(finish),
    teamCommands(surroundings), haCommand(surroundings), projectCommands(surroundings), databaseCommands(surroundings),
    backupCommands(surroundings), restoreCommand(surroundings), takeoverCommand(surroundings), credentialCommands(surroundings),
    ...clusterCommands(surroundings), operationCommands(surroundings), failoversCommand(surroundings), explainCommand(surroundings),
    eventsCommand(surroundings), reconcileCommand(surroundings), caCommand(surroundings), tokenCommands(surroundings),
  ]
  for (const command of commands) program.addCommand(command)
  for (const command of withDescendants(program)) silence(command, surroundings)
  return program
}

/** Commander would end the process and print by itself; both are ours to do. */
function silence(command: Command, { terminal }: Surroundings): void {
  command.exitOverride().configureOutput({ writeOut: terminal.out, writeErr: terminal.err, outputError: () => undefined })
}

function withDescendants(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withDescendants)]
}

function explain(error: unknown): { readonly failing: Failing; readonly exit: number } {
  if (error instanceof ApiProblem) return { failing: error.complaint, exit: exitCode.failed }
  if (error instanceof WrongUsage) return { failing: { code: 'WrongUsage', message: error.message, next: error.next }, exit: exitCode.wrongUsage }
  if (error instanceof Unfit) return { failing: { code: 'Unfit', message: error.message, next: error.next }, exit: exitCode.unfit }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '')
    return { failing: { code: 'WrongUsage', message: message === '(outputHelp)' ? 'A command is missing.' : message, next: 'See --help.' }, exit: exitCode.wrongUsage }
  }
  return { failing: unforeseen(error), exit: exitCode.failed }
}

/** Errors of our own carry a code and what to do next, whichever room they come from. */
function unforeseen(error: unknown): Failing {
  const message = error instanceof Error ? error.message : String(error)
  const own = z.object({ code: z.string(), next: z.string() }).safeParse(error)
  if (own.success) return { ...own.data, message }
  return { code: 'Internal', message, next: 'This should not happen: please report it with the command.' }
}
