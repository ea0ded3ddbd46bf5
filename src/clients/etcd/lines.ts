/** Answers of the gateway that come one JSON object a line: `{"result": …}`, or `{"error": …}` once. */
import type { Readable } from 'node:stream'
import { HoldfastError } from '../../domain/errors.ts'
import { z } from 'zod'
import { parseJson, refusalIn, refused } from './refusals.ts'

const lineSchema = z.object({ result: z.unknown().optional(), error: z.unknown().optional() })

/** Errors: etcd's refusal, `Internal`, what the stream fails with. Ends when the stream does. */
export async function* resultsIn<T>(body: Readable, endpoint: string, path: string, schema: z.ZodType<T>): AsyncGenerator<T, void, undefined> {
  let rest: Buffer[] = []
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('an answer is bytes')
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      yield resultOf(Buffer.concat([...rest, chunk.subarray(from, end)]), endpoint, path, schema)
      rest = []
      from = end + 1
    }
    if (from < chunk.length) rest.push(chunk.subarray(from))
  }
}

function resultOf<T>(line: Buffer, endpoint: string, path: string, schema: z.ZodType<T>): T {
  const parsed = lineSchema.safeParse(parseJson(line.toString('utf8')))
  if (parsed.success && parsed.data.error !== undefined) throw refused(endpoint, path, refusalIn(200, JSON.stringify(parsed.data.error)))
  const result = schema.safeParse(parsed.data?.result)
  if (result.success) return result.data
  throw new HoldfastError('Internal', `etcd on ${endpoint} answered ${path} in a shape that is not known: ${z.prettifyError(result.error)}`)
}
