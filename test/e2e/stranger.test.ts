/**
 * What a container of another project can do to a database: it reaches every port that is published on the host's private
 * address, so each of them has to tell who it is. Certificates of the same authority, but of another instance, are tried too.
 */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { ExecResult } from '../../src/clients/docker.ts'
import { embeddedPlaces } from '../../src/bootstrap/embedded.ts'
import { internalName, label } from '../../src/domain/names.ts'
import { caPath, clientContainer, type ClientContainer } from '../harness/clientContainer.ts'
import { containerOf, untilRunning } from '../harness/containers.ts'
import { databaseOf, deleteDatabase, newProject, readyDatabase, session, withSession, type Made } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { identityOf } from '../harness/identities.ts'
import { openService, type TestService } from '../harness/service.ts'

interface Ports {
  /** That the member's certificate carries. */
  readonly name: string
  readonly address: string
  readonly postgres: number
  readonly backup: number
  readonly runtime: number
}

const ourRoles = ['postgres', 'holdfast_wal', 'holdfast_replicator', 'holdfast_rewind', 'holdfast_pooler']
const holders = ['member', 'agent', 'endpoint'] as const

/** By somebody who is logged in as the owner of a database. */
const forbidden: readonly (readonly [what: string, sql: string])[] = [
  ['reads no password', 'select rolpassword from pg_authid'],
  ['reads no file', `select pg_read_file('/conf/tls/server.key')`],
  ['reads no file as bytes', `select pg_read_binary_file('/conf/tls/server.key')`],
  ['lists no folder', `select pg_ls_dir('/')`],
  ['copies from no file', `create table f (t text); copy f from '/etc/passwd'`],
  ['copies to no file', `copy (select 1) to '/data/pg/postgresql.auto.conf'`],
  ['runs no program', `copy (select 1) to program 'id'`],
  ['imports no file', `select lo_import('/etc/passwd')`],
  ['becomes no superuser', 'set role postgres'],
  ['makes no superuser', 'create role boss superuser'],
  ['is made no superuser', 'alter role current_user superuser'],
  ['may not replicate', 'alter role current_user replication'],
  ['becomes no role of ours', 'set role holdfast_wal'],
  ['changes no setting of the server', `alter system set archive_command = 'id'`],
  ['loads no library', `load '/tmp/x.so'`],
  ['makes no function in C', `create function f() returns int language c as '/tmp/x.so', 'f'`],
  ['makes no untrusted language', 'create extension plpython3u'],
  ['reloads no configuration', 'select pg_reload_conf()'],
  ['drops no slot of ours', `select pg_drop_replication_slot('holdfast_wal')`],
  ['makes no slot that would hold WAL back', `select pg_create_physical_replication_slot('mine', true)`],
  ['promotes nothing', 'select pg_promote()'],
  ['makes no other database', 'create database other'],
  ['asks for no verifier', `select holdfast.login_verifier('tenant_1')`],
]

