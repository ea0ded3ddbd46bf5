/**
 * The image that all others begin with: the one on the engine, else pulled where a registry answers, else bootstrapped on this
 * machine from Debian's packages and imported under the same name.
 */
import type Docker from 'dockerode'
import { createReadStream } from 'node:fs'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pRetry from 'p-retry'
import { HoldfastError } from '../domain/errors.ts'
import { runCommand } from './command.ts'
import { followOutput } from './imageBuild.ts'
import { baseImage } from './imageInputs.ts'
import { imageId } from './imageLookup.ts'
import { lookAtMachine } from './machine.ts'
import { installPackages } from './packages.ts'
import { withProcessLock } from './processLock.ts'
import type { Report } from './progress.ts'

export interface BaseImageOptions {
  readonly docker: Docker
  readonly report: Report
  readonly signal: AbortSignal
}

/** A registry that is there answers at once; without one, some networks drop packets in silence. */
const registryAnswerMs = 10_000
const pullTimeoutMs = 5 * 60_000
/** Took 19 s. */
const bootstrapTimeoutMs = 5 * 60_000
const importTimeoutMs = 3 * 60_000
const bootstrapRetries = 2
const lockFile = '/var/lock/holdfast-base-image.lock'
const bootstrapProgram = '/usr/bin/mmdebstrap'

/** Its id on that engine. Errors: `ImageBuildFailed`. */
export async function ensureBaseImage(options: BaseImageOptions): Promise<string> {
  const present = await imageId(options.docker, baseImage)
  if (present !== null) return present
  if (!(await pull(options))) await bootstrap(options)
  const made = await imageId(options.docker, baseImage)
  if (made === null) throw new HoldfastError('ImageBuildFailed', `${baseImage} was made and is not on the engine`)
  return made
}

/** False when there is no registry, or none that answers in time. */
async function pull({ docker, report, signal }: BaseImageOptions): Promise<boolean> {
  report({ step: 'images', detail: `pulling ${baseImage}` })
  const noAnswer = new AbortController()
  const timer = setTimeout(() => noAnswer.abort(), registryAnswerMs)
  try {
    const output = await docker.pull(baseImage, { abortSignal: AbortSignal.any([signal, noAnswer.signal]) })
    clearTimeout(timer)
    await followOutput(output, AbortSignal.any([signal, AbortSignal.timeout(pullTimeoutMs)]), () => undefined)
    return true
  } catch {
    signal.throwIfAborted()
    return false
  } finally {
    clearTimeout(timer)
  }
}

async function bootstrap({ docker, report, signal }: BaseImageOptions): Promise<void> {
  const machine = await lookAtMachine()
  if (!machine.canInstall) {
    throw new HoldfastError('ImageBuildFailed', `${baseImage} cannot be pulled, and only root on Debian or Ubuntu can bootstrap it`, {
      next: `Let the engine reach a registry, or load ${baseImage} into it`,
    })
  }
  await withProcessLock(lockFile, signal, async () => {
    if ((await imageId(docker, baseImage)) !== null) return
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-base-'))
    try {
      const tarball = join(directory, 'base.tar')
      report({ step: 'images', detail: `bootstrapping ${baseImage} from packages` })
      await makeTarball(tarball, signal)
      report({ step: 'images', detail: `importing ${baseImage}` })
      await importTarball(docker, tarball, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw new HoldfastError('ImageBuildFailed', `${baseImage} could be neither pulled nor bootstrapped`, {
        cause: error, next: 'See that this machine reaches a registry or a Debian mirror',
      })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
}

/** What the official slim image leaves out as well. */
const leftOut = ['man', 'locale', 'doc', 'info', 'groff', 'lintian', 'linda'].flatMap((name) => ['--dpkgopt', `path-exclude=/usr/share/${name}/*`])

async function makeTarball(tarball: string, signal: AbortSignal): Promise<void> {
  if (!(await access(bootstrapProgram).then(() => true, () => false))) {
    await installPackages(['mmdebstrap', 'debian-archive-keyring'], signal)
  }
  // Without a mirror of ours: the distribution's own, its security updates among them.
  const args = ['--variant=minbase', '--include=ca-certificates', ...leftOut, 'trixie', tarball]
  await pRetry(() => runCommand(bootstrapProgram, args, { timeoutMs: bootstrapTimeoutMs, signal }), { retries: bootstrapRetries, signal })
}

async function importTarball(docker: Docker, tarball: string, signal: AbortSignal): Promise<void> {
  const [repo, tag] = baseImage.split(':')
  const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(importTimeoutMs)])
  // An import carries no configuration; without a path and a shell in it, RUN would find nothing.
  const output = await docker.importImage(createReadStream(tarball), {
    repo, tag, abortSignal, changes: ['ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'CMD ["bash"]'],
  })
  await followOutput(output, abortSignal, () => undefined)
}
