/**
 * The files of a restore job's /conf volume, and its command. Pure. The source's repository is read only; the volume that is
 * written becomes the data of the new instance.
 */
import { HoldfastError } from '../domain/errors.ts'
import { identifier, integer } from './encode.ts'
import { backupProcesses } from './agent.ts'
import { plainFile, rendered, secretFile } from './rendered.ts'
import type { Rendered } from './rendered.ts'
import { repositoryFiles, repositoryLines } from './repository.ts'
import type { RepositoryInput } from './repository.ts'
import { renderTemplate } from './template.ts'

export interface RestoreInput {
  /** The new instance, whose data the volume will hold. */
  readonly instanceId: string
  /** Repository of the instance that is restored from. */
  readonly repository: RepositoryInput
}

/** To the end of the newest WAL, to a moment, or to the end of one backup. `label` names the backup to begin from. */
export type RestorePoint =
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly target: Date; readonly label: string | null }
  | { readonly kind: 'backup'; readonly label: string }

export function renderRestore(input: RestoreInput): Rendered {
  const files = [
    secretFile('/conf/pgbackrest.conf', renderTemplate('restore/pgbackrest.conf', {
      repository: repositoryLines(input.repository),
      processes: integer(backupProcesses),
    })),
    plainFile('/conf/instance', `${identifier(input.instanceId).text}\n`),
    ...repositoryFiles(input.repository),
  ]
  return rendered(files, [])
}

/** Arguments of the image `postgres`. */
export function restoreCommand(point: RestorePoint): readonly string[] {
  switch (point.kind) {
    case 'latest':
      return ['job', 'restore', 'latest']
    case 'time':
      return ['job', 'restore', 'time', point.target.toISOString(), ...(point.label === null ? [] : [checkedLabel(point.label)])]
    case 'backup':
      return ['job', 'restore', 'backup', checkedLabel(point.label)]
  }
}

export function backupCommand(kind: 'full' | 'incremental'): readonly string[] {
  return ['job', 'backup', kind === 'full' ? 'full' : 'incr']
}

export function verifyCommand(label: string): readonly string[] {
  return ['job', 'verify', checkedLabel(label)]
}

export const expireCommand: readonly string[] = ['job', 'expire']

function checkedLabel(label: string): string {
  if (/^\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?$/.test(label)) return label
  throw new HoldfastError('Internal', `Not the label of a backup: ${JSON.stringify(label.slice(0, 80))}`, {
    next: 'Choose a backup from the list.',
  })
}
