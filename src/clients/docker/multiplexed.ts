/**
 * The engine's frames of output of containers without a terminal: one byte of stream number, three of nothing,
 * four of length, then the text. Source: Docker Engine API, "ContainerAttach", stream format.
 */

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

const headerBytes = 8

/**
 * Reads all frames; keeps the first `maxBytes` of each stream and swallows the rest, so that nobody's output fills our memory.
 * `onStdout`: told of all that was kept of it so far.
 */
export async function readFrames(body: AsyncIterable<unknown>, maxBytes: number, onStdout?: (text: string) => void): Promise<Output> {
  const kept = { 1: new Kept(maxBytes), 2: new Kept(maxBytes) }
  // The frame being read: null while its header is incomplete.
  let frame: { readonly number: number; left: number } | null = null
  let header = Buffer.alloc(0)
  for await (const chunk of body) {
    let rest = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
    while (rest.length > 0) {
      if (frame === null) {
        const wanted = headerBytes - header.length
        header = Buffer.concat([header, rest.subarray(0, wanted)])
        rest = rest.subarray(wanted)
        if (header.length < headerBytes) continue
        frame = { number: header.readUInt8(0), left: header.readUInt32BE(4) }
        header = Buffer.alloc(0)
      }
      const part = rest.subarray(0, frame.left)
      rest = rest.subarray(part.length)
      kept[frame.number === 2 ? 2 : 1].add(part)
      if (frame.number !== 2) onStdout?.(kept[1].text())
      frame.left -= part.length
      if (frame.left === 0) frame = null
    }
  }
  return { stdout: kept[1].text(), stderr: kept[2].text() }
}

class Kept {
  readonly #parts: Buffer[] = []
  #left: number

  constructor(maxBytes: number) {
    this.#left = maxBytes
  }

  add(part: Buffer): void {
    const taken = part.subarray(0, this.#left)
    this.#left -= taken.length
    if (taken.length > 0) this.#parts.push(taken)
  }

  text(): string {
    return Buffer.concat(this.#parts).toString('utf8')
  }
}
