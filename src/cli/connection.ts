/** How the API is reached: by flags, else by the environment, else by the settings and the state directory of this machine's service. */
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { createClient } from '../client/client.ts'
import type { HoldfastClient } from '../client/client.ts'
import { loadConfig } from '../config.ts'
import { Unfit } from './usage.ts'

export const connectionOptions = z.object({
  apiUrl: z.url().optional(),
  tokenFile: z.string().optional(),
  caFile: z.string().optional(),
  stateDir: z.string().optional(),
  installation: z.string().optional(),
})
export type ConnectionOptions = z.output<typeof connectionOptions>

export async function connect(options: ConnectionOptions, environment: NodeJS.ProcessEnv): Promise<HoldfastClient> {
  const { HOLDFAST_API_URL, HOLDFAST_API_TOKEN, HOLDFAST_API_CA_FILE } = environment
  const local = loadConfig({
    ...environment,
    ...(options.stateDir === undefined ? {} : { HOLDFAST_STATE_DIR: options.stateDir }),
    ...(options.installation === undefined ? {} : { HOLDFAST_INSTALLATION: options.installation }),
  })
  const tokenFile = options.tokenFile ?? join(local.stateDir, 'admin-token')
  const token = options.tokenFile === undefined && HOLDFAST_API_TOKEN !== undefined ? HOLDFAST_API_TOKEN : await readText(tokenFile, '--token-file')
  const ca = await readText(options.caFile ?? HOLDFAST_API_CA_FILE ?? join(local.stateDir, 'ca.pem'), '--ca-file')
  return createClient({ baseUrl: options.apiUrl ?? HOLDFAST_API_URL ?? localUrl(local.api), token, ca })
}

function localUrl({ listenAddress, port }: { readonly listenAddress: string; readonly port: number }): string {
  const reachable = listenAddress === '0.0.0.0' ? '127.0.0.1' : listenAddress === '::' ? '::1' : listenAddress
  return `https://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`
}

async function readText(path: string, flag: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    throw new Unfit(`Cannot read ${path}.`, `Start the service on this machine (holdfast up), or give ${flag}.`, { cause })
  }
}
