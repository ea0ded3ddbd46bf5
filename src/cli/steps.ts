/**
 * A list of steps with times, shown while they run, on standard error: standard output belongs to the answer.
 * The first step that fails ends the list; what it threw is in its result.
 */
import { Listr, ListrLogger, ProcessOutput, type ListrTask } from 'listr2'
import { describeError, isHoldfastError } from '../domain/errors.ts'

export interface Step<Context> {
  /** As in the commands' contract. */
  readonly id: string
  readonly title: string
  /** `say` replaces the line under the step; the returned text stays behind the title. */
  readonly run: (context: Context, say: (line: string) => void) => Promise<string | undefined>
}

export interface StepResult {
  readonly id: string
  readonly ok: boolean
  readonly ms: number
  readonly error: string | null
}

export interface StepsOutcome {
  readonly results: readonly StepResult[]
  /** Of the failed step. */
  readonly error: unknown
}

export async function runSteps<Context>(steps: readonly Step<Context>[], context: Context): Promise<StepsOutcome> {
  const results: StepResult[] = []
  let failure: unknown
  const tasks = steps.map((step): ListrTask => ({
    title: step.title,
    async task(_unused, task) {
      const started = performance.now()
      const ms = (): number => Math.round(performance.now() - started)
      try {
        const remark = await step.run(context, saidOnce((line) => { task.output = line }))
        results.push({ id: step.id, ok: true, ms: ms(), error: null })
        task.title = `${step.title}${remark === undefined ? '' : `: ${remark}`} (${seconds(ms())})`
      } catch (error) {
        failure = error
        results.push({ id: step.id, ok: false, ms: ms(), error: tell(error) })
        throw error
      }
    },
  }))
  const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) })
  const renderer = process.stderr.isTTY ? 'default' as const : 'simple' as const
  const list = new Listr(tasks, { concurrent: false, exitOnError: true, renderer, rendererOptions: { logger }, registerSignalListeners: false })
  // what failed is in the results; the list only renders it
  await list.run().catch(() => undefined)
  return { results, error: failure }
}

/** Whoever waits says what for at each look; without a terminal every saying is another line. */
function saidOnce(say: (line: string) => void): (line: string) => void {
  let last: string | undefined
  return (line) => {
    if (line === last) return
    last = line
    say(line)
  }
}

/** What a person needs of an error: the sentence, and what to do next. */
export function tell(error: unknown): string {
  const next = isHoldfastError(error) && error.next !== undefined ? ` Next: ${error.next}` : ''
  return describeError(error) + next
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
