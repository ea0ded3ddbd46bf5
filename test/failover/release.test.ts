import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EtcdTxnAnswer } from '../../src/clients/etcd.ts'
import { HoldfastError } from '../../src/domain/errors.ts'
import type { KeyStore } from '../../src/failover/keys.ts'
import { releaseLeader } from '../../src/failover/release.ts'

const prefix = '/p/'
const keys = { leader: 'ma', leaderModRevision: 7, syncValue: '{"leader":"ma","sync_standby":"mb"}', syncModRevision: 5 }

/** Carries transactions out on two keys, and answers as its script says: `lost` after doing it, `unsent` without. */
class Scope {
  leader: { readonly value: string; readonly modRevision: number } | null = { value: 'ma', modRevision: 7 }
  sync = { value: keys.syncValue, modRevision: 5 }
  revision = 7
  carriedOut = 0
  script: ('answer' | 'lost' | 'unsent')[] = []

  readonly store: KeyStore = {
    txn: async (txn): Promise<EtcdTxnAnswer> => {
      const what = this.script.shift() ?? 'answer'
      if (what === 'unsent') throw new HoldfastError('EtcdUnavailable', 'no member of etcd answers')
      const holds = txn.when.every((one) => {
        const entry = one.key === `${prefix}leader` ? this.leader : this.sync
        return 'value' in one ? entry?.value === one.value : entry?.modRevision === (one as { modRevision: number }).modRevision
      })
      if (holds) this.#carryOut()
      if (what === 'lost') return { outcome: 'ambiguous', reason: 'the connection broke' }
      return { outcome: holds ? 'held' : 'failed', revision: this.revision } as unknown as EtcdTxnAnswer
    },
    list: async () => ({
      revision: this.revision,
      entries: [
        ...this.leader === null ? [] : [{ key: `${prefix}leader`, lease: null, ...this.leader }],
        { key: `${prefix}sync`, lease: null, ...this.sync },
      ],
    }) as never,
    leaseTimeToLive: () => Promise.reject(new Error('not asked')),
  }

  #carryOut(): void {
    this.carriedOut += 1
    this.revision += 1
    this.leader = null
    this.sync = { ...this.sync, modRevision: this.revision }
  }
}

const release = (scope: Scope, limitMs = 2_000): ReturnType<typeof releaseLeader> => releaseLeader(scope.store, prefix, keys, AbortSignal.timeout(limitMs))

test('the judged key goes, once', async () => {
  const scope = new Scope()
  assert.deepEqual([await release(scope), scope.carriedOut, scope.leader], [{ kind: 'released', attempts: 1 }, 1, null])
})

test('an answer that was lost is read back: done once, and called done', async () => {
  const scope = new Scope()
  scope.script = ['lost']
  assert.deepEqual([await release(scope), scope.carriedOut], [{ kind: 'released', attempts: 2 }, 1])
})

test('after a lost answer a successor is no reason to doubt: the judged key is gone', async () => {
  const scope = new Scope()
  scope.script = ['lost']
  const { txn } = scope.store
  const store: KeyStore = {
    ...scope.store,
    txn: async (...order) => {
      const answer = await txn(...order)
      scope.leader ??= { value: 'mb', modRevision: 9 }
      return answer
    },
  }
  assert.equal((await releaseLeader(store, prefix, keys, AbortSignal.timeout(2_000))).kind, 'released')
  assert.equal(scope.leader?.value, 'mb', 'and the successor keeps its key')
})

test('a leader that renewed its claim, or /sync that moved, is left alone', async () => {
  const renewed = new Scope()
  renewed.leader = { value: 'ma', modRevision: 8 }
  assert.deepEqual([await release(renewed), renewed.carriedOut], [{ kind: 'changed', leader: 'ma', attempts: 1 }, 0])
  const moved = new Scope()
  moved.sync = { value: '{"leader":"ma","sync_standby":""}', modRevision: 6 }
  assert.deepEqual([await release(moved), moved.carriedOut], [{ kind: 'changed', leader: 'ma', attempts: 1 }, 0])
})

test('etcd that is away for a moment is asked again, one that stays away is told', async () => {
  const scope = new Scope()
  scope.script = ['unsent', 'unsent']
  assert.deepEqual([await release(scope), scope.carriedOut], [{ kind: 'released', attempts: 3 }, 1])
  const gone = new Scope()
  gone.script = Array.from({ length: 50 }, () => 'unsent')
  const outcome = await release(gone, 200)
  assert.deepEqual([outcome.kind, gone.carriedOut], ['unanswered', 0])
})
