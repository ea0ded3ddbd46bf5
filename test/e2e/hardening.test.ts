/**
 * What the containers of a database are allowed: read from the engine, and tried from inside, because a setting that does not
 * hold is worse than none. Perl makes the system calls, as the images have few tools.
 */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { tiers } from '../../src/domain/tiers.ts'
import { inspect, untilRunning, type Inspection, type Part } from '../harness/containers.ts'
import { deleteDatabase, newProject, readyDatabase } from '../harness/databases.ts'
import { endings } from '../harness/endings.ts'
import { openService, type TestService } from '../harness/service.ts'

const parts: readonly Part[] = ['member', 'agent', 'endpoint']

interface Attempt {
  readonly attempt: string
  readonly script: string
  readonly refusal: RegExp
}

/** Linux numbers system calls by architecture. */
const mountCall = process.arch === 'arm64' ? 40 : 165

const attempts: readonly Attempt[] = [
  { attempt: 'write to its root file system', script: 'touch /x /etc/x /usr/bin/x', refusal: /Read-only file system/ },
  { attempt: 'make a device', script: 'mknod /tmp/disk b 7 0', refusal: /Operation not permitted/ },
  { attempt: 'mount', script: `perl -e 'my ($what, $where, $kind) = ("none", "/tmp", "tmpfs"); syscall(${mountCall}, $what, $where, $kind, 0, 0) == 0 or die $!'`, refusal: /Operation not permitted|Permission denied/ },
  { attempt: 'change its root', script: 'perl -e \'chroot("/tmp") or die $!\'', refusal: /Operation not permitted/ },
  { attempt: 'open a raw socket', script: 'perl -e \'socket(my $s, 2, 3, 1) or die $!\'', refusal: /Operation not permitted/ },
  { attempt: 'become root', script: 'perl -MPOSIX -e \'POSIX::setuid(0) or die $!\'', refusal: /Operation not permitted/ },
  { attempt: 'become root by a program that was made for it', script: 'echo | su -c "id -u" root', refusal: /Authentication failure|must be run from a terminal|cannot set/ },
  { attempt: 'give a file to somebody else', script: 'touch /tmp/mine && chown 0:0 /tmp/mine', refusal: /Operation not permitted/ },
  { attempt: 'make a user namespace, in which it would be root', script: 'unshare --user --map-root-user true', refusal: /Operation not permitted|No space left|Permission denied/ },
  { attempt: 'run a program from its writable memory', script: 'for d in /tmp /run; do cp /bin/true $d/program && $d/program && exit 0; done; exit 1', refusal: /Permission denied/ },
  { attempt: 'change the kernel', script: 'echo 1 > /proc/sys/kernel/panic; echo b > /proc/sysrq-trigger', refusal: /Read-only file system|Permission denied/ },
  { attempt: 'see or signal a process outside', script: 'test "$(cat /proc/1/comm)" = s6-svscan && kill -0 99999', refusal: /No such process/ },
  { attempt: 'reach the engine', script: 'ls /var/run/docker.sock /run/docker.sock', refusal: /No such file/ },
]

