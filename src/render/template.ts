/**
 * Fills the files of templates/. A placeholder is {{name}}; one without a value, and a value without a placeholder, throws.
 * Values arrive encoded for the format of the file, see encode.ts. No logic in templates.
 */
import { readFileSync } from 'node:fs'
import { Encoded } from './encode.ts'

const folder = new URL('../../templates/', import.meta.url)
const cache = new Map<string, string>()

export function renderTemplate(name: string, values: Readonly<Record<string, Encoded>>): string {
  const unused = new Set(Object.keys(values))
  const text = templateText(name).replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`template ${name}: no value for {{${key}}}`)
    unused.delete(key)
    return value.text
  })
  if (unused.size > 0) throw new Error(`template ${name}: no placeholder for ${[...unused].join(', ')}`)
  return text
}

/** A part of another template: without the line that names its inputs, which are no concern of whoever reads the whole. */
export function renderPart(name: string, values: Readonly<Record<string, Encoded>>): Encoded {
  const text = renderTemplate(name, values)
  return new Encoded(text.slice(text.indexOf('\n') + 1).trimEnd())
}

/** The text of a template that takes no values, such as SQL. */
export function templateText(name: string): string {
  const known = cache.get(name)
  if (known !== undefined) return known
  const text = readFileSync(new URL(name, folder), 'utf8')
  cache.set(name, text)
  return text
}
