/** Run by engine.test.ts inside namespaces of its own: says on one line whether this process started the engine. */
import { engineInfo, ensureEngine } from '../../src/bootstrap/engine.ts'

const signal = AbortSignal.timeout(120_000)
const engine = await ensureEngine({ report: () => undefined, signal, env: {} })
const { privateAddress } = await engineInfo(engine, signal)
console.log(JSON.stringify({ started: engine.started, privateAddress }))
