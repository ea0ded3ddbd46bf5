/**
 * Commands that work on this machine instead of asking the API. Each is a file with `run`, loaded only when it is called:
 * asking the API must not wait for what starts engines.
 */
import { Command } from 'commander'
import { z } from 'zod'
import { givenTo, parse } from './apiCommand.ts'

export interface DemoOptions {
  readonly json: boolean
  readonly hosts: number
  /** Stop when the installation stands, before the story with databases. */
  readonly onlySetup: boolean
}

export interface UpOptions {
  readonly json: boolean
}

export interface DownOptions {
  readonly json: boolean
  readonly keepData: boolean
}

export interface ServeOptions {
  readonly json: boolean
}

export interface KeysOptions {
  readonly json: boolean
  readonly action: 'reseal' | 'list'
}

export interface ControlBackupOptions {
  readonly json: boolean
  /** File to write the newest dump to; null lists what there is. */
  readonly fetch: string | null
}

export const benches = ['failover', 'cutover', 'provision', 'reconcile', 'endpoint', 'backup', 'api', 'hosts', 'fleet'] as const

export interface BenchOptions {
  readonly bench: (typeof benches)[number]
  readonly json: boolean
  readonly runs: number | null
  readonly case: string | null
  /** A missed goal is exit code 4. */
  readonly check: boolean
}

const flag = z.boolean().default(false)
const common = z.object({ json: flag })

export function localCommands(finish: (code: number) => void): readonly Command[] {
  return [
    local(new Command('demo').description('Set up everything needed and show the main job').option('--hosts <count>', 'Docker hosts to use').option('--only-setup', 'only what is needed for it'),
      common.extend({ hosts: z.coerce.number().int().min(1).max(9).default(1), onlySetup: flag }),
      async (options) => (await import('./demo.ts')).run(options)),
    local(new Command('up').description('Start the service and what it needs'), common,
      async (options) => (await import('./up.ts')).run(options)),
    local(new Command('down').description('Remove every container, network and volume of the installation').option('--keep-data', 'keep volumes'),
      common.extend({ keepData: flag }),
      async (options) => (await import('./down.ts')).run(options)),
    local(new Command('serve').description('Run the controller in the foreground'), common,
      async (options) => (await import('./serve.ts')).run(options)),
    local(new Command('keys').description('Master keys: reseal everything to the newest, or list which are in use').argument('<action>', 'reseal, list'),
      common.extend({ action: z.enum(['reseal', 'list']) }),
      async (options) => (await import('./keys.ts')).run(options)),
    local(new Command('control-backups').description("The control database's own backups in S3").option('--fetch <file>', 'write the newest, opened, to this file'),
      common.extend({ fetch: z.string().nullable().default(null) }),
      async (options) => (await import('./controlBackups.ts')).run(options)),
    local(benchCommand(),
      common.extend({ bench: z.enum(benches), runs: z.coerce.number().int().min(1).nullable().default(null), case: z.string().nullable().default(null), check: flag }),
      async (options) => (await import('./bench.ts')).run(options)),
  ]

  function local<O extends z.ZodType>(command: Command, options: O, run: (options: z.output<O>) => Promise<number>): Command {
    return command.action(async () => finish(await run(parse(options, givenTo(command)))))
  }
}

function benchCommand(): Command {
  return new Command('bench')
    .description('Measure, and append to test/bench/results')
    .argument('<bench>', benches.join(', '))
    .option('--runs <count>', 'how often each case is measured')
    .option('--case <name>', 'this case only')
    .option('--check', 'exit with 4 when a goal is missed')
}
