/** The control database as the loop has it: what it writes of databases and their operations is an effect as any other, and told as one. */
import { effectDone } from '../clients/effects.ts'
import type { Store } from '../store/store.ts'

export function tellingStore(store: Store): Store {
  const { records, operations } = store
  return {
    ...store,
    records: {
      ...records,
      async apply(lease, written, issued) {
        await records.apply(lease, written, issued)
        effectDone('store', [...new Set(written.map(({ kind }) => kind))].sort().join(' '))
      },
    },
    operations: {
      ...operations,
      async enter(lease, operationId, phase, step) {
        await operations.enter(lease, operationId, phase, step)
        effectDone('store', `enter ${phase}`)
      },
      async progress(lease, operationId, step) {
        await operations.progress(lease, operationId, step)
        if (step.progress !== undefined) effectDone('store', 'progress')
      },
      async finish(lease, operationId, outcome, result) {
        await operations.finish(lease, operationId, outcome, result)
        effectDone('store', `finish ${outcome}`)
      },
    },
  }
}
