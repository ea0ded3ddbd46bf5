/**
 * The disks helper of one host (templates/images/disks): the container that makes the size-limited file systems behind data
 * volumes and attaches them again after a reboot. The only container of ours with capabilities: those that a mount takes.
 */
import type Docker from 'dockerode'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { ContainerDetails, EngineClient } from '../clients/docker.ts'
import { HoldfastError } from '../domain/errors.ts'
import { label } from '../domain/names.ts'

export interface EnsureDisksOptions {
  readonly docker: Docker
  readonly engine: EngineClient
  readonly installation: string
  readonly image: string
  /** Put on the container as a label, so that a test run can sweep it. */
  readonly runLabel?: string
  readonly signal: AbortSignal
}

const mib = 1024 * 1024
const execTimeoutMs = 60_000
const stopSeconds = 10
/** The smallest disk that the helper makes, and a little more. */
const probe = { name: 'probe', bytes: 320 * mib, grownBytes: 336 * mib }

export function disksContainer(installation: string): string {
  return `${installation}-disks`
}

/** Errors: `StartFailed` when the host cannot do it: no loop devices, no XFS, or an engine without the rights. */
export async function ensureDisks(options: EnsureDisksOptions): Promise<void> {
  const { engine, installation, image, runLabel, signal } = options
  const name = disksContainer(installation)
  const body = containerBody(installation, image, runLabel)
  const seen = await engine.findContainer(name, signal)
  if (seen !== null && seen.labels[label.spec] === body.Labels[label.spec]) {
    if (seen.state !== 'running') await engine.startContainer(seen.id, signal)
    return
  }
  // Its disks stay attached meanwhile: loop devices belong to the kernel, not to the container.
  if (seen !== null) await replace(engine, seen, signal)
  await engine.createVolume({ name, labels: { [label.installation]: installation, [label.kind]: 'volume' } }, signal)
  const container = await options.docker.createContainer({ name, ...body, abortSignal: signal })
  await engine.startContainer(container.id, signal)
  await tryOut(engine, container.id, signal)
}

const listSchema = z.object({ disks: z.array(z.object({ name: z.string() })) })

/**
 * Detaches and deletes every disk, with what is on them, as an installation is removed; deleting the helper's volume alone
 * would leave loop devices that hold the space. Volumes have to be unmounted: errors `Conflict` else.
 */
export async function removeDisks(engine: EngineClient, installation: string, signal: AbortSignal): Promise<void> {
  const helper = await engine.findContainer(disksContainer(installation), signal)
  if (helper === null) return
  if (helper.state !== 'running') await engine.startContainer(helper.id, signal)
  const listed = await disk(engine, helper.id, ['list'], signal)
  for (const { name } of listSchema.parse(JSON.parse(listed.stdout)).disks) {
    const removed = await disk(engine, helper.id, ['remove', name], signal)
    if (removed.exitCode !== 0) throw new HoldfastError('Conflict', `The disk ${name} could not be removed: ${removed.stdout.trim()}`)
  }
}

async function replace(engine: EngineClient, seen: ContainerDetails, signal: AbortSignal): Promise<void> {
  await engine.stopContainer(seen.id, stopSeconds, signal)
  await engine.removeContainer(seen.id, { force: true }, signal)
}

/** All that a database will ask for, once, on a small disk: what a host cannot do shows now and not at a customer's. */
async function tryOut(engine: EngineClient, container: string, signal: AbortSignal): Promise<void> {
  const attempts = [['create', probe.name, String(probe.bytes)], ['grow', probe.name, String(probe.grownBytes)], ['remove', probe.name]]
  for (const argv of attempts) {
    const { exitCode, stdout, stderr } = await disk(engine, container, argv, signal)
    if (exitCode === 0) continue
    await engine.removeContainer(container, { force: true }, signal)
    throw new HoldfastError('StartFailed', `This host cannot make disks of a limited size: disk ${argv.join(' ')}: ${stdout.trim()} ${stderr.trim().slice(-400)}`, {
      next: 'Give the host loop devices and XFS, or set storageLimit to none',
    })
  }
}

function disk(engine: EngineClient, container: string, argv: readonly string[], signal: AbortSignal): ReturnType<EngineClient['exec']> {
  return engine.exec(container, ['disk', ...argv], { timeoutMs: execTimeoutMs }, signal)
}

function containerBody(installation: string, image: string, runLabel: string | undefined): Docker.ContainerCreateOptions & { readonly Labels: Record<string, string> } {
  const body = {
    Image: image,
    Env: [`HOLDFAST_INSTALLATION=${installation}`],
    HostConfig: {
      Binds: ['/dev:/dev', `${disksContainer(installation)}:/disks`],
      // Not privileged: mounting and attaching take SYS_ADMIN, the root directories of disks belong to somebody else
      // (DAC_READ_SEARCH), and a host may lack the control device (MKNOD). Of devices, loop devices only.
      CapDrop: ['ALL'],
      CapAdd: ['SYS_ADMIN', 'DAC_READ_SEARCH', 'MKNOD'],
      DeviceCgroupRules: ['b 7:* rwm', 'c 10:237 rwm'],
      // AppArmor's profile for containers and SELinux forbid mounts whatever the capabilities.
      SecurityOpt: ['no-new-privileges', 'apparmor=unconfined', 'label=disable'],
      ReadonlyRootfs: true,
      Tmpfs: { '/run': 'rw,noexec,nosuid,nodev,mode=0700,size=1m' },
      NetworkMode: 'none',
      Memory: 256 * mib,
      MemorySwap: 256 * mib,
      PidsLimit: 64,
      // Also when the engine was stopped in between: without it no data volume mounts.
      RestartPolicy: { Name: 'always' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    },
  }
  const spec = createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 16)
  const run = runLabel === undefined ? {} : { [label.run]: runLabel }
  return { ...body, Labels: { [label.installation]: installation, [label.kind]: 'disks', [label.spec]: spec, ...run } }
}
