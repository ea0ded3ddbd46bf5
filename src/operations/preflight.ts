/** What stands in the way of an upgrade, a rollback or a downgrade, all of it at once. Pure: from what is desired, seen, and what the serving server said when it was asked. */
import { z } from 'zod'
import { instanceWith } from '../domain/desired.ts'
import type { PlanInput } from '../domain/part.ts'
import { engineOf, type Primary } from '../domain/reading.ts'
import { percentUsed, usedShare } from '../domain/storage.ts'
import { tiers } from '../domain/tiers.ts'

/** As `surveySource` notes it. Names are of the customer's database; lists are cut off. */
export const surveySchema = z.object({
  serverVersion: z.number(),
  longestTransactionSeconds: z.number(),
  preparedTransactions: z.number(),
  logicalSlots: z.array(z.string()),
  subscriptions: z.array(z.string()),
  unloggedTables: z.array(z.string()),
  missingExtensions: z.array(z.string()),
  /** Its image has the programs that are needed: of a standalone to fence and stop it, of a cluster to copy it. */
  canBeFenced: z.boolean(),
})
export type Survey = z.output<typeof surveySchema>

/** Of an operation: what was found, and whether it was looked for again before clients are moved. */
export const surveyNotes = {
  survey: surveySchema.optional(),
  surveyedAgain: z.boolean().default(false),
}

export interface Finding {
  readonly code: string
  readonly message: string
  readonly next: string
}

export interface Findings {
  /** Nothing is begun while there is one. */
  readonly blockers: readonly Finding[]
  readonly warnings: readonly Finding[]
}

const longTransactionSeconds = 60
/** A copy grows while it catches up. */
const fullestShare = 0.9
const majorVersion = 17

export function findings(input: PlanInput, primary: Primary, survey: Survey): Findings {
  return {
    blockers: [...entitlement(input), ...protection(input), ...contents(survey), ...room(input, primary)].filter((one) => one !== null),
    warnings: [...activity(survey), ...spread(input)].filter((one) => one !== null),
  }
}

/** Of a cluster, by what its leader said. */
export function downgradeFindings(input: PlanInput, leader: Primary, survey: Survey): Findings {
  return {
    blockers: [...protection(input), ...copyable(survey), ...carried(survey, 'the server'), ...room(input, leader)].filter((one) => one !== null),
    warnings: activity(survey).filter((one) => one !== null),
  }
}

/** `missing`: for the former server to take over, now. Backups and the like are no reason to keep anybody from going back. */
export function rollbackFindings(survey: Survey, missing: string | null): Findings {
  return {
    blockers: [unless(missing === null, 'NotReady', `There is no way back now: it needs ${missing ?? 'nothing'}.`, 'The conditions of the database say what is done about it.'), ...carried(survey, 'the former server')].filter((one) => one !== null),
    warnings: activity(survey).filter((one) => one !== null),
  }
}

type Found = readonly (Finding | null)[]

function unless(isFine: boolean, code: string, message: string, next: string): Finding | null {
  return isFine ? null : { code, message, next }
}

function entitlement({ desired: { team, database } }: PlanInput): Found {
  return [
    unless(team.haEnabled, 'HaNotEnabled', `High availability is not turned on for the team ${team.name}.`, `An admin of the team turns it on: holdfast ha on --team ${team.id}.`),
    unless(tiers[database.tier].topologies.includes('ha'), 'TierNotHa', `The tier ${database.tier} has no high availability.`, 'Change to the tier standard or pro first.'),
  ]
}

/** What the database could be brought back from, should all else fail. */
function protection({ desired: { database } }: PlanInput): Found {
  const isTrue = (type: string): boolean => database.conditions.some((condition) => condition.type === type && condition.status === 'true')
  return [
    unless(isTrue('Ready'), 'NotReady', 'The database does not take connections through its endpoint now.', 'Look at its conditions, and wait until Ready is true.'),
    unless(isTrue('BackupsHealthy'), 'BackupsNotHealthy', 'There is no backup that was read back and is recent.', 'Wait for the first backup, or request one; the condition BackupsHealthy says more.'),
  ]
}

function contents(survey: Survey): Found {
  const { serverVersion, canBeFenced, preparedTransactions, missingExtensions } = survey
  return [
    unless(Math.floor(serverVersion / 10_000) === majorVersion, 'ServerVersion', `The server is of version ${serverVersion}; members of a cluster are of ${majorVersion}.`, `Upgrade the server to PostgreSQL ${majorVersion} first.`),
    unless(canBeFenced, 'ImageTooOld', 'The image of the server is from before upgrades were possible.', 'Restore its latest backup as a highly available database instead.'),
    unless(preparedTransactions === 0, 'PreparedTransactions', `${preparedTransactions} prepared transactions are open; a cluster has none.`, 'Commit them or roll them back.'),
    ...carried(survey, 'the cluster'),
    unless(missingExtensions.length === 0, 'MissingExtensions', `The members' image has no ${missingExtensions.join(', ')}.`, 'Drop these extensions first.'),
  ]
}

/** What a physical copy leaves out. */
function carried({ logicalSlots, unloggedTables }: Survey, target: string): Found {
  return [
    unless(logicalSlots.length === 0, 'LogicalSlots', `The logical replication slots ${logicalSlots.join(', ')} would not be on ${target}.`, 'Drop them, and make them anew afterwards.'),
    unless(unloggedTables.length === 0, 'UnloggedTables', `The rows of unlogged tables are not copied to ${target}: ${unloggedTables.join(', ')}.`, 'Make them logged (ALTER TABLE … SET LOGGED), or drop them.'),
  ]
}

function copyable({ canBeFenced }: Survey): Found {
  return [unless(canBeFenced, 'ImageTooOld', 'The image of the cluster is from before downgrades were possible.', 'Restore its latest backup as a database of one server instead.')]
}

function room({ desired, observed }: PlanInput, { postgres }: Primary): Found {
  const share = usedShare(postgres) ?? 0
  const unseen = desired.hosts.filter(({ id }) => !engineOf(observed, id).known).map(({ name }) => name)
  return [
    unless(share < fullestShare, 'StorageFull', `The data volume is ${percentUsed(postgres)} % full.`, 'Choose more storage or delete data first.'),
    unless(unseen.length === 0, 'HostUnreachable', `The host ${unseen.join(', ')} cannot be seen.`, 'Look at the host; its condition is unknown meanwhile.'),
  ]
}

function activity({ longestTransactionSeconds, subscriptions }: Survey): Found {
  return [
    unless(longestTransactionSeconds < longTransactionSeconds, 'LongTransaction', `A transaction has been open for ${Math.round(longestTransactionSeconds)} s: it would be cut off.`, 'Let it end before clients are moved, or accept that it is rolled back.'),
    unless(subscriptions.length === 0, 'Subscriptions', `The subscriptions ${subscriptions.join(', ')} pause for the move.`, 'Nothing has to be done; their publishers keep WAL meanwhile.'),
  ]
}

/** Where the members will be is known once they have their places. */
function spread({ desired }: PlanInput): Found {
  const hosts = new Set(instanceWith(desired, 'preparing')?.members.map(({ hostId }) => hostId))
  return [unless(hosts.size !== 1, 'OneHost', 'All members would be on one host: the loss of a member is survived, that of the host is not.', 'Add hosts for that.')]
}
