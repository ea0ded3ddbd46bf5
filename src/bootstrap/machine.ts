/** What this machine is, as far as installing something on it depends on that. */
import { access, readFile } from 'node:fs/promises'

export interface Machine {
  /** Root, on a distribution whose packages are Debian's. */
  readonly canInstall: boolean
  readonly hasSystemd: boolean
}

export async function lookAtMachine(): Promise<Machine> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const hasSystemd = await access('/run/systemd/system').then(() => true, () => false)
  return { canInstall: process.getuid?.() === 0 && isDebianLike(release), hasSystemd }
}

/** Of the text of /etc/os-release. */
export function isDebianLike(release: string): boolean {
  const names = release.matchAll(/^ID(?:_LIKE)?=["']?([^"'\n]*)/gm)
  return [...names].some(([, value]) => /\b(debian|ubuntu)\b/.test(value ?? ''))
}
