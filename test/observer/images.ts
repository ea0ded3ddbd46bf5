/** The images that members and endpoints run, built if they are not there. */
import { openTestEngine } from '../e2e/testEngine.ts'

export async function testImages(): Promise<{ readonly postgres: string; readonly haproxy: string }> {
  const engine = await openTestEngine('hfobserver')
  return { postgres: await engine.image('postgres'), haproxy: await engine.image('haproxy') }
}
