/**
 * Which run of the tests this process belongs to. Everything that tests make on an engine carries it as a label, so that
 * `npm test` finds what a run left behind, and never touches what another run that is still alive is using.
 */

/** `t<pid>…`: the process whose end ends the run. By hand that is `node --test`, the parent of every test file's process. */
export const testRun = process.env['HFT_RUN'] ?? `t${process.ppid}`

/** For one part of the run that sweeps after itself. */
export function runLabelOf(part: string): string {
  return `${testRun}.${part}`
}
