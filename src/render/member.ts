/**
 * The files of a member's /conf volume. Pure. Says nothing about the container around it.
 */
import type { RenderedFile } from '../domain/blueprint.ts'
import { commonName } from '../domain/names.ts'
import { encoded, identifier, lines } from './encode.ts'
import type { Encoded } from './encode.ts'
import { postgresSettings, restartLines, settingLines } from './postgresSettings.ts'
import type { MemberSizes } from './postgresSettings.ts'
import { keyPairFiles, plainFile, rendered, trustFile } from './rendered.ts'
import type { KeyMaterial, Rendered } from './rendered.ts'
import { renderTemplate } from './template.ts'

export interface MemberInput {
  readonly installation: string
  readonly instanceId: string
  /** Of the database: their members copy from each other. */
  readonly instanceIds: readonly string[]
  /** Endpoints whose PgBouncer may ask for password verifiers: normally one, two while an endpoint is taken over. */
  readonly endpointIds: readonly string[]
  readonly sizes: MemberSizes
  readonly trustBundlePem: string
  readonly server: KeyMaterial
  /**
   * Whether an empty volume may be initialised: until the instance was seen initialised, and never again. Part of the
   * configuration like the rest, so that the permission is seen to be taken back.
   */
  readonly mayInitialise: boolean
}

const settingsPath = '/conf/postgresql.conf'

export function renderMember(input: MemberInput, more: readonly RenderedFile[] = []): Rendered {
  return renderedMember([...memberFiles(input), ...more])
}

/** What every member has, standalone or of a cluster. */
export function memberFiles(input: MemberInput): readonly RenderedFile[] {
  const settings = renderTemplate('member/postgresql.conf', { settings: settingLines(postgresSettings(input.sizes)) })
  const agent = identifier(commonName.agent(input.instanceId))
  return [
    plainFile('/conf/instance', `${identifier(input.instanceId).text}\n`),
    // emptied rather than left out: files that are no longer listed stay in the volume
    plainFile('/conf/initialise', input.mayInitialise ? `${identifier(input.instanceId).text}\n` : ''),
    plainFile(settingsPath, settings),
    plainFile('/conf/pg_hba.conf', renderTemplate('member/pg_hba.conf', {})),
    plainFile('/conf/pg_ident.conf', renderTemplate('member/pg_ident.conf', {
      controller: identifier(commonName.controller(input.installation)),
      agent,
      members: lines([...input.instanceIds].sort().flatMap(memberLines)),
      poolers: lines([...input.endpointIds].sort().map(poolerLine)),
    })),
    plainFile('/conf/pgbackrest.conf', renderTemplate('member/pgbackrest.conf', { agent })),
    trustFile(input.trustBundlePem),
    ...keyPairFiles('server', input.server),
  ]
}

export function renderedMember(files: readonly RenderedFile[]): Rendered {
  const settings = files.find(({ path }) => path === settingsPath)?.content ?? ''
  return rendered(files, restartLines(settings), (hash) => plainFile('/conf/revision.conf', `holdfast.config_hash = '${hash}'\n`))
}

function memberLines(instanceId: string): Encoded[] {
  const name = identifier(commonName.member(instanceId))
  return [encoded`holdfast  "${name}"  holdfast_replicator`, encoded`holdfast  "${name}"  holdfast_rewind`]
}

function poolerLine(endpointId: string): Encoded {
  return encoded`holdfast  "${identifier(commonName.pooler(endpointId))}"  holdfast_pooler`
}
