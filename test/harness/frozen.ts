/** Freezes a value in depth, so that whoever changes what was only to be read is found out. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) for (const item of value.values()) frozen(item)
  // dates and secrets have no parts of their own to freeze
  for (const item of Object.values(value)) frozen(item)
  return Object.freeze(value)
}
