/** A command that asks the API: connects, asks, shows the answer, hangs up. */
import { Command } from 'commander'
import { z } from 'zod'
import type { HoldfastClient } from '../client/client.ts'
import { connect, connectionOptions } from './connection.ts'
import { show } from './terminal.ts'
import type { Shown, Terminal } from './terminal.ts'
import { WrongUsage } from './usage.ts'

export interface Surroundings {
  readonly terminal: Terminal
  readonly environment: NodeJS.ProcessEnv
}

const everywhere = connectionOptions.extend({ json: z.boolean().default(false) })

export interface ApiCommand<I extends z.ZodType> {
  /** Name and operands as commander writes them: `create <projectId> <name>`. Operands are camelCase. */
  readonly usage: string
  readonly about: string
  /** Flag and description. */
  readonly options?: readonly (readonly [flag: string, about: string])[]
  /** Operands and options by name. */
  readonly input: I
  readonly ask: (client: HoldfastClient, input: z.output<I>) => Promise<Shown>
}

export function apiCommand<I extends z.ZodType>(surroundings: Surroundings, spec: ApiCommand<I>): Command {
  const [name = '', ...operands] = spec.usage.split(' ')
  const command = new Command(name).description(spec.about)
  for (const operand of operands) command.argument(operand)
  for (const [flag, about] of spec.options ?? []) command.option(flag, about)
  return command.action(async () => {
    const given = givenTo(command)
    const { json, ...connection } = parse(everywhere, given)
    const input = parse(spec.input, given)
    const client = await connect(connection, surroundings.environment)
    try {
      show(surroundings.terminal, json, await spec.ask(client, input))
    } finally {
      await client.close()
    }
  })
}

/** Several commands under one word. */
export function group(name: string, about: string, commands: readonly Command[]): Command {
  const parent = new Command(name).description(about)
  for (const command of commands) parent.addCommand(command)
  return parent
}

/** Options, those of the program included, and operands, all by name. */
export function givenTo(command: Command): Readonly<Record<string, unknown>> {
  const operands = command.registeredArguments.map((argument, index): [string, unknown] => [argument.name(), command.processedArgs[index]])
  return { ...command.optsWithGlobals(), ...Object.fromEntries(operands) }
}

/** Throws `WrongUsage` with every mistake. */
export function parse<T extends z.ZodType>(schema: T, given: unknown): z.output<T> {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const mistakes = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new WrongUsage(`${mistakes.join('; ')}.`, 'See --help of this command.')
}
