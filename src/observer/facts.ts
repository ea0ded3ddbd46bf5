/**
 * What one engine holds of our installation, kept current by events and put right by lists. Pure: no clock, no calls.
 * Decides which of two tellings of one thing is the newer; never forgets a thing because somebody could not look.
 */
import { label } from '../domain/names.ts'
import type { ContainerSeen, ContainerState, EngineSeen, NetworkSeen, VolumeSeen } from '../domain/observed.ts'
import { Shelf } from './shelf.ts'

type Labels = Readonly<Record<string, string>>

/** One thing that changed, as an event tells it. */
export type Change =
  | { readonly kind: 'container'; readonly id: string; readonly name: string; readonly labels: Labels; readonly state: ContainerState; readonly exitCode: number | null; readonly since: Date }
  | { readonly kind: 'containerRenamed'; readonly id: string; readonly name: string }
  | { readonly kind: 'containerGone'; readonly id: string }
  | { readonly kind: 'volume'; readonly volume: VolumeSeen }
  | { readonly kind: 'volumeGone'; readonly name: string }
  | { readonly kind: 'network'; readonly network: NetworkSeen }
  | { readonly kind: 'networkGone'; readonly id: string }

export interface Listing {
  readonly containers: readonly ContainerSeen[]
  readonly volumes: readonly VolumeSeen[]
  readonly networks: readonly NetworkSeen[]
}

/** Whose things changed. A network belongs to a project, a proxy to its endpoint, everything else to a database. */
export interface Affected {
  /** Ids of databases and of endpoints. */
  readonly databases: ReadonlySet<string>
  readonly projects: ReadonlySet<string>
}

/**
 * An engine tells of a death a moment before its own list shows it (it cleans up in between), so a list that began shortly
 * after an event may still be the older telling.
 */
export const listLagMs = 2_000

export class EngineFacts {
  readonly #containers = new Shelf<ContainerSeen>()
  readonly #volumes = new Shelf<VolumeSeen>()
  readonly #networks = new Shelf<NetworkSeen>()
  /** Answers of `seenOf`, dropped when something of that database changes. */
  readonly #answers = new Map<string, EngineSeen>()

  /** `endpointId`: the endpoint that the database has now. It may have been made for another one, and taken over since. */
  seenOf(databaseId: string, projectId: string, endpointId = ''): EngineSeen {
    const key = `${databaseId}/${projectId}/${endpointId}`
    const kept = this.#answers.get(key)
    if (kept !== undefined) return kept
    const answer: EngineSeen = {
      containers: [...this.#containers.of(databaseId), ...this.#containers.of(endpointId)],
      volumes: this.#volumes.of(databaseId),
      networks: this.#networks.of(projectId),
    }
    this.#answers.set(key, answer)
    return answer
  }

  /** Every database and project that something here belongs to. */
  owners(): Affected {
    return { databases: new Set([...this.#containers.owners(), ...this.#volumes.owners()]), projects: new Set(this.#networks.owners()) }
  }

  /**
   * `at`: when the event came, in milliseconds of a clock that only goes forward and never stands still between two events;
   * the same one for `replace`. What had to be asked for after an event carries that event's time.
   */
  apply(change: Change, at: number): Affected {
    const touched = new Touched()
    switch (change.kind) {
      case 'container':
        this.#applyContainer(change, at, touched)
        break
      case 'containerRenamed': {
        const known = this.#containers.get(change.id)
        if (known !== undefined) this.#containers.put(change.id, owner(known), { ...known, name: change.name }, at, touched.databases)
        break
      }
      case 'containerGone':
        this.#containers.remove(change.id, at, touched.databases)
        break
      case 'volume':
        this.#volumes.put(change.volume.name, database(change.volume), change.volume, at, touched.databases)
        break
      case 'volumeGone':
        this.#volumes.remove(change.name, at, touched.databases)
        break
      case 'network':
        this.#networks.put(change.network.id, project(change.network), change.network, at, touched.projects)
        break
      case 'networkGone':
        this.#networks.remove(change.id, at, touched.projects)
        break
    }
    this.#drop(touched)
    return touched
  }

  /** Takes over a complete list that was asked for at `startedAt`, but for what events told since, or shortly before. */
  replace(listing: Listing, startedAt: number): Affected {
    const touched = new Touched()
    const trustEventsSince = startedAt - listLagMs
    this.#containers.replace(listing.containers.map((seen) => [seen.id, owner(seen), seen]), trustEventsSince, touched.databases, keepTold)
    this.#volumes.replace(listing.volumes.map((seen) => [seen.name, database(seen), seen]), trustEventsSince, touched.databases)
    this.#networks.replace(listing.networks.map((seen) => [seen.id, project(seen), seen]), trustEventsSince, touched.projects)
    this.#drop(touched)
    return touched
  }

  #applyContainer(change: Extract<Change, { kind: 'container' }>, at: number, touched: Touched): void {
    const known = this.#containers.get(change.id)
    const seen: ContainerSeen = {
      id: change.id,
      name: change.name,
      labels: known?.labels ?? change.labels,
      state: change.state,
      since: change.since,
      exitCode: change.exitCode ?? known?.exitCode ?? null,
    }
    this.#containers.put(change.id, owner(seen), seen, at, touched.databases)
  }

  #drop({ databases, projects }: Affected): void {
    for (const key of this.#answers.keys()) {
      const [databaseId = '', projectId = '', endpointId = ''] = key.split('/')
      if (databases.has(databaseId) || databases.has(endpointId) || projects.has(projectId)) this.#answers.delete(key)
    }
  }
}

class Touched implements Affected {
  readonly databases = new Set<string>()
  readonly projects = new Set<string>()
}

/** A list does not say since when, and the exit code only of what has ended: what was heard before still holds. */
function keepTold(known: ContainerSeen, listed: ContainerSeen): ContainerSeen {
  return {
    ...listed,
    since: known.state === listed.state ? known.since : listed.since,
    exitCode: listed.exitCode ?? known.exitCode,
  }
}

/** A proxy belongs to its endpoint: databases exchange endpoints, and labels cannot be changed. */
function owner({ labels }: { readonly labels: Labels }): string {
  return labels[label.endpoint] ?? database({ labels })
}

/** Volumes stay with the database that they were made for, those of its proxies too, whatever endpoint it has by now. */
function database({ labels }: { readonly labels: Labels }): string {
  return labels[label.database] ?? ''
}

function project({ labels }: { readonly labels: Labels }): string {
  return labels[label.project] ?? ''
}
