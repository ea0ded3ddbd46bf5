/**
 * The shortest way by which an operator would do an upgrade with the tools at hand: no new writes, stop the server, promote the
 * cluster that follows it, lead clients there. Done to what Holdfast made, while no controller runs, with docker, psql, Patroni's REST API
 * and the runtime interface of the endpoint's proxies. In favour of who does it, everything is looked up before, and one program types.
 */
import { parse } from 'yaml'
import { z } from 'zod'
import { applyRouting, type RoutingStep } from '../../src/clients/haproxy/routing.ts'
import type { RuntimeAddress } from '../../src/clients/haproxy.ts'
import { connectPatroni, type PatroniClient } from '../../src/clients/patroni.ts'
import { internalName, label } from '../../src/domain/names.ts'
import { Secret } from '../../src/domain/secret.ts'
import { boundPort, lookAtCluster, type MemberPlace, type ServerPlace } from '../harness/ha/members.ts'
import type { Site } from '../harness/ha/site.ts'
import { NotYet, until } from '../harness/waiting.ts'
import { docker } from './byHand.ts'

const callMs = 10_000
const lookMs = 50
const runtimePort = 9_999

/** `server` serves, `members` follow it. When each step was done, in ms from the first one's beginning. */
export async function upgradeByHand(site: Site, databaseId: string, { server, members }: { readonly server: ServerPlace; readonly members: readonly MemberPlace[] }): Promise<string> {
  const [first] = members
  if (first === undefined) throw new Error('there is no cluster to promote')
  const [proxies, patroni] = [await proxiesOf(site, databaseId), await patroniOf(site, first)]
  const begun = performance.now()
  const steps: string[] = []
  const mark = (what: string): void => void steps.push(`${what} ${Math.round(performance.now() - begun)}`)
  await docker(['exec', server.container, 'psql', '-XqU', 'postgres', '-c', 'alter system set default_transaction_read_only = on', '-c', 'select pg_reload_conf()'])
  mark('readOnly')
  // answers when its container has ended; on its way out PostgreSQL sends what its followers lack
  await docker(['stop', server.container])
  mark('stopped')
  await patroni.patchConfig({ standby_cluster: null }, AbortSignal.timeout(callMs))
  mark('told')
  const leader = await until('a member to take writes', async () => {
    const seen = await lookAtCluster(site, members)
    return seen.leader ?? new NotYet(seen.told)
  }, { everyMs: lookMs })
  mark('promoted')
  await Promise.all(proxies.map((proxy) => applyRouting(proxy, leadTo(leader.name))))
  mark('routed')
  return `by hand ${steps.join(', ')}`
}

function leadTo(server: string): readonly RoutingStep[] {
  const gone = (['be_rw', 'be_ro'] as const).map((backend): RoutingStep => ({ kind: 'setState', backend, server: 'standalone', state: 'maint' }))
  return [...gone, { kind: 'setHealth', server, health: 'up' }]
}

async function proxiesOf({ engine, docker: client, ca, superuser }: Site, databaseId: string): Promise<readonly RuntimeAddress[]> {
  const found = await engine.listContainers({ [label.database]: databaseId, [label.kind]: 'endpoint' }, AbortSignal.timeout(callMs))
  return Promise.all(found.map(async ({ id, labels }) => ({
    ...boundPort(await client.getContainer(id).inspect(), runtimePort), serverName: internalName.endpoint(labels[label.endpoint] ?? ''),
    ca, cert: superuser.certificatePem, key: superuser.keyPem, timeoutMs: callMs,
  })))
}

const loginSchema = z.object({ restapi: z.object({ authentication: z.object({ username: z.string(), password: z.string() }) }) })

async function patroniOf({ ca, superuser }: Site, { container, memberId, host, ports }: MemberPlace): Promise<PatroniClient> {
  const { restapi: { authentication: { username, password } } } = loginSchema.parse(parse(await docker(['exec', container, 'cat', '/conf/patroni.yml'])))
  const address = { host, port: ports.patroni, serverName: internalName.member(memberId), ca, cert: superuser.certificatePem, key: superuser.keyPem }
  return connectPatroni(address, { username, password: new Secret(password) }, { timeoutMs: callMs })
}
