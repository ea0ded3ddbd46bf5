/** Inputs that the tests of rendering share. The PEM texts have the form of PEM and nothing in them. */
import { Secret } from '../../src/domain/secret.ts'
import { tiers } from '../../src/domain/tiers.ts'
import type { AgentInput } from '../../src/render/agent.ts'
import type { EndpointInput } from '../../src/render/endpoint.ts'
import type { MemberInput } from '../../src/render/member.ts'
import type { Rendered } from '../../src/render/rendered.ts'
import type { RepositoryInput } from '../../src/render/repository.ts'

export const certificatePem = '-----BEGIN CERTIFICATE-----\nTm90IHJlYWxseQ==\n-----END CERTIFICATE-----\n'
export const privateKeyPem = '-----BEGIN PRIVATE KEY-----\nTm90IGEga2V5\n-----END PRIVATE KEY-----\n'
export const keyPair = { certificatePem, keyPem: new Secret(privateKeyPem) }

export const instanceId = '00000000-0000-4000-8000-0000000000b1'
export const memberId = '00000000-0000-4000-8000-0000000000a1'
export const endpointId = '00000000-0000-4000-8000-0000000000e1'

export const member: MemberInput = {
  installation: 'lab', instanceId, instanceIds: [instanceId], endpointIds: [endpointId], sizes: tiers.starter, trustBundlePem: certificatePem, server: keyPair, mayInitialise: false,
}

export const endpoint: EndpointInput = {
  installation: 'lab', endpointId, databaseName: 'shop', target: { kind: 'standalone', address: '172.17.0.1', port: 25_432 }, maxConnections: 50,
  allowList: ['203.0.113.0/24', '10.0.0.0/8'], trustBundlePem: certificatePem, server: keyPair, client: keyPair,
}

export const repository: RepositoryInput = {
  host: 'objectstore.holdfast.internal', port: 8443, region: 'us-east-1', bucket: 'lab-backups', uriStyle: 'path',
  accessKey: new Secret('AKLAB'), secretKey: new Secret('s3+secret/of=lab'), caPem: certificatePem,
  path: `/lineages/${instanceId}`, cipher: new Secret('cipher of lab'),
}

export const agent: AgentInput = {
  repository, retentionDays: 7, members: [{ id: memberId, ports: { postgres: 25_432, backup: 28_432 } }],
  spoolLimitBytes: 1_073_741_824, trustBundlePem: certificatePem, client: keyPair,
}

export function contentOf(rendered: Rendered, path: string): string {
  const file = rendered.files.find((one) => one.path === path)
  if (file === undefined) throw new Error(`nothing was rendered at ${path}`)
  return file.content
}
