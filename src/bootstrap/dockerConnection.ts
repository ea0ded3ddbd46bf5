/** Where Docker engines are, and the client that builds images and makes helper containers on them. */
import Docker from 'dockerode'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { dockerOptions, type EngineConnection } from '../clients/docker.ts'
import { HoldfastError } from '../domain/errors.ts'
import { Secret } from '../domain/secret.ts'

const defaultSocket = '/var/run/docker.sock'

/** DOCKER_HOST alone when it is set: whoever set it means that engine and no other. */
export async function candidates(env: Readonly<Record<string, string | undefined>>): Promise<readonly EngineConnection[]> {
  const host = env['DOCKER_HOST']
  if (host !== undefined && host !== '') return [await fromEnvironment(host, env)]
  const runtimeDir = env['XDG_RUNTIME_DIR']
  const sockets = [defaultSocket, ...(runtimeDir === undefined ? [] : [join(runtimeDir, 'docker.sock')]), join(homedir(), '.docker/run/docker.sock')]
  return sockets.map((path) => ({ engine: `unix://${path}` }))
}

export const localEngine: EngineConnection = { engine: `unix://${defaultSocket}` }

async function fromEnvironment(host: string, env: Readonly<Record<string, string | undefined>>): Promise<EngineConnection> {
  const directory = env['DOCKER_CERT_PATH']
  if (host.startsWith('unix://') || env['DOCKER_TLS_VERIFY'] === undefined || directory === undefined) return { engine: host }
  const [ca, cert, key] = await Promise.all(['ca.pem', 'cert.pem', 'key.pem'].map((name) => readFile(join(directory, name), 'utf8')))
  if (ca === undefined || cert === undefined || key === undefined) throw new HoldfastError('ConfigInvalid', `${directory} has no certificates`)
  return { engine: host, tls: { ca, cert, key: new Secret(key) } }
}

export function openDocker(connection: EngineConnection): Docker {
  return new Docker(dockerOptions(connection))
}
