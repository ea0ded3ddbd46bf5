/** Users, roles and who may read and write what. Every `ensure…` and `remove…` may run twice. */
import { z } from 'zod'
import { HoldfastError } from '../../domain/errors.ts'
import type { Secret } from '../../domain/secret.ts'
import { encoded, prefixEnd } from './encoding.ts'
import { etcdRefusalOf } from './refusals.ts'
import { wrongPassword, type Session } from './session.ts'

export interface EtcdAuth {
  /** Makes the user `root` with the password of this access, which has to be his, and turns authentication on. */
  enable(signal: AbortSignal): Promise<'enabled' | 'present'>
  /** A user and a role of the same name that may read and write below `prefix` and nowhere else, with this password. */
  ensureUser(user: EtcdUser, signal: AbortSignal): Promise<void>
  /** The user, its role, and with them all that they were allowed. */
  removeUser(name: string, signal: AbortSignal): Promise<void>
  users(signal: AbortSignal): Promise<readonly string[]>
  checkPassword(name: string, password: Secret, signal: AbortSignal): Promise<boolean>
}

export interface EtcdUser {
  readonly name: string
  readonly password: Secret
  /** With its final slash. */
  readonly prefix: string
}

const nothing = z.object({})
const rolesSchema = z.object({ roles: z.array(z.string()).default([]) })
const usersSchema = z.object({ users: z.array(z.string()).default([]) })
const permissionSchema = z.object({ permType: z.string().default('READ'), key: z.string().default(''), range_end: z.string().default('') })
const roleSchema = z.object({ perm: z.array(permissionSchema).default([]) })

/** etcd's words for what is so already. */
const present: ReadonlySet<string> = new Set(['user name already exists', 'role name already exists'])
const absent: ReadonlySet<string> = new Set(['user name not found', 'role name not found'])
const root = 'root'

export function authClient(session: Session): EtcdAuth {
  const change = async (path: string, body: object, signal: AbortSignal): Promise<void> => {
    try {
      await session.manage(`/v3/auth/${path}`, body, nothing, signal)
    } catch (error) {
      const reason = etcdRefusalOf(error)?.reason
      if (reason === undefined || !(present.has(reason) || absent.has(reason))) throw error
    }
  }
  const orNull = async <T>(asked: Promise<T>): Promise<T | null> => asked.catch((error: unknown) => {
    if (absent.has(etcdRefusalOf(error)?.reason ?? '')) return null
    throw error
  })

  const ensureUser: EtcdAuth['ensureUser'] = async ({ name, password, prefix }, signal) => {
    const wanted = { permType: 'READWRITE', key: encoded(prefix), range_end: prefixEnd(prefix) }
    const isWanted = (perm: typeof wanted): boolean => perm.permType === wanted.permType && perm.key === wanted.key && perm.range_end === wanted.range_end
    const role = await orNull(session.manage('/v3/auth/role/get', { role: name }, roleSchema, signal))
    if (role === null) await change('role/add', { name }, signal)
    const held = role?.perm ?? []
    for (const { key, range_end } of held.filter((perm) => !isWanted(perm))) await change('role/revoke', { role: name, key, range_end }, signal)
    if (!held.some(isWanted)) await change('role/grant', { name, perm: wanted }, signal)
    const user = await orNull(session.manage('/v3/auth/user/get', { name }, rolesSchema, signal))
    if (user === null) await change('user/add', { name, password: password.reveal() }, signal)
    // a changed password ends the user's tokens, so it is changed only when it is another one
    else if (!(await session.authenticates(name, password, signal))) await change('user/changepw', { name, password: password.reveal() }, signal)
    if (user?.roles.includes(name) !== true) await change('user/grant', { user: name, role: name }, signal)
  }

  return {
    enable: async (signal) => {
      if (await isEnabled(session, signal)) return 'present'
      await change('user/add', { name: root, password: session.access.password.reveal() }, signal)
      await change('user/grant', { user: root, role: root }, signal)
      await change('enable', {}, signal)
      return 'enabled'
    },
    ensureUser,
    removeUser: async (name, signal) => {
      await change('user/delete', { name }, signal)
      await change('role/delete', { role: name }, signal)
    },
    users: async (signal) => (await session.manage('/v3/auth/user/list', {}, usersSchema, signal)).users,
    checkPassword: (name, password, signal) => session.authenticates(name, password, signal),
  }
}

const statusSchema = z.object({ enabled: z.boolean().default(false) })

async function isEnabled(session: Session, signal: AbortSignal): Promise<boolean> {
  try {
    return (await session.manage('/v3/auth/status', {}, statusSchema, signal)).enabled
  } catch (error) {
    if (etcdRefusalOf(error)?.reason !== wrongPassword) throw error
    throw new HoldfastError('EtcdUnavailable', `etcd does not take the password of its user ${session.access.user}`, {
      cause: error, next: 'Put back the file that holds it, from a copy of the state directory',
    })
  }
}
