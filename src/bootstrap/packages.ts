/** Installs packages of the distribution: Debian's tools only, retried, because mirrors fail now and then. */
import pRetry from 'p-retry'
import { runCommand } from './command.ts'

const aptTimeoutMs = 5 * 60_000
const retries = 2
const quiet = { DEBIAN_FRONTEND: 'noninteractive' }

export async function installPackages(names: readonly string[], signal: AbortSignal): Promise<void> {
  await pRetry(async () => {
    await apt(['update', '-qq'], signal)
    await apt(['install', '-y', '-qq', '--no-install-recommends', ...names], signal)
  }, { retries, signal })
}

// Waits for another apt instead of failing at once: machines update themselves just after they start.
async function apt(args: readonly string[], signal: AbortSignal): Promise<void> {
  await runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], { timeoutMs: aptTimeoutMs, signal, env: quiet })
}
