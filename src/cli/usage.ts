/** Exit codes of every command, and the errors for one that was called wrongly or where it cannot work. */

export const exitCode = {
  ok: 0,
  failed: 1,
  wrongUsage: 2,
  /** The environment is unfit; one sentence says why. */
  unfit: 3,
  /** A goal was missed, with --check only. */
  goalMissed: 4,
  /** An acknowledged row was lost, or two instances acknowledged writes at once. */
  dataLost: 5,
} as const

export class WrongUsage extends Error {
  override readonly name = 'WrongUsage'
  readonly next: string

  constructor(message: string, next: string, options?: ErrorOptions) {
    super(message, options)
    this.next = next
  }
}

/** What the command needs is not there on this machine. */
export class Unfit extends Error {
  override readonly name = 'Unfit'
  readonly next: string

  constructor(message: string, next: string, options?: ErrorOptions) {
    super(message, options)
    this.next = next
  }
}
