/**
 * What test runs leave on an engine. Every test resource carries a run label that begins with the id of its run, and a run's id
 * names the process that it lives in: what a dead run left is swept, what a living one uses is left alone, and what carries no run
 * label belongs to somebody and is never touched.
 */
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'
import { connectEngine } from '../clients/docker.ts'
import { label } from '../domain/names.ts'
import type { Engine } from './engine.ts'
import { takeDown } from './takeDown.ts'

export interface Leftover {
  readonly kind: 'process' | 'container' | 'volume' | 'network'
  /** Of a process its id. */
  readonly name: string
  readonly run: string
  readonly installation: string | undefined
}

export function newTestRun(): string {
  return `t${process.pid}-${randomBytes(2).toString('hex')}`
}

const labelsSchema = z.record(z.string(), z.string()).nullish().transform((labels) => labels ?? {})
const containersSchema = z.array(z.object({ Names: z.array(z.string()), Labels: labelsSchema }))
const volumesSchema = z.object({ Volumes: z.array(z.object({ Name: z.string(), Labels: labelsSchema })).nullish() })
const networksSchema = z.array(z.object({ Name: z.string(), Labels: labelsSchema }))

/** Of one run; null: of every run whose process is gone. */
export async function leftovers({ docker }: Engine, run: string | null): Promise<readonly Leftover[]> {
  const filters = { label: [label.run] }
  const [containers, volumes, networks] = await Promise.all([
    docker.listContainers({ all: true, filters }).then((reply: unknown) => containersSchema.parse(reply)),
    docker.listVolumes({ filters }).then((reply: unknown) => volumesSchema.parse(reply)),
    docker.listNetworks({ filters }).then((reply: unknown) => networksSchema.parse(reply)),
  ])
  const all = [
    ...await controllers(),
    ...containers.map((seen) => leftover('container', seen.Names[0]?.replace(/^\//, '') ?? '', seen.Labels)),
    ...(volumes.Volumes ?? []).map((seen) => leftover('volume', seen.Name, seen.Labels)),
    ...networks.map((seen) => leftover('network', seen.Name, seen.Labels)),
  ]
  const isWanted = await Promise.all(all.map(async (one) => (run === null ? isDead(one.run) : one.run === run || one.run.startsWith(`${run}.`))))
  return all.filter((_, index) => isWanted[index])
}

/** Controllers that `up` started for a test outlive whoever asked for them; their environment says whose they are. */
async function controllers(): Promise<readonly Leftover[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async (name): Promise<Leftover | null> => {
    // one that has just ended, or that belongs to somebody else, cannot be read
    const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')
    const run = /(?:^|\0)HOLDFAST_RUN_LABEL=([^\0]+)/.exec(environment)?.[1]
    return run === undefined ? null : { kind: 'process', name, run, installation: undefined }
  }))
  return found.filter((one) => one !== null)
}

function leftover(kind: Leftover['kind'], name: string, labels: Readonly<Record<string, string>>): Leftover {
  return { kind, name, run: labels[label.run] ?? '', installation: labels[label.installation] }
}

/**
 * A number that another process has got meanwhile keeps a dead run's things a while longer, which is the harmless way round.
 * A label of another form is not one of ours: whoever set it may still want what carries it.
 */
async function isDead(run: string): Promise<boolean> {
  const pid = /^t(\d+)(?:[-.]|$)/.exec(run)?.[1]
  if (pid === undefined) return false
  return readFile(`/proc/${pid}/cmdline`, 'utf8').then((command) => command === '', () => true)
}

/** Processes first, or they would make again what is taken away; then installations whole, because their disks need their helper; then what belongs to none. */
export async function sweep({ connection }: Engine, found: readonly Leftover[], signal: AbortSignal): Promise<void> {
  const engine = connectEngine(connection)
  for (const { name } of ofKind(found, 'process')) end(Number(name))
  const installations = new Set(found.flatMap(({ installation }) => installation ?? []))
  for (const installation of installations) await takeDown({ engine, installation, keepData: false, say: () => undefined, signal })
  const loose = found.filter(({ installation }) => installation === undefined)
  for (const { name } of ofKind(loose, 'container')) await engine.removeContainer(name, { force: true }, signal)
  for (const { name } of ofKind(loose, 'volume')) await engine.removeVolume(name, signal)
  for (const { name } of ofKind(loose, 'network')) await engine.removeNetwork(name, signal)
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended by itself
  }
}

function ofKind(found: readonly Leftover[], kind: Leftover['kind']): readonly Leftover[] {
  return found.filter((one) => one.kind === kind)
}
