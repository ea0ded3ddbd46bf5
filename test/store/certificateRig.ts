/** Authorities and key pairs as the store keeps them; that they are real is tested with the authority itself. */
import { randomUUID } from 'node:crypto'
import type { KeyPair } from '../../src/domain/desired.ts'
import { Secret } from '../../src/domain/secret.ts'
import type { AuthorityRecord, Store } from '../../src/store/store.ts'

export function newAuthority(name = 'one'): AuthorityRecord {
  return { id: randomUUID(), certificatePem: `certificate of ${name}\n`, keyPem: new Secret(`key of ${name}`), notAfter: new Date('2036-01-01T00:00:00Z') }
}

/** The id of the one that is active then. */
export async function importAuthority(store: Store): Promise<string> {
  return (await store.certificates.importIfNone(newAuthority())).id
}

export function keyPairOf(authorityId: string, commonName: string): KeyPair {
  return {
    certificatePem: `certificate of ${commonName}`,
    keyPem: new Secret('key'),
    commonName,
    names: ['a.example.test'],
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2027-01-01T00:00:00Z'),
    authorityId,
  }
}
