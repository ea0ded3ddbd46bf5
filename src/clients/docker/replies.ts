/** Replies of the engine, parsed: only the fields we use, in our words. API 1.41 and newer. */
import { z } from 'zod'
import type { ContainerState } from '../../domain/observed.ts'

export interface ContainerListed {
  readonly id: string
  readonly name: string
  readonly state: ContainerState
  readonly labels: Readonly<Record<string, string>>
  readonly image: string
  readonly createdAt: Date
  /** The engine's sentence, such as `Exited (1) 5 seconds ago`. */
  readonly status: string
  readonly ports: readonly { readonly containerPort: number; readonly hostPort: number; readonly address: string }[]
}

export interface ContainerDetails {
  readonly id: string
  readonly name: string
  readonly state: ContainerState
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** Of the last run; meaningless while it runs. */
  readonly exitCode: number
  readonly oomKilled: boolean
  /** Null before the first start. */
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** Why the last start failed, empty when it did not. */
  readonly error: string
  readonly restartCount: number
}

export interface VolumeDetails {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
}

export interface NetworkDetails {
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly subnets: readonly string[]
}

const stateSchema = z.enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'])
const labelsSchema = z.record(z.string(), z.string()).nullish().transform((labels) => labels ?? {})
const nameSchema = z.string().transform((name) => name.replace(/^\//, ''))
/** The engine writes year 1 for "never". */
const timeSchema = z.string().transform((text) => (text.startsWith('0001-') ? null : new Date(text)))

const portSchema = z
  .object({ IP: z.string().optional(), PrivatePort: z.int(), PublicPort: z.int().optional() })
  .transform(({ IP, PrivatePort, PublicPort }) =>
    PublicPort === undefined ? [] : [{ containerPort: PrivatePort, hostPort: PublicPort, address: IP ?? '' }])

export const containerListSchema = z.array(
  z
    .object({
      Id: z.string(), Names: z.array(nameSchema).nullable(), Image: z.string(), Created: z.number(), State: stateSchema,
      Status: z.string(), Labels: labelsSchema, Ports: z.array(portSchema).nullish(),
    })
    .transform((seen): ContainerListed => ({
      id: seen.Id,
      name: seen.Names?.[0] ?? '',
      state: seen.State,
      labels: seen.Labels,
      image: seen.Image,
      createdAt: new Date(seen.Created * 1000),
      status: seen.Status,
      ports: (seen.Ports ?? []).flat(),
    })),
)

export const containerSchema = z
  .object({
    Id: z.string(),
    Name: nameSchema,
    Created: z.string().transform((text) => new Date(text)),
    RestartCount: z.int(),
    State: z.object({
      Status: stateSchema, ExitCode: z.int(), OOMKilled: z.boolean(), StartedAt: timeSchema, FinishedAt: timeSchema, Error: z.string(),
    }),
    Config: z.object({ Labels: labelsSchema }),
  })
  .transform((seen): ContainerDetails => ({
    id: seen.Id,
    name: seen.Name,
    state: seen.State.Status,
    labels: seen.Config.Labels,
    createdAt: seen.Created,
    exitCode: seen.State.ExitCode,
    oomKilled: seen.State.OOMKilled,
    startedAt: seen.State.StartedAt,
    finishedAt: seen.State.FinishedAt,
    error: seen.State.Error,
    restartCount: seen.RestartCount,
  }))

export const volumeSchema = z
  .object({ Name: z.string(), Labels: labelsSchema, Options: labelsSchema })
  .transform((seen): VolumeDetails => ({ name: seen.Name, labels: seen.Labels, options: seen.Options }))

export const volumeListSchema = z
  .object({ Volumes: z.array(volumeSchema).nullish() })
  .transform(({ Volumes }) => Volumes ?? [])

const subnetsSchema = z
  .object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() })
  .transform(({ Config }) => (Config ?? []).flatMap(({ Subnet }) => (Subnet === undefined ? [] : [Subnet])))

export const networkSchema = z
  .object({ Id: z.string(), Name: z.string(), Labels: labelsSchema, IPAM: subnetsSchema })
  .transform((seen): NetworkDetails => ({ id: seen.Id, name: seen.Name, labels: seen.Labels, subnets: seen.IPAM }))

export const networkListSchema = z.array(networkSchema)
export const idSchema = z.object({ Id: z.string() }).transform(({ Id }) => Id)
export const exitSchema = z.object({ StatusCode: z.int() }).transform(({ StatusCode }) => StatusCode)
export const execSchema = z.object({ Running: z.boolean(), ExitCode: z.int().nullable() })
export const versionSchema = z
  .object({ Version: z.string(), ApiVersion: z.string() })
  .transform(({ Version, ApiVersion }) => ({ version: Version, apiVersion: ApiVersion }))
