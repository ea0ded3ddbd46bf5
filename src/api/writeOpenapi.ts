/** `npm run openapi`: writes docs/openapi.json from the routes. The store behind them is never asked anything. */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { documentText } from './document.ts'

const path = fileURLToPath(new URL('../../docs/openapi.json', import.meta.url))
await writeFile(path, await documentText())
process.stderr.write(`${path} is up to date\n`)
