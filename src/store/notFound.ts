/** One sentence for everything that is not there. */
import { HoldfastError } from '../domain/errors.ts'

export function notFound(noun: string, id: string): HoldfastError {
  return new HoldfastError('NotFound', `There is no ${noun} ${id}.`, { next: 'Look at the list for the right id.' })
}

export function found<T>(value: T | undefined, noun: string, id: string): T {
  if (value === undefined) throw notFound(noun, id)
  return value
}
