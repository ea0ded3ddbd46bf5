/** `holdfast serve`: the controller in the foreground, until it is interrupted. */
import { runService } from '../main.ts'

export function run(_options: { readonly json: boolean }): Promise<number> {
  return runService()
}
