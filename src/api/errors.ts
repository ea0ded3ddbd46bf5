/**
 * One way out for every error: whatever was thrown becomes a HoldfastError, and that becomes the answer. What we did not
 * foresee says nothing of its inside to the caller; the log has it under the request's id.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { HoldfastError, isHoldfastError } from '../domain/errors.ts'
import type { ErrorCode } from '../domain/errors.ts'
import type { Problem } from './schemas/problem.ts'

const openApiHint = 'Compare the request with /v1/openapi.json.'

type Asked = Pick<FastifyRequest, 'id' | 'log'>

export function answerError(error: unknown, request: Asked, reply: FastifyReply): void {
  const known = asHoldfastError(error)
  if (known.status >= 500) request.log.error({ err: error, code: known.code }, 'request failed')
  else request.log.info({ code: known.code }, 'request refused')
  void reply.code(known.status).header('x-request-id', request.id).type('application/json; charset=utf-8').send(problemOf(known, request.id))
}

export function answerUnknownRoute(request: FastifyRequest): never {
  throw new HoldfastError('NotFound', `There is no ${request.method} ${pathOf(request.url)} here.`, { next: 'See /v1/openapi.json for what there is.' })
}

export function problemOf(error: HoldfastError, requestId: string): Problem {
  return {
    error: {
      code: error.code,
      message: error.message,
      next: error.next ?? usualNext(error),
      ...(Object.keys(error.facts).length > 0 ? { facts: error.facts } : {}),
      requestId,
    },
  }
}

function asHoldfastError(error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const mistakes = error.validation.flatMap((issue) => mistakesOf(error.validationContext ?? 'body', issue))
    return new HoldfastError('InvalidRequest', `The request has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}: ${mistakes.map(sentenceOf).join('; ')}.`, {
      next: openApiHint,
      facts: { mistakes },
    })
  }
  const framework = fromFramework(error)
  return framework ?? new HoldfastError('Internal', 'Something went wrong on our side.', { cause: error, next: 'Try again; if it stays, tell the operator the request id.' })
}

interface Mistake {
  /** Where: `body.name`, `querystring.limit`. */
  readonly field: string
  readonly message: string
}

interface Issue {
  readonly instancePath: string
  readonly message?: string | undefined
  readonly params: Readonly<Record<string, unknown>>
}

function mistakesOf(part: string, issue: Issue): Mistake[] {
  const path = issue.instancePath.split('/').filter((step) => step !== '')
  const field = [part, ...path].join('.')
  const unknownFields = issue.params['keys']
  if (Array.isArray(unknownFields)) return unknownFields.map((key) => ({ field: `${field}.${String(key)}`, message: 'is not a field we know' }))
  return [{ field, message: issue.message ?? 'is not valid' }]
}

function sentenceOf(mistake: Mistake): string {
  return `${mistake.field}: ${mistake.message}`
}

/** Errors that fastify raises before a handler runs: https://fastify.dev/docs/latest/Reference/Errors/. */
const frameworkCodes: Readonly<Record<string, { readonly code: ErrorCode; readonly message: string; readonly next: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'PayloadTooLarge', message: 'The body is larger than we take.', next: 'Send at most 256 KiB.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'InvalidRequest', message: 'The body is not announced as JSON.', next: 'Send it with content-type: application/json.' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'InvalidRequest', message: 'The body is announced as JSON and empty.', next: 'Send {} or leave the content-type out.' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'InvalidRequest', message: 'The body is not valid JSON.', next: 'Mend the JSON.' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: 'InvalidRequest', message: 'The body is not as long as content-length says.', next: 'Send the right content-length.' },
  FST_ERR_BAD_URL: { code: 'InvalidRequest', message: 'The path is not a valid URL.', next: openApiHint },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'InvalidRequest', message: 'A part of the path is too long.', next: openApiHint },
}

function fromFramework(error: unknown): HoldfastError | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const row = frameworkCodes[code]
  if (row !== undefined) return new HoldfastError(row.code, row.message, { next: row.next })
  // JSON that would write to prototypes is refused by the parser with an error of no code of its own
  const status = 'statusCode' in error ? error.statusCode : undefined
  if (status === 400 || status === 415) return new HoldfastError('InvalidRequest', 'The request could not be read.', { next: openApiHint })
  return undefined
}

function usualNext(error: HoldfastError): string {
  return error.status >= 500 ? 'Try again shortly; if it stays, tell the operator the request id.' : 'Change the request.'
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]?.slice(0, 200) ?? url
}
