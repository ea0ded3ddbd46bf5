/** The program itself: hands its arguments over and ends with the code that comes back. */
import { runProgram } from './program.ts'
import { processTerminal } from './terminal.ts'

process.exitCode = await runProgram(process.argv.slice(2), { terminal: processTerminal, environment: process.env })
