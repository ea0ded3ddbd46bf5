/**
 * What this process does about the installation's authority: makes its successor when the duty asks for one, and follows
 * whoever signs and is trusted by now, with the files on this machine, the embedded services and its own certificates.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { keepAuthority, newAuthority, type FirstAuthority } from '../bootstrap/authorityFile.ts'
import type { Config } from '../config.ts'
import { authorityRollover } from '../controller/authorityRollover.ts'
import type { Duty } from '../controller/duties.ts'
import type { Clock } from '../domain/ports.ts'
import { trustBundle } from '../pki/authority.ts'
import { certificateFacts } from '../pki/x509.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry.ts'
import type { Ground } from './ground.ts'
import { signingAuthority } from './openStore.ts'
import { recordOf } from './authorityRecord.ts'

/** A roll-over takes years; one that is tried out takes minutes, and is looked at often enough to meet each of its times. */
const longestRestSeconds = 60
const looksPerLife = 60

export function authorityDuty(config: Config, store: Store, clock: Clock, logger: Logger): Duty {
  const lifeSeconds = config.certificates.authorityLifetimeMs / 1_000
  return authorityRollover({
    store, clock,
    everySeconds: Math.min(longestRestSeconds, lifeSeconds / looksPerLife),
    create: async (now) => recordOf(await newAuthority(config, now)),
    validityOf: certificateFacts,
    onStep: (step, authorityId) => logger.info({ step, authorityId }, 'the certificate authority is rolled over'),
  })
}

/** The embedded services' certificates live for a year and have no other reminder. */
const embeddedLookMs = 86_400_000

/** Gives the id of the authority that signs now, after everything here knows it. */
export function authorityFollower({ config, keyring, first, follow }: Ground, store: Store, clock: Clock): (signal: AbortSignal) => Promise<string> {
  let known = first
  let followedAt = clock.now().getTime()
  return async (signal) => {
    const current = await authorityNow(store)
    const now = clock.now().getTime()
    const changed = current.id !== known.id || current.trustPem !== known.trustPem
    if (!changed && now - followedAt < embeddedLookMs) return current.id
    if (changed) await keepAuthority(config, keyring, current)
    await follow(current, signal)
    known = current
    followedAt = now
    return current.id
  }
}

async function authorityNow(store: Store): Promise<FirstAuthority> {
  const { id, authority } = await signingAuthority(store)
  const trusted = await store.certificates.trusted()
  return { id, authority, trustPem: trustBundle(trusted.map(({ certificatePem }) => ({ certPem: certificatePem }))) }
}

/** Certificates live for days, and an authority for years; in tries for seconds. */
const lookMs = 5_000
const renewTimeoutMs = 120_000

/** Looks again and again until it is stopped; what fails is tried at the next look, long before anything ends. */
export function keepRenewed(renew: (signal: AbortSignal) => Promise<void>, logger: Logger): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const looking = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await sleep(lookMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return
      await renew(AbortSignal.any([stopping.signal, AbortSignal.timeout(renewTimeoutMs)])).catch((err: unknown) => {
        if (!stopping.signal.aborted) logger.warn({ err }, 'our own certificates could not be renewed')
      })
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await looking
    },
  }
}