describe('the containers of a database', () => {
  const ending = endings()
  const ids = new Map<Part, string>()
  let service: TestService

  before(async () => {
    service = await openService(ending)
    const { projectId } = await newProject(service, 'hardening')
    const made = await readyDatabase(service, projectId, { name: 'vault' })
    ending.after(() => deleteDatabase(service, made))
    for (const part of parts) ids.set(part, (await untilRunning(service, made.id, part)).id)
  })

  const idOf = (part: Part): string => ids.get(part) ?? assert.fail(`there is no ${part}`)
  const inside = async (part: Part, script: string) => service.engine.exec(idOf(part), ['sh', '-c', script], {}, AbortSignal.timeout(30_000))
  const inspected = (part: Part): Promise<Inspection> => inspect(service, idOf(part))

  for (const part of parts) {
    describe(part, () => {
      test('runs as nobody special, without a capability, a new privilege, a writable root, a device or a folder of the host', async () => {
        const { Config, HostConfig, Mounts } = await inspected(part)
        assert.equal(Config.User, '5432:5432')
        assert.equal(HostConfig.Privileged, false)
        assert.equal(HostConfig.ReadonlyRootfs, true)
        assert.deepEqual(HostConfig.CapDrop, ['ALL'])
        assert.deepEqual(HostConfig.CapAdd ?? [], [])
        assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges'])
        assert.deepEqual(HostConfig.Binds ?? [], [])
        assert.deepEqual(HostConfig.Devices ?? [], [])
        assert.deepEqual([HostConfig.PidMode, HostConfig.IpcMode], ['', 'private'])
        assert.ok(!['host', 'bridge', 'default'].includes(HostConfig.NetworkMode), HostConfig.NetworkMode)
        assert.deepEqual(Mounts.filter(({ Type }) => Type !== 'volume' && Type !== 'tmpfs'), [])
        for (const [path, options] of Object.entries(HostConfig.Tmpfs ?? {})) {
          for (const option of ['noexec', 'nosuid', 'nodev']) assert.ok(options.split(',').includes(option), `${path}: ${options}`)
        }
      })

      test('is bounded in memory, processor time, processes and logs, and comes back by itself', async () => {
        const { HostConfig } = await inspected(part)
        assert.ok(HostConfig.Memory > 0 && HostConfig.MemorySwap === HostConfig.Memory, `${HostConfig.Memory} ${HostConfig.MemorySwap}`)
        assert.ok(HostConfig.CpuQuota > 0 && HostConfig.CpuPeriod > 0)
        assert.ok((HostConfig.PidsLimit ?? 0) > 0)
        assert.deepEqual(HostConfig.LogConfig, { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } })
        assert.equal(HostConfig.RestartPolicy.Name, 'always')
      })

      test('has nothing but names in its environment and arguments', async () => {
        const { Config } = await inspected(part)
        for (const variable of Config.Env ?? []) assert.doesNotMatch(variable, /pass|secret|key|token|cipher/i)
        assert.equal(Config.Cmd?.length, 1)
      })

      test('is what the kernel says too: no capability in any set, no new privileges, filtered system calls, no root process', async () => {
        const { stdout } = await inside(part, 'id -u; grep -hE "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; stat -c %u /proc/[0-9]*')
        const [uid, ...lines] = stdout.trim().split('\n')
        assert.equal(uid, '5432')
        const status = new Map(lines.filter((line) => line.includes(':')).map((line) => line.split(/:\s+/) as [string, string]))
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status.get(set) ?? '', /^0+$/, set)
        assert.equal(status.get('NoNewPrivs'), '1')
        assert.equal(status.get('Seccomp'), '2')
        assert.deepEqual(lines.filter((line) => !line.includes(':') && line !== '5432'), [])
      })

      for (const { attempt, script, refusal } of attempts) {
        test(`cannot ${attempt}`, async () => {
          const { exitCode, stdout, stderr } = await inside(part, script)
          assert.notEqual(exitCode, 0, stdout)
          assert.match(stdout + stderr, refusal)
        })
      }
    })
  }

  test('the member gets what its tier says', async () => {
    const { HostConfig } = await inspected('member')
    assert.equal(HostConfig.Memory, tiers.starter.memoryBytes)
    assert.equal(HostConfig.CpuQuota / HostConfig.CpuPeriod, tiers.starter.cpus)
    const { stdout } = await inside('member', 'df --output=size -B1 /data | tail -1')
    const share = Number(stdout) / tiers.starter.storageBytes
    assert.ok(share > 0.95 && share <= 1, `the data volume has ${stdout.trim()} bytes`)
  })

  test('the member knows no way to the backups: neither store, nor key, nor cipher', async () => {
    const { stdout } = await inside('member', 'grep -rliE "repo1-|s3-key|cipher-pass" /conf; cat /etc/hosts')
    assert.doesNotMatch(stdout, /objectstore|\/conf\//)
  })
})