describe('a container of another project', () => {
  const ending = endings()
  let service: TestService
  let victim: Made
  let own: Made
  let stranger: ClientContainer
  let ports: Ports
  let ownPorts: Ports

  before(async () => {
    service = await openService(ending)
    const [there, here] = [await newProject(service, 'victim'), await newProject(service, 'stranger')]
    ;[victim, own] = await Promise.all([readyDatabase(service, there.projectId, { name: 'victim' }), readyDatabase(service, here.projectId, { name: 'own' })])
    ending.after(() => deleteDatabase(service, victim))
    ending.after(() => deleteDatabase(service, own))
    await Promise.all([untilRunning(service, victim.id, 'agent'), untilRunning(service, own.id, 'agent')])
    ;[ports, ownPorts] = await Promise.all([portsOf(victim), portsOf(own)])
    stranger = await clientContainer(service, here.projectId, [ports, ownPorts].map(({ name, address }) => `${name}:${address}`))
    ending.after(() => stranger.remove())
    for (const part of holders) {
      const { certificate, key } = await identityOf(service, own.id, part)
      await stranger.putFile(`/tmp/${part}.crt`, certificate)
      await stranger.putFile(`/tmp/${part}.key`, key)
    }
  })

  async function portsOf({ id }: Made): Promise<Ports> {
    const [member, endpoint] = await Promise.all([containerOf(service, id, 'member'), containerOf(service, id, 'endpoint')])
    const published = [...member.ports, ...endpoint.ports]
    const at = (port: number) => published.find(({ containerPort }) => containerPort === port) ?? assert.fail(`port ${port} is not published`)
    const name = internalName.member(member.labels[label.member] ?? '')
    return { name, address: at(5432).address, postgres: at(5432).hostPort, backup: at(8432).hostPort, runtime: at(9999).hostPort }
  }

  const connection = ({ address, postgres }: Ports, more: string): string => `host=${address} port=${postgres} connect_timeout=5 ${more}`
  const withIdentity = (part: (typeof holders)[number]): string => `sslmode=verify-ca sslrootcert=${caPath} sslcert=/tmp/${part}.crt sslkey=/tmp/${part}.key`
  const refused = ({ exitCode, stdout, stderr }: ExecResult, why: RegExp, what: string): void => {
    assert.notEqual(exitCode, 0, `${what}: got in and was told ${stdout}`)
    assert.match(stderr, why, what)
  }

  test('reaches the port of a member at all: a certificate does open what it was made for, so the refusals below mean something', async () => {
    const said = await stranger.psql(connection(ownPorts, `user=holdfast_wal replication=true ${withIdentity('agent')}`), 'IDENTIFY_SYSTEM')
    assert.match(said.stdout, /^\d{18,}\|1\|/, said.stderr)
  })

  test('is nobody at a member: not without a certificate, not with one of another instance, not in clear text', async () => {
    for (const role of ourRoles) {
      for (const into of ['dbname=postgres', 'replication=true']) {
        const attempt = (tls: string) => stranger.psql(connection(ports, `user=${role} ${into} ${tls}`), into === 'dbname=postgres' ? 'select 1' : 'IDENTIFY_SYSTEM', 'guess')
        refused(await attempt('sslmode=require'), /requires a valid client certificate|rejects (replication )?connection|no pg_hba.conf entry|authentication failed/, `${role} ${into} without a certificate`)
        refused(await attempt('sslmode=disable'), /rejects (replication )?connection|no pg_hba.conf entry/, `${role} ${into} in clear text`)
        for (const part of holders) refused(await attempt(withIdentity(part)), /certificate authentication failed|rejects (replication )?connection|no pg_hba.conf entry|authentication failed/, `${role} ${into} as the ${part} of another database`)
      }
    }
  })

  test('is not the customer either, without the password, or in a database that is not the customer’s', async () => {
    const { user, password, database } = victim.login
    const attempt = (into: string, given: string, tls = 'sslmode=require') => stranger.psql(connection(ports, `user=${user} dbname=${into} ${tls}`), 'select 1', given)
    refused(await attempt(database, ''), /no password supplied|password authentication failed/, 'no password')
    refused(await attempt(database, 'guess'), /password authentication failed/, 'a wrong password')
    refused(await attempt(database, password, 'sslmode=disable'), /rejects (replication )?connection|no pg_hba.conf entry/, 'clear text')
    refused(await attempt('postgres', password), /permission denied for database/, 'another database')
    refused(await attempt('template1', password), /permission denied for database/, 'template1')
    refused(await stranger.psql(connection(ports, `user=${user} replication=true sslmode=require`), 'IDENTIFY_SYSTEM', password), /rejects (replication )?connection|no pg_hba.conf entry/, 'replication')
    const { user: foreign, password: foreignPassword } = own.login
    refused(await stranger.psql(connection(ports, `user=${foreign} dbname=${database} sslmode=require`), 'select 1', foreignPassword), /password authentication failed/, 'a login of another database')
  })

  test('reads no file of another database through pgBackRest, with the certificate of its own agent', async () => {
    const list = ({ name, backup }: Ports, identity: string) => stranger.sh(
      `pgbackrest --stanza=main --log-level-console=warn --log-level-file=off --repo1-path=/data --repo1-host=${name} --repo1-host-type=tls --repo1-host-port=${backup} --repo1-host-ca-file=${caPath} ${identity} --io-timeout=5 repo-ls pg 2>&1`)
    const identity = '--repo1-host-cert-file=/tmp/agent.crt --repo1-host-key-file=/tmp/agent.key'
    const own = await list(ownPorts, identity)
    assert.match(own.stdout, /PG_VERSION/, 'at its own member it is let in, so this asks the right question')
    const told = await list(ports, identity)
    assert.notEqual(told.exitCode, 0, told.stdout)
    assert.match(told.stdout, /access denied/)
    for (const holder of ['member', 'endpoint']) {
      const other = await list(ports, identity.replaceAll('agent', holder))
      assert.notEqual(other.exitCode, 0, `${holder}: ${other.stdout}`)
      assert.doesNotMatch(other.stdout, /PG_VERSION/, holder)
    }
    const nobody = await list(ports, '')
    assert.notEqual(nobody.exitCode, 0, nobody.stdout)
    assert.doesNotMatch(nobody.stdout, /PG_VERSION/)
  })

  test('commands no proxy: the runtime port wants the controller’s certificate and no other', async () => {
    const say = (identity: string) => stranger.sh(`(echo 'show info'; sleep 1) | timeout 8 openssl s_client -quiet -connect ${ports.address}:${ports.runtime} ${identity} -CAfile ${caPath} 2>&1; true`, 15_000)
    for (const identity of ['', ...holders.map((part) => `-cert /tmp/${part}.crt -key /tmp/${part}.key`)]) {
      assert.doesNotMatch((await say(identity)).stdout, /HAProxy|Version:|Uptime/, identity)
    }
  })

  test('has no console of the pooler', async () => {
    const { endpoint } = await databaseOf(service, victim.id)
    const at = `host=${ports.address} port=${endpoint?.ports.pooled ?? 0} dbname=pgbouncer`
    for (const user of [`controller.${service.config.installation}`, 'postgres', 'pgbouncer', victim.login.user]) {
      for (const tls of ['sslmode=require', ...holders.map(withIdentity)]) {
        refused(await stranger.psql(`${at} user=${user} ${tls}`, 'show config', victim.login.password), /failed|denied|not allowed|rejected|no such user|cert/i, `${user} ${tls}`)
      }
    }
  })

  test('reads nothing in the object store, without a key or with a wrong one', async () => {
    const { port, serverName, bucket } = embeddedPlaces(service.config).objectStore
    const get = (headers: string) => stranger.sh(`python3 - <<'END'
import http.client, ssl
context = ssl.create_default_context(cafile='${caPath}')
context.check_hostname = False
for path in ['/', '/${bucket}', '/${bucket}/?list-type=2', '/${bucket}/health', '/admin/user', '/swift/v1']:
    connection = http.client.HTTPSConnection('${ports.address}', ${port}, timeout=10, context=context)
    connection.request('GET', path, headers={'Host': '${serverName}', ${headers}})
    answer = connection.getresponse()
    print(path, answer.status, answer.read()[:300])
END`)
    for (const headers of ['', `'Authorization': 'AWS guess:c2lnbmF0dXJl', 'Date': 'Thu, 01 Jan 2026 00:00:00 GMT'`]) {
      const { exitCode, stdout, stderr } = await get(headers)
      assert.equal(exitCode, 0, stderr)
      for (const line of stdout.trim().split('\n')) {
        assert.doesNotMatch(line, /<Key>|<Bucket>|lineages/, line)
        // the list of an anonymous user's own buckets is an answer, and an empty one
        if (!line.startsWith('/ ')) assert.match(line, / (400|401|403|404|405) /, line)
      }
    }
  })

  test('does not even reach the control database, nor a container of another project', async () => {
    const { port } = embeddedPlaces(service.config).controlDatabase
    const addresses = await addressesOf([`${service.config.installation}-control`, (await containerOf(service, victim.id, 'member')).id, (await containerOf(service, victim.id, 'endpoint')).id])
    const targets = [`${ports.address}:${port}`, ...addresses.map((address) => `${address}:5432`)]
    for (const target of targets) {
      const [host = '', at = ''] = target.split(':')
      const { exitCode, stdout } = await stranger.sh(`timeout 3 bash -c 'exec 3<>/dev/tcp/${host}/${at}' 2>&1`)
      assert.notEqual(exitCode, 0, `${target} was reached: ${stdout}`)
    }
  })

  async function addressesOf(containers: readonly string[]): Promise<readonly string[]> {
    const seen = await Promise.all(containers.map((id) => service.docker.getContainer(id).inspect()))
    return seen.flatMap(({ NetworkSettings }) => Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress))
  }

  describe('as a customer inside the own database', () => {
    for (const [what, sql] of forbidden) {
      test(what, async () => {
        await withSession(service, own, async (it) => {
          // superuser or a privilege is missing, or there is no such thing to be had
          await assert.rejects(it.query(sql), (error) => error instanceof Error && 'code' in error && ['42501', '3F000', '0A000', '42704', '58P01'].includes(String(error.code)), sql)
        })
      })
    }

    test('ends no session that is not its own', async () => {
      await withSession(service, own, async (it) => {
        await assert.rejects(it.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename in ('holdfast_wal', 'postgres')`), { code: '42501' })
      })
    })

    test('is not let into a database of ours', async () => {
      for (const database of ['postgres', 'template1']) await assert.rejects(session(service, own, { database }), { code: '42501' }, database)
    })
  })
})
