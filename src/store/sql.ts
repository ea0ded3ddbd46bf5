/** Statements with parsed results. Every row that comes back goes through a schema: what the code sees has the type it says. */
import { z } from 'zod'
import { HoldfastError } from '../domain/errors.ts'

export interface Sql {
  many<T>(row: z.ZodType<T>, text: string, parameters?: readonly unknown[]): Promise<T[]>
  /** The only row, or undefined where there is none. */
  maybe<T>(row: z.ZodType<T>, text: string, parameters?: readonly unknown[]): Promise<T | undefined>
  /** The only row; its absence is a broken assumption. */
  one<T>(row: z.ZodType<T>, text: string, parameters?: readonly unknown[]): Promise<T>
  /** How many rows it changed or found. */
  run(text: string, parameters?: readonly unknown[]): Promise<number>
}

export type Runner = (text: string, parameters: readonly unknown[]) => Promise<{ readonly rows: unknown[]; readonly rowCount: number | null }>

export function statements(runner: Runner): Sql {
  const many = async <T>(row: z.ZodType<T>, text: string, parameters: readonly unknown[] = []): Promise<T[]> => {
    const { rows } = await runner(text, parameters)
    return rows.map((found) => row.parse(found))
  }
  const maybe = async <T>(row: z.ZodType<T>, text: string, parameters: readonly unknown[] = []): Promise<T | undefined> => {
    const [first, ...others] = await many(row, text, parameters)
    if (others.length > 0) throw unexpectedRows(text, others.length + 1)
    return first
  }
  return {
    many,
    maybe,
    async one(row, text, parameters = []) {
      const found = await maybe(row, text, parameters)
      if (found === undefined) throw unexpectedRows(text, 0)
      return found
    },
    async run(text, parameters = []) {
      return (await runner(text, parameters)).rowCount ?? 0
    },
  }
}

/** A time from a column (a `Date`) or from inside JSON (text). */
export const time = z.coerce.date()
export const json = z.unknown()
export const facts = z.record(z.string(), z.unknown())

function unexpectedRows(text: string, count: number): HoldfastError {
  return new HoldfastError('Internal', `A statement that finds one row found ${String(count)}.`, { facts: { statement: text.slice(0, 200) } })
}
