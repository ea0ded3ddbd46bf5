/** What a fault is: something done to a cluster that is whole, which ends when it is taken back, by itself or by us. */
import type { Controller } from '../../faults/controller.ts'
import type { MemberPlace, Whole } from './members.ts'
import type { Site } from './site.ts'

export interface Stage {
  readonly site: Site
  readonly databaseId: string
  readonly places: readonly MemberPlace[]
  /** Null where it is not the test's to kill. */
  readonly controller: Controller | null
}

export interface Fault {
  readonly kind: string
  /** What it struck: a member's or a container's name. */
  readonly target: string
  /** Takes it back. What is gone or mended already needs nothing. */
  end(): Promise<void>
}

export type Strike = (stage: Stage, whole: Whole) => Promise<Fault>

export const nothingToEnd = (): Promise<void> => Promise.resolve()
