/** The one shape of every error answer. */
import { z } from 'zod'
import { errorStatus } from '../../domain/errors.ts'

const codes = z.string().describe(`Stable; one of ${Object.keys(errorStatus).join(', ')}`)

export const problem = z
  .object({
    error: z.object({
      code: codes,
      message: z.string().describe('What happened, one sentence'),
      next: z.string().describe('What to do about it, one sentence'),
      facts: z.record(z.string(), z.unknown()).optional(),
      requestId: z.string().describe('Also in the header x-request-id and in our logs'),
    }),
  })
  .meta({ id: 'Problem' })

export type Problem = z.output<typeof problem>

/** What any route may answer besides its own; 4xx and 5xx have the same shape. */
export const problems = { '4xx': problem, '5xx': problem } as const
