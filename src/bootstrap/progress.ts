/** How the parts of a start tell what they are doing: one line each, never a log. */
export interface Progress {
  /** A step id of the commands' contract: `engine`, `images`, `objectStore`, … */
  readonly step: string
  readonly detail: string
}

export type Report = (progress: Progress) => void
