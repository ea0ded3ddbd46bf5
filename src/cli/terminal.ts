/** Where a command speaks: its answer to stdout, everything else to stderr. With --json the answer is one line. */
export interface Terminal {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

/** What a command found, for programs and for people. */
export interface Shown {
  readonly answer: object
  readonly text: string
}

export const processTerminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
}

export function show(terminal: Terminal, json: boolean, { answer, text }: Shown): void {
  if (json) terminal.out(`${JSON.stringify({ ok: true, ...answer })}\n`)
  else terminal.out(text.endsWith('\n') ? text : `${text}\n`)
}

export interface Failing {
  readonly code: string
  readonly message: string
  readonly next: string
}

export function showFailure(terminal: Terminal, json: boolean, error: Failing): void {
  terminal.err(`${error.message}\n${error.next}\n`)
  if (json) terminal.out(`${JSON.stringify({ ok: false, error })}\n`)
}

/** Columns as wide as their widest cell; `-` for what is not known. */
export function table(headings: readonly string[], rows: readonly (readonly (string | number | null | undefined)[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map((cell) => (cell === null || cell === undefined || cell === '' ? '-' : String(cell))))
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')
}
