import { ensureEngine, engineInfo } from '../src/bootstrap/engine.ts'
import { ensureImages, imageNames } from '../src/bootstrap/images.ts'
const signal = AbortSignal.timeout(590_000)
const report = (p: object): void => console.log(new Date().toISOString(), JSON.stringify(p))
const engine = await ensureEngine({ report, signal })
console.log(await engineInfo(engine, signal))
const names = process.argv.length > 2 ? imageNames.filter((n) => process.argv.includes(n)) : imageNames
const a = performance.now()
console.log(await ensureImages({ docker: engine.docker, names, report, signal }))
console.log(performance.now() - a)
