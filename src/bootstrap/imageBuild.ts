/** One build on one engine, followed to its end. */
import type Docker from 'dockerode'
import { addAbortSignal, Readable } from 'node:stream'
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'
import { contextOf, dockerfileName, type ImageInputs } from './imageInputs.ts'

export interface BuildOptions {
  readonly docker: Docker
  readonly inputs: ImageInputs
  readonly reference: string
  readonly labels: Readonly<Record<string, string>>
  readonly tell: (detail: string) => void
  readonly signal: AbortSignal
}

/** The largest image took 50 s on two cores; a slow mirror may take ten times that. */
const buildTimeoutMs = 15 * 60_000
/** What of a build's output is shown when it fails. */
const keptLines = 15

/** Errors: `ImageBuildFailed`; the caller's own abort reason. */
export async function buildImage({ docker, inputs, reference, labels, tell, signal }: BuildOptions): Promise<void> {
  signal.throwIfAborted()
  const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(buildTimeoutMs)])
  try {
    const output = await docker.buildImage(Readable.from([await contextOf(inputs)]), {
      t: reference,
      dockerfile: dockerfileName,
      labels: { ...labels },
      // Every engine from 20.10 on has the classic builder; BuildKit wants a session beside the request.
      version: '1',
      rm: true,
      forcerm: true,
      abortSignal,
    })
    await followOutput(output, abortSignal, tell)
  } catch (error) {
    signal.throwIfAborted()
    throw new HoldfastError('ImageBuildFailed', `The image ${inputs.name} could not be built`, {
      cause: error, next: 'Look at the last lines of the build, and see that the engine reaches a Debian mirror',
    })
  }
}

const lineSchema = z.object({ stream: z.string().optional(), status: z.string().optional(), error: z.string().optional() })

/** Follows the JSON lines of a build, pull or import. Rejects with the engine's error and the last lines before it. */
export async function followOutput(output: NodeJS.ReadableStream, signal: AbortSignal, tell: (detail: string) => void): Promise<void> {
  const last: string[] = []
  for await (const text of linesOf(output, signal)) {
    const line = lineSchema.safeParse(parseJson(text))
    if (!line.success) continue
    if (line.data.error !== undefined) throw new Error([...last, line.data.error].join('\n'))
    const said = (line.data.stream ?? line.data.status ?? '').trim()
    if (said === '') continue
    if (said.startsWith('Step ')) tell(said.slice(0, 100))
    last.push(said)
    if (last.length > keptLines) last.shift()
  }
}

/** The signal of a request does not end a stream that has begun, so it is given to the stream as well. */
async function* linesOf(output: NodeJS.ReadableStream, signal: AbortSignal): AsyncGenerator<string> {
  const input = addAbortSignal(signal, output instanceof Readable ? output : new Readable().wrap(output))
  input.setEncoding('utf8')
  let rest = ''
  for await (const chunk of input) {
    const lines = `${rest}${String(chunk)}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
