/**
 * What the guard knew when it judged. Plain JSON: a verdict is stored with its evidence, and a test draws it again from what was stored.
 * Moments are told as ages in milliseconds, so that judging needs no clock. What could not be looked at is unknown, never absent.
 */
import { z } from 'zod'

/** How long somebody has not answered, and how many questions went unanswered one after the other. */
const unanswered = { forMs: z.number(), rounds: z.int() }

/**
 * `answers`: whatever came back, an error too. `refuses`: its address refuses connections, or a kept one was broken: the host lives,
 * nobody listens there. `silent`: questions were asked and nothing came back within their limit.
 */
const probeSchema = z.discriminatedUnion('seen', [
  z.object({ seen: z.literal('never') }).readonly(),
  z.object({ seen: z.literal('answers'), agoMs: z.number() }).readonly(),
  z.object({ seen: z.literal('refuses'), ...unanswered }).readonly(),
  z.object({ seen: z.literal('silent'), ...unanswered }).readonly(),
])

const stateSchema = z.enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead', 'gone'])

/** What the engine says of the one container, asked by its id. `gone`: the engine knows neither this id nor another of its name. */
const containerSchema = z.discriminatedUnion('known', [
  z.object({
    known: z.literal(true),
    id: z.string(),
    /** Of the run that is meant, ISO; null before its first. */
    startedAt: z.string().nullable(),
    state: stateSchema,
    /** How the engine said so: when it was asked, or by an event of its own that no answer has followed yet. */
    by: z.enum(['answer', 'event']).default('answer'),
    /** For how long it is known to be in this state. */
    forMs: z.number(),
  }).readonly(),
  z.object({ known: z.literal(false), reason: z.string(), forMs: z.number() }).readonly(),
])

/** What a member's PostgreSQL last said of itself, in answer to a query. */
const saidSchema = z.object({
  agoMs: z.number(),
  inRecovery: z.boolean(),
  /** Since its WAL receiver last heard from the one it follows; null: it follows nobody. */
  heardMs: z.number().nullable(),
  /** By name of each standby that streams from it: since its last answer. */
  repliesMs: z.record(z.string(), z.number()),
}).readonly()

const memberSchema = z.object({
  memberId: z.string(),
  /** As Patroni, etcd and `synchronous_standby_names` call it. */
  name: z.string(),
  container: containerSchema,
  /** Patroni's REST API. */
  patroni: probeSchema,
  /** Queries of PostgreSQL on a session that is kept. */
  query: probeSchema,
  /** New connections to PostgreSQL. */
  connect: probeSchema,
  said: saidSchema.nullable(),
}).readonly()

const keysSchema = z.discriminatedUnion('known', [
  z.object({
    known: z.literal(true),
    agoMs: z.number(),
    leader: z.object({
      name: z.string(),
      modRevision: z.int(),
      /** Whole seconds, rounded down; null: not asked, or ended. An election of etcd refills it. */
      leaseSeconds: z.int().nullable(),
      grantedSeconds: z.int().nullable(),
    }).readonly().nullable(),
    sync: z.object({
      /** As it stands there, to be put again unchanged. */
      value: z.string(),
      modRevision: z.int(),
      leader: z.string().nullable(),
      standbys: z.array(z.string()).readonly(),
    }).readonly().nullable(),
    /** `strict`: every name in `/sync` has to confirm a commit. `quorum`: any of them. `other`: neither can be relied on. */
    mode: z.enum(['strict', 'quorum', 'other']),
    /** Patroni's maintenance mode: an operator has the say. */
    paused: z.boolean(),
    /** Paused by the controller, to move clients away from its leader: that it is stopped then is no trouble. */
    moving: z.boolean().default(false),
  }).readonly(),
  z.object({ known: z.literal(false), reason: z.string(), forMs: z.number() }).readonly(),
])

export const evidenceSchema = z.object({
  at: z.string(),
  instanceId: z.string(),
  guard: z.object({
    /** By how much our own timers were late in the last rounds: a guard that was not running cannot tell that others were not. */
    lateMs: z.number(),
    /** Since it began to watch this cluster, or was last found to have slept. */
    awakeMs: z.number(),
  }).readonly(),
  keys: keysSchema,
  members: z.array(memberSchema).readonly(),
}).readonly()

export type Evidence = z.infer<typeof evidenceSchema>
export type MemberEvidence = z.infer<typeof memberSchema>
export type ContainerEvidence = z.infer<typeof containerSchema>
export type ProbeEvidence = z.infer<typeof probeSchema>
export type KeysEvidence = z.infer<typeof keysSchema>
export type KnownKeys = Extract<KeysEvidence, { known: true }>
export type MemberSaid = z.infer<typeof saidSchema>
