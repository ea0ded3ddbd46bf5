/** Readings of evidence for those who watch: whether quick looks are worth their cost. Nothing is concluded from them. */
import type { Evidence, MemberEvidence, ProbeEvidence } from './evidence.ts'

/** Several readings were missed. */
const staleKeysMs = 3_000
/** What has been so for this long is somebody else's work (a member that is rebuilt, a host that is replaced), and watched calmly. */
const longAmissMs = 30_000
/** Keys are read and queries answered side by side; what was said shortly before the key was read still goes with it. */
const besideMs = 1_000

export function isAmiss({ keys, members }: Evidence): boolean {
  const areKeysAmiss = keys.known ? keys.leader === null || keys.agoMs > staleKeysMs : keys.forMs > staleKeysMs
  return areKeysAmiss || members.some(isMemberAmiss)
}

function isMemberAmiss({ container, patroni, query, connect }: MemberEvidence): boolean {
  const isContainerAmiss = (container.known ? container.state !== 'running' : container.forMs > 0) && container.forMs < longAmissMs
  return isContainerAmiss || [patroni, query, connect].some(isProbeAmiss)
}

function isProbeAmiss(probe: ProbeEvidence): boolean {
  return (probe.seen === 'silent' || probe.seen === 'refuses') && probe.forMs < longAmissMs
}

/** The owner of the key, seen out of recovery. */
export function writableLeader({ keys, members }: Evidence): string | null {
  if (!keys.known || keys.leader === null) return null
  const { name } = keys.leader
  const said = members.find((member) => member.name === name)?.said ?? null
  return said !== null && !said.inRecovery && said.agoMs <= keys.agoMs + besideMs ? name : null
}
