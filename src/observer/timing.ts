/** How long a watch waits for what, in milliseconds. */
export interface WatchTiming {
  /** Complete list, against what events missed. */
  readonly resyncMs: number
  /** The first list once more, after the engine's own lists have caught up with its events. */
  readonly confirmMs: number
  /** Silence after which the engine is asked whether it lives: a frozen one keeps its connections. */
  readonly heartbeatMs: number
  readonly heartbeatTimeoutMs: number
  /** Between two attempts to connect, doubled up to the longest. */
  readonly retryMs: number
  readonly longestRetryMs: number
  /** An interruption longer than this is told to everybody who has something here. */
  readonly graceMs: number
}

export const defaultTiming: WatchTiming = {
  resyncMs: 5 * 60_000,
  confirmMs: 3_000,
  heartbeatMs: 10_000,
  heartbeatTimeoutMs: 5_000,
  retryMs: 100,
  longestRetryMs: 5_000,
  graceMs: 3_000,
}
