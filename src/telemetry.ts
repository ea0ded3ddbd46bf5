/**
 * Logs and metrics. A message is constant text and everything that varies is a field, so that messages can be searched and counted.
 * Secrets are redacted by type, with a net for keys and patterns below. It decides nothing and keeps no state.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { serializeError } from './telemetry/errors.ts'
import { redactLine } from './telemetry/redaction.ts'

export { createMetrics, type Metrics } from './telemetry/metrics.ts'
export type { Logger } from 'pino'

export interface LoggerOptions {
  readonly level: string
  readonly pretty?: boolean
  /** Default: standard error, as standard output belongs to the answers of commands. */
  readonly destination?: DestinationStream
}

const stderr = 2

export function createLogger({ level, pretty = false, destination }: LoggerOptions): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => serializeError(error), error: (error: unknown) => serializeError(error) },
      hooks: { streamWrite: redactLine },
    },
    pretty ? prettyStream(destination) : (destination ?? standardError()),
  )
}

export interface PassIdentity {
  readonly databaseId: string
  readonly reconcileId: string
}

/** Every line of one reconcile pass carries both ids, through every room the logger is handed to. */
export function passLogger(logger: Logger, { databaseId, reconcileId }: PassIdentity): Logger {
  return logger.child({ databaseId, reconcileId })
}

/** Written at once, line by line: the last lines before a crash are the ones that are needed. */
function standardError(): DestinationStream {
  return pino.destination({ fd: stderr, sync: true })
}

function prettyStream(destination: DestinationStream | undefined): DestinationStream {
  const format = prettyFactory({ colorize: destination === undefined && process.stderr.isTTY })
  const target = destination ?? standardError()
  return { write: (line) => target.write(format(line)) }
}
