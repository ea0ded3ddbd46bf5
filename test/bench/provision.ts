/** How long a customer waits for a new database: from the API call to the first answer through its endpoint. */
import { startByHand, docker } from './byHand.ts'
import { createStarter, firstAnswer, removeStarter, type Customer } from './database.ts'
import { asCustomer, memberPlaces, openHaProject, orderCluster, removeCluster } from '../harness/ha/customer.ts'
import { untilWhole } from '../harness/ha/members.ts'
import { openSite } from '../harness/ha/site.ts'
import { closeInstallation, openInstallation, type Installation, type Places } from './installation.ts'
import { runBench, type Bench, type Experiment, type RunOptions } from './runner.ts'

const places: Places = {
  name: 'hfprovision', apiPort: 17_410, endpointPorts: '17420-17449', internalPorts: '17450-17479', networks: '10.217.0.0/16',
}
const byHandPort = 17_480
const wholeLimitMs = 120_000
const wholeLookMs = 100

interface Rig {
  readonly installation: Installation
  readonly image: string
  made: number
}

const starter: Experiment<Rig> = {
  series: [
    { case: 'starter', variant: 'holdfast', unit: 'ms', goal: { median: 3_000, max: null } },
    { case: 'starter', variant: 'byHand', unit: 'ms', goal: { median: null, max: null } },
  ],
  async sample(rig) {
    const byHand = await startByHand(rig.image, `${places.name}-by-hand`, byHandPort)
    rig.made += 1
    const started = performance.now()
    const customer = await createStarter(rig.installation, `starter-${rig.made}`)
    await firstAnswer(customer.connection)
    const holdfast = performance.now() - started
    await removeStarter(rig.installation, customer)
    return { numbers: [holdfast, byHand] }
  },
}

/** Until a commit waits for two replicas: less would be a cluster that cannot fail over. */
const ha: Experiment<Rig> = {
  series: [{ case: 'ha', variant: 'holdfast', unit: 'ms', goal: { median: 10_000, max: null } }],
  async sample(rig) {
    const site = await openSite({ ...rig.installation, api: rig.installation.client })
    const projectId = await openHaProject(site)
    rig.made += 1
    const started = performance.now()
    const customer = await orderCluster(site, projectId, { name: `ha-${rig.made}` })
    await untilWhole(site, await memberPlaces(site, customer.id), wholeLimitMs, wholeLookMs)
    await asCustomer(customer.readWrite, (client) => client.query('select 1'))
    const took = performance.now() - started
    await removeCluster(site, customer)
    return { numbers: [took] }
  },
}

const bench: Bench<Rig> = {
  name: 'provision',
  experiments: [starter, ha],
  async open(say) {
    const installation = await openInstallation(places, say)
    const rig: Rig = { installation, image: '', made: 0 }
    // the first one of a service finds nothing warm: images' layers unread, code not yet compiled
    const first = await createStarter(installation, 'warm-up')
    await firstAnswer(first.connection)
    const image = await imageOf(first)
    await removeStarter(installation, first)
    return { ...rig, image }
  },
  close: ({ installation }) => closeInstallation(installation, places),
  engineOf: () => docker(['version', '--format', 'Docker {{.Server.Version}}']),
}

/** Of the member's container: what is done by hand has to use the same. */
async function imageOf({ id }: Customer): Promise<string> {
  const [image] = (await docker(['ps', '--filter', `label=io.holdfast.database=${id}`, '--filter', 'label=io.holdfast.kind=member', '--format', '{{.Image}}'])).split('\n')
  if (image === undefined || image === '') throw new Error('the member of the first database was not found')
  return image
}

export function run(options: RunOptions): Promise<number> {
  return runBench(bench, options)
}
