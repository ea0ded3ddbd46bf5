/** Hosts: known by the id in their marker volume; names and addresses may change. */
import { z } from 'zod'
import type { Host } from '../domain/desired.ts'
import type { ControlDatabase } from './transaction.ts'

export interface HostStore {
  /** Inserts, or brings name, engine and addresses up to date; the state of a known host stays. */
  register(host: Omit<Host, 'state'>): Promise<Host>
  list(): Promise<readonly Host[]>
  /** Those that may be given something new. */
  active(): Promise<readonly Host[]>
}

export const hostRow: z.ZodType<Host> = z.object({
  id: z.string(),
  name: z.string(),
  engine: z.string(),
  privateAddress: z.string(),
  publicAddress: z.string(),
  state: z.enum(['active', 'draining', 'lost']),
})

export const hostColumns = `h.id, h.name, h.engine, host(h.private_address) as "privateAddress", h.public_address as "publicAddress", h.state`

export function hostStore(database: ControlDatabase): HostStore {
  return {
    register: ({ id, name, engine, privateAddress, publicAddress }) =>
      database.one(
        hostRow,
        `insert into hosts as h (id, name, engine, private_address, public_address) values ($1, $2, $3, $4, $5)
         on conflict (id) do update set name = excluded.name, engine = excluded.engine,
           private_address = excluded.private_address, public_address = excluded.public_address
         returning ${hostColumns}`,
        [id, name, engine, privateAddress, publicAddress],
      ),
    list: () => database.many(hostRow, `select ${hostColumns} from hosts h order by h.name`),
    active: () => database.many(hostRow, `select ${hostColumns} from hosts h where h.state = 'active' order by h.name`),
  }
}
