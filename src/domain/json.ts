/** Text from outside that should be JSON, and may be cut off or none at all: a schema says what becomes of null. */
export function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
