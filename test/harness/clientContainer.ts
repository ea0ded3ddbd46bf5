/** A container as a customer would run one: in a project's network, with PostgreSQL's tools, and nothing of ours but its labels. */
import { randomBytes } from 'node:crypto'
import type Docker from 'dockerode'
import type { ExecResult } from '../../src/clients/docker.ts'
import { label, resourceNames } from '../../src/domain/names.ts'
import { imageOf } from './containers.ts'
import type { TestService } from './service.ts'
import { testRun } from './testRun.ts'

export interface ClientContainer {
  /** In a shell. */
  sh(script: string, timeoutMs?: number): Promise<ExecResult>
  /** psql with one command; `connection` is a connection string without password. */
  psql(connection: string, command: string, password?: string): Promise<ExecResult>
  putFile(path: string, content: string): Promise<void>
  remove(): Promise<void>
}

const execTimeoutMs = 30_000
const lifeSeconds = 900
/** Where `putFile` was given the installation's authority. */
export const caPath = '/tmp/ca.pem'

/** `extraHosts`: `name:address`, as who owns a container may write into its own hosts file. */
export async function clientContainer(service: TestService, projectId: string, extraHosts: string[] = []): Promise<ClientContainer> {
  const { docker, engine, config, ca } = service
  const { installation } = config
  const signal = (): AbortSignal => AbortSignal.timeout(execTimeoutMs)
  const body: Docker.ContainerCreateOptions = {
    name: `${installation}-client-${randomBytes(3).toString('hex')}`,
    Image: await imageOf(service, 'postgres'),
    Entrypoint: ['sleep', String(lifeSeconds)],
    Cmd: [],
    Labels: { [label.installation]: installation, [label.run]: `${testRun}.client` },
    HostConfig: { NetworkMode: resourceNames(installation).network(projectId), AutoRemove: true, Init: true, ExtraHosts: extraHosts },
  }
  const container = await docker.createContainer(body)
  await container.start()
  const sh: ClientContainer['sh'] = (script, timeoutMs = execTimeoutMs) => engine.exec(container.id, ['sh', '-c', script], { timeoutMs }, AbortSignal.timeout(timeoutMs + 5_000))
  const putFile = async (path: string, content: string): Promise<void> => {
    const { exitCode, stderr } = await sh(`umask 077; base64 -d > ${path} <<'END'\n${Buffer.from(content).toString('base64')}\nEND`)
    if (exitCode !== 0) throw new Error(`${path} could not be written: ${stderr}`)
  }
  await putFile(caPath, ca)
  return {
    sh,
    putFile,
    psql: (connection, command, password) =>
      engine.exec(container.id, ['env', `PGPASSWORD=${password ?? ''}`, 'PGCONNECT_TIMEOUT=5', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', connection, '-c', command], { timeoutMs: execTimeoutMs }, signal()),
    remove: () => engine.removeContainer(container.id, { force: true }, signal()),
  }
}
