import { openTestEngine } from './e2e/testEngine.ts'
const t = await openTestEngine('hax'); console.log(await t.image('objectstore'))
