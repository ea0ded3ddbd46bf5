/** The committed document and the client's types are what the routes say. Made anew by `npm run openapi`. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import openapiTypes, { COMMENT_HEADER, astToString } from 'openapi-typescript'
import { z } from 'zod'
import { documentText } from '../../src/api/document.ts'

const fileOf = (path: string): Promise<string> => readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')

test('docs/openapi.json is what the routes say', async () => {
  assert.equal(await fileOf('docs/openapi.json'), await documentText())
})

test("the client's types are what docs/openapi.json says", async () => {
  const ast = await openapiTypes(await fileOf('docs/openapi.json'), { rootTypes: true, rootTypesNoSchemaPrefix: true, rootTypesKeepCasing: true })
  assert.equal(await fileOf('src/client/schema.ts'), `${COMMENT_HEADER}${astToString(ast)}`)
})

const document = z.object({
  openapi: z.string(),
  paths: z.record(z.string(), z.record(z.string(), z.object({
    summary: z.string().min(5),
    security: z.array(z.unknown()).optional(),
    requestBody: z.object({ content: z.record(z.string(), z.object({ schema: z.unknown() })) }).optional(),
    responses: z.record(z.string(), z.unknown()),
  }))),
})

test('every operation says what it does, and only the public ones do without a token', async () => {
  const { openapi, paths } = document.parse(JSON.parse(await documentText()))
  assert.match(openapi, /^3\.1\./)
  const open = Object.entries(paths).filter(([, methods]) => Object.values(methods).some(({ security }) => security?.length === 0))
  assert.deepEqual(open.map(([path]) => path), ['/healthz', '/readyz', '/v1/ca.pem'])
})

test('every object that a request may hold is closed to unknown fields', async () => {
  const { paths } = document.parse(JSON.parse(await documentText()))
  const bodies = Object.values(paths).flatMap((methods) => Object.values(methods)).flatMap(({ requestBody }) => Object.values(requestBody?.content ?? {}))
  assert.ok(bodies.length > 8)
  for (const { schema } of bodies) for (const one of branchesOf(schema)) assert.partialDeepStrictEqual(one, { type: 'object', additionalProperties: false })
})

/** One of several, or the schema itself. */
function branchesOf(schema: unknown): readonly unknown[] {
  const union = z.object({ oneOf: z.array(z.unknown()).min(2) }).safeParse(schema)
  return union.success ? union.data.oneOf : [schema]
}
