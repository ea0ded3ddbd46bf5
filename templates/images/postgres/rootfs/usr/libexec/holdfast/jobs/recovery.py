"""Recovers restored files to their target, with nobody able to connect from outside, and leaves a cleanly stopped cluster."""
import re
import signal
import subprocess
import threading
import time

from . import process
from .report import JobError, Progress, clean

DATA = '/data/pg.new'
_HBA = '/run/holdfast/pg_hba.conf'
_CONFIGURATION = '/run/holdfast/recovery.conf'
# Recovery may take hours; what it may not do is stand still for so long. One WAL file takes seconds.
_STALLED_AFTER_S = 900
_POLL_S = 0.2
_STOP_WITHIN_S = 600

# The configuration among the restored files is not read: what it says of listening, TLS and archiving belongs to the source, and one
# that Patroni wrote includes files that are not here. postgresql.auto.conf, where pgBackRest puts the target, is read in any case.
_SETTINGS = {
    # Nobody reads until the target is reached; so no setting has to be as large as the source's.
    'hot_standby': 'off',
    'listen_addresses': '',
    'unix_socket_directories': '/run/postgresql',
    'hba_file': _HBA,
    'ssl': 'off',
    'archive_mode': 'off',
    'shared_buffers': '128MB',
    'logging_collector': 'off',
    'log_destination': 'stderr',
    'log_line_prefix': '%m [%p] ',
    'log_timezone': 'UTC',
    'lc_messages': 'C',
    'autovacuum': 'off',
    'synchronous_standby_names': '',
}

# What a restore leaves in postgresql.auto.conf. Left there, it would steer a later recovery of the new database.
_LEFTOVERS = (
    'restore_command', 'recovery_target', 'recovery_target_action', 'recovery_target_inclusive', 'recovery_target_lsn',
    'recovery_target_name', 'recovery_target_time', 'recovery_target_timeline', 'recovery_target_xid', 'archive_mode',
    'primary_conninfo', 'primary_slot_name',
)


_TURNED_AWAY = re.compile(r'FATAL: +the database system is |DETAIL: +Hot standby mode is disabled')


class _Log:
    """The server's log, read as it comes; keeps what explains an end."""

    def __init__(self, stream):
        self.fatal: list = []
        self.wal_files = 0
        self.changed_at = time.monotonic()
        self.last_transaction_at = None
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream) -> None:
        for raw in stream:
            line = clean(raw)
            # our own looking, turned away until the target is reached, is no progress and explains nothing
            if _TURNED_AWAY.search(line):
                continue
            self.changed_at = time.monotonic()
            if 'restored log file' in line:
                self.wal_files += 1
            if re.search(r'\b(FATAL|PANIC):', line):
                self.fatal = [*self.fatal, line][-3:]
            # "last completed transaction was at log time …" and "recovery stopping before commit of transaction 7, time …"
            found = re.search(r'(?:was at log time|of transaction \d+, time) ([0-9-]+ [0-9:.]+\S*)', line)
            if found and 'last completed' in line:
                self.last_transaction_at = found.group(1)

    def finish(self) -> None:
        self._thread.join(timeout=5)


def recover(progress: Progress) -> dict:
    with open(_HBA, 'w', encoding='ascii') as file:
        file.write('local all postgres peer\n')
    with open(_CONFIGURATION, 'w', encoding='ascii') as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
    server = process.start(['postgres', '-D', DATA, '-c', f'config_file={_CONFIGURATION}'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = _Log(server.stdout)
    _await_promotion(server, log, progress)
    progress.say('settingFree')
    for name in _LEFTOVERS:
        _sql(f'alter system reset {name}')
    timeline = int(_sql('select pg_walfile_name(pg_current_wal_lsn())')[:8], 16)
    lsn = _sql('select pg_current_wal_lsn()')
    _stop(server, log)
    return {**identity(DATA), 'timeline': timeline, 'lsn': lsn, 'walFiles': log.wal_files, 'lastTransactionAt': log.last_transaction_at}


def identity(data: str) -> dict:
    text = process.output_of(['pg_controldata', '-D', data], timeout_s=30)
    values = dict(line.split(':', 1) for line in text.splitlines() if ':' in line)
    state = values['Database cluster state'].strip()
    if state != 'shut down' and data == DATA:
        raise JobError('NotCleanlyStopped', f'the recovered cluster is in state "{state}"')
    return {'systemIdentifier': values['Database system identifier'].strip()}


def _await_promotion(server, log: _Log, progress: Progress) -> None:
    while True:
        if server.poll() is not None:
            log.finish()
            raise _failure(log)
        progress.say('replayingWal', walFiles=log.wal_files)
        if _sql('select pg_is_in_recovery()', may_fail=True) == 'f':
            return
        if time.monotonic() - log.changed_at > _STALLED_AFTER_S:
            server.send_signal(signal.SIGQUIT)
            raise JobError('RecoveryStalled', f'recovery made no progress for {_STALLED_AFTER_S} s')
        time.sleep(_POLL_S)


def _failure(log: _Log) -> JobError:
    said = ' '.join(log.fatal) or 'the server ended without a reason'
    if 'before configured recovery target was reached' in said:
        last = f'; the last transaction is of {log.last_transaction_at}' if log.last_transaction_at else ''
        return JobError('TargetNotReached', f'the archive ends before the moment that was asked for{last}')
    return JobError('RecoveryFailed', said)


def _stop(server, log: _Log) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise JobError('NotCleanlyStopped', 'the recovered server did not stop in time') from error
    if process.ended(server) != 0:
        log.finish()
        raise JobError('NotCleanlyStopped', ' '.join(log.fatal) or 'the recovered server did not stop cleanly')


def _sql(statement: str, may_fail: bool = False) -> str:
    arguments = ['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', '/run/postgresql', '-U', 'postgres', '-d', 'postgres', '-c', statement]
    try:
        return process.output_of(arguments, timeout_s=60).strip()
    except JobError:
        if may_fail:
            return ''
        raise
