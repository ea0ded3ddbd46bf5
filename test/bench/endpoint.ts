/**
 * What the endpoint costs: pgbench through it and past it, both with TLS and verified certificates, one after the other. Both come to the
 * host's address, as customers do who are elsewhere: what comes over the loopback is copied by Docker's own proxy, which they never meet.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { memberPlaces, openHaProject, orderCluster, untilClusterSettled, type ClusterCustomer } from '../harness/ha/customer.ts'
import { untilWhole, type MemberPlace } from '../harness/ha/members.ts'
import { openSite } from '../harness/ha/site.ts'
import { docker } from './byHand.ts'
import { closeInstallation, openInstallation, type Installation, type Places } from './installation.ts'
import type { CaseResult, Goal } from './report.ts'
import { runBench, type Bench, type Experiment, type RunOptions } from './runner.ts'

const places: Places = {
  name: 'hfendpoint', apiPort: 17_710, endpointPorts: '17720-17749', internalPorts: '17750-17799', networks: '10.220.0.0/16',
}
const wholeLimitMs = 180_000
const scale = 10
const clients = 8
const seconds = 8
/** Of the direct connection's throughput. */
const share = 0.95
const noGoal: Goal = { median: null, max: null }

interface Rig {
  readonly installation: Installation
  readonly customer: ClusterCustomer
  readonly leader: MemberPlace
  readonly image: string
  readonly caFile: string
}

const tps: Experiment<Rig> = {
  series: [{ case: 'tps', variant: 'holdfast', unit: 'tps', goal: noGoal }, { case: 'tps', variant: 'direct', unit: 'tps', goal: noGoal }],
  async sample(rig) {
    const measure = ['--no-vacuum', '--client', String(clients), '--jobs', '2', '--time', String(seconds)]
    const direct = await pgbench(rig, { host: rig.leader.host, port: rig.leader.ports.postgres }, measure)
    const through = await pgbench(rig, endpointOf(rig), measure)
    return { numbers: [tpsIn(through), tpsIn(direct)] }
  },
  judge(results) {
    const direct = results.find(({ variant }) => variant === 'direct')
    const judged = (one: CaseResult): CaseResult => {
      if (one.variant !== 'holdfast' || direct === undefined) return one
      const goal = Math.round(direct.median * share * 100) / 100
      return { ...one, goal: { median: goal, max: null }, met: one.median >= goal }
    }
    return results.map(judged)
  },
}

interface Target {
  /** As the certificate names it. */
  readonly host: string
  readonly port: number
  /** Where it is, if that is not to be looked up. */
  readonly address?: string
}

function endpointOf({ customer: { readWrite: { host = '', port = 0 } }, leader }: Rig): Target {
  return { host, port, address: leader.host }
}

async function pgbench({ customer, image, caFile }: Pick<Rig, 'customer' | 'image' | 'caFile'>, { host, port, address }: Target, what: readonly string[]): Promise<string> {
  const { user = '', password, database = '' } = customer.readWrite
  const environment = { PGHOST: host, ...(address !== undefined && { PGHOSTADDR: address }), PGPORT: String(port), PGUSER: user, PGPASSWORD: String(password), PGDATABASE: database, PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/ca.pem' }
  const variables = Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  return docker(['run', '--rm', '--network', 'host', ...variables, '--volume', `${caFile}:/ca.pem:ro`, '--entrypoint', 'pgbench', image, ...what])
}

function tpsIn(output: string): number {
  const found = /^tps = ([\d.]+)/m.exec(output)?.[1]
  if (found === undefined) throw new Error(`pgbench gave no throughput: ${output.slice(-300)}`)
  return Number(found)
}

const bench: Bench<Rig> = {
  name: 'endpoint',
  experiments: [tps],
  async open(say) {
    const installation = await openInstallation(places, say)
    const site = await openSite({ ...installation, api: installation.client })
    const customer = await orderCluster(site, await openHaProject(site), { name: 'bench' })
    const { leader } = await untilWhole(site, await memberPlaces(site, customer.id), wholeLimitMs)
    await untilClusterSettled(site, customer.id, wholeLimitMs)
    const image = await docker(['inspect', '--format', '{{.Config.Image}}', leader.container])
    const caFile = join(installation.config.stateDir, 'bench-ca.pem')
    await writeFile(caFile, installation.ca)
    const rig = { installation, customer, leader, image, caFile }
    await pgbench(rig, endpointOf(rig), ['--initialize', '--quiet', '--scale', String(scale)])
    return rig
  },
  close: ({ installation }) => closeInstallation(installation, places),
  engineOf: () => docker(['version', '--format', 'Docker {{.Server.Version}}']),
}

export function run(options: RunOptions): Promise<number> {
  return runBench(bench, options)
}
