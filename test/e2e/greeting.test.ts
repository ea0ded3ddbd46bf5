/** A starting container makes itself known to its host, so that nobody waits for a second who knocked too early. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { label } from '../../src/domain/names.ts'
import { openTestEngine } from './testEngine.ts'

const host = await openTestEngine('hftgreet')
const limitMs = 60_000
/** Where the greeting goes to: the gateway of the engine's own bridge. */
const { IPAM } = await host.docker.getNetwork('bridge').inspect() as { readonly IPAM: { readonly Config: readonly { readonly Gateway?: string }[] } }
const gateway = IPAM.Config[0]?.Gateway

before(() => host.sweep())
after(() => host.sweep())

for (const name of ['postgres', 'haproxy'] as const) {
  test(`the image ${name} greets its gateway before anything else`, { timeout: limitMs }, async () => {
    const image = await host.image(name)
    const socket = createSocket('udp4')
    try {
      const heard = once(socket, 'message', { signal: AbortSignal.timeout(limitMs) })
      socket.bind(9, gateway)
      const container = await host.docker.createContainer({
        Image: image, Entrypoint: ['/usr/libexec/holdfast/greet'], Labels: { [label.installation]: host.installation, [label.run]: host.runLabel },
        HostConfig: { CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'], ReadonlyRootfs: true },
      })
      await container.start()
      await heard
      const { StatusCode } = await container.wait() as { readonly StatusCode: number }
      assert.equal(StatusCode, 0)
    } finally {
      socket.close()
    }
  })
}
