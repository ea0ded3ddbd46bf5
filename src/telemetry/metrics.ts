/**
 * What the controller counts and times, in Prometheus's terms. Every label has few values that are known beforehand:
 * a database, a member or an address is never a label, or ten thousand databases would be ten thousand series.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

export type Metrics = ReturnType<typeof createMetrics>

/** A settled pass takes milliseconds, one that starts containers seconds. */
const passBuckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
const callBuckets = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
/** Up to six hours, for a full backup. */
const backupBuckets = [1, 5, 15, 60, 300, 900, 3_600, 21_600]

export interface MetricsOptions {
  /** Also CPU, memory, event loop and garbage collection of the process. */
  readonly ofProcess?: boolean
}

export function createMetrics({ ofProcess = true }: MetricsOptions = {}) {
  const registry = new Registry()
  if (ofProcess) collectDefaultMetrics({ register: registry })
  return { registry, ...loopMetrics(registry), ...engineMetrics(registry), ...stateMetrics(registry), ...backupMetrics(registry), ...apiMetrics(registry) }
}

function loopMetrics(registry: Registry) {
  const registers = [registry]
  return {
    reconcilePasses: new Counter({
      name: 'holdfast_reconcile_passes_total',
      help: 'Reconcile passes by outcome.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    reconcileDuration: new Histogram({
      name: 'holdfast_reconcile_pass_duration_seconds',
      help: 'Time from claim to release of one pass.',
      buckets: passBuckets,
      registers,
    }),
    actions: new Counter({
      name: 'holdfast_actions_total',
      help: 'Actions applied, by kind and outcome.',
      labelNames: ['kind', 'outcome'] as const,
      registers,
    }),
    actionDuration: new Histogram({
      name: 'holdfast_action_duration_seconds',
      help: 'Time one action took, by kind.',
      labelNames: ['kind'] as const,
      buckets: callBuckets,
      registers,
    }),
    workQueueDepth: new Gauge({ name: 'holdfast_work_queue_depth', help: 'Work items due and not claimed.', registers }),
    workQueueOldest: new Gauge({
      name: 'holdfast_work_queue_oldest_seconds',
      help: 'How long the oldest due work item has waited.',
      registers,
    }),
    leaseLosses: new Counter({ name: 'holdfast_lease_losses_total', help: 'Passes dropped because their lease was gone.', registers }),
  }
}

function engineMetrics(registry: Registry) {
  const registers = [registry]
  return {
    engineCallDuration: new Histogram({
      name: 'holdfast_engine_call_duration_seconds',
      help: 'Calls to the engines by host, verb and outcome; the count is the number of calls.',
      labelNames: ['host', 'verb', 'outcome'] as const,
      buckets: callBuckets,
      registers,
    }),
    engineEvents: new Counter({
      name: 'holdfast_engine_events_total',
      help: 'Events received from the engines, by host and action.',
      labelNames: ['host', 'action'] as const,
      registers,
    }),
    observerProbeFailures: new Counter({
      name: 'holdfast_observer_probe_failures_total',
      help: 'Observations that came back as unknown, by probe.',
      labelNames: ['probe'] as const,
      registers,
    }),
  }
}

function stateMetrics(registry: Registry) {
  const registers = [registry]
  return {
    conditions: new Gauge({
      name: 'holdfast_conditions',
      help: 'Databases by condition and its status.',
      labelNames: ['type', 'status'] as const,
      registers,
    }),
    databases: new Gauge({
      name: 'holdfast_databases',
      help: 'Databases by tier.',
      labelNames: ['tier'] as const,
      registers,
    }),
  }
}

function backupMetrics(registry: Registry) {
  const registers = [registry]
  return {
    backups: new Counter({
      name: 'holdfast_backups_total',
      help: 'Finished backups by kind and result; one that was not read back is no success.',
      labelNames: ['kind', 'result'] as const,
      registers,
    }),
    backupDuration: new Histogram({
      name: 'holdfast_backup_duration_seconds',
      help: 'Time a backup took, by kind.',
      labelNames: ['kind'] as const,
      buckets: backupBuckets,
      registers,
    }),
    backupOldestAge: new Gauge({
      name: 'holdfast_backup_oldest_age_seconds',
      help: 'Age of the last good backup of the database whose last good backup is oldest, by tier.',
      labelNames: ['tier'] as const,
      registers,
    }),
    backupsMissing: new Gauge({
      name: 'holdfast_databases_without_backup',
      help: 'Databases that have no good backup at all.',
      registers,
    }),
  }
}

function apiMetrics(registry: Registry) {
  return {
    apiRequestDuration: new Histogram({
      name: 'holdfast_api_request_duration_seconds',
      help: 'API requests by method, route (the pattern, not the path) and status; the count is the number of requests.',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: callBuckets,
      registers: [registry],
    }),
  }
}
