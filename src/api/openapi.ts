/** The OpenAPI 3.1 document, made from the same zod schemas that check requests and answers. */
import swagger from '@fastify/swagger'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import type { Api } from './instance.ts'

export const documentPath = '/v1/openapi.json'

/** Of the interface, not of the program: rises when something is added within /v1. */
const apiVersion = '1.1.0'

export async function describeApi(app: Api): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Holdfast',
        version: apiVersion,
        description: 'Managed PostgreSQL databases of many teams. Field names do not change within /v1; new fields may appear.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: (input) => {
      const { schema, url } = jsonSchemaTransform(input)
      // public routes are marked in one place, their configuration
      return { schema: input.route.config?.public === true ? { ...schema, security: [] } : schema, url }
    },
    transformObject: (document) => withoutUnused(jsonSchemaTransformObject(document)),
  })
  app.get(documentPath, { config: { public: true }, schema: { hide: true } }, () => app.swagger())
}

/** Every shared schema is offered once as input and once as output; what nothing refers to would only confuse. */
function withoutUnused(document: ReturnType<typeof jsonSchemaTransformObject>): ReturnType<typeof jsonSchemaTransformObject> {
  if (!('components' in document)) return document
  const { components } = document
  if (components?.schemas === undefined) return document
  const used = referencesFrom(JSON.stringify({ ...document, components: {} }), components.schemas)
  const schemas = Object.fromEntries(Object.entries(components.schemas).filter(([id]) => used.has(id)))
  return Object.assign(document, { components: { ...components, schemas } })
}

function referencesFrom(text: string, schemas: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const used = new Set<string>()
  const open = [text]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const [, id = ''] of next.matchAll(/"#\/components\/schemas\/([A-Za-z]+)"/g)) {
      if (used.has(id)) continue
      used.add(id)
      open.push(JSON.stringify(schemas[id] ?? {}))
    }
  }
  return used
}
