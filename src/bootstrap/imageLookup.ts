/** Which images an engine has. */
import type Docker from 'dockerode'
import { HoldfastError } from '../domain/errors.ts'

/** Null when there is no such image. Errors: `EngineUnreachable`. */
export async function imageId(docker: Docker, reference: string): Promise<string | null> {
  try {
    return (await docker.getImage(reference).inspect()).Id
  } catch (error) {
    if (statusOf(error) === 404) return null
    throw new HoldfastError('EngineUnreachable', `The engine did not tell about the image ${reference}`, { cause: error })
  }
}

function statusOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined
}
