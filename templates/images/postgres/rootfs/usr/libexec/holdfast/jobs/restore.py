"""restore latest | time MOMENT [LABEL] | backup LABEL: turns an empty volume into the data of the instance in /conf/instance.

The data grow as /data/pg.new: the files, then recovery to the target, promotion, a clean stop. Only then are they renamed to
/data/pg and the volume marked as initialised. What was interrupted starts over; what was finished is left alone.
"""
import contextlib
import datetime
import fcntl
import os
import shutil

from . import pgbackrest, process, recovery
from .report import JobError, Progress
from .verify import LABEL

_DATA = '/data/pg'
_MARKER = '/data/INITIALISED'


def run(arguments: list, progress: Progress) -> dict:
    options = _options(arguments)
    instance = _read('/conf/instance')
    with open('/data/lock', 'w', encoding='ascii') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError('VolumeInUse', 'something else still works on this volume') from error
        done = _already_done(instance)
        if done:
            return done
        shutil.rmtree(recovery.DATA, ignore_errors=True)
        os.mkdir(recovery.DATA, 0o700)
        total = _copy_files(options, progress)
        reached = recovery.recover(progress)
        _forget_cluster()
        os.rename(recovery.DATA, _DATA)
        process.output_of(['/usr/libexec/holdfast/mark-initialised', instance], timeout_s=60)
        return {**reached, 'restoredBytes': total, 'alreadyDone': False}


def _options(arguments: list) -> list:
    """pgBackRest's options for the point that was asked for."""
    kind, *rest = arguments or ['']
    if kind == 'latest' and not rest:
        return ['--type=default']
    if kind == 'backup' and len(rest) == 1:
        return ['--type=immediate', '--target-action=promote', f'--set={_label(rest[0])}']
    if kind == 'time' and len(rest) in (1, 2):
        chosen = [f'--set={_label(rest[1])}'] if len(rest) == 2 else []
        return ['--type=time', f'--target={_moment(rest[0])}', '--target-action=promote', *chosen]
    raise JobError('Usage', 'usage: job restore latest | time MOMENT [LABEL] | backup LABEL')


def _label(text: str) -> str:
    if not LABEL.fullmatch(text):
        raise JobError('Usage', 'not the label of a backup')
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise JobError('Usage', 'the moment is not an ISO 8601 time') from error
    if moment.tzinfo is None:
        raise JobError('Usage', 'the moment has no time zone')
    return moment.astimezone(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M:%S.%f+00')


def _copy_files(options: list, progress: Progress) -> int:
    """Returns the size of the database in bytes, as far as the catalogue tells which backup it comes from."""
    progress.say('readingCatalogue')
    backups = pgbackrest.catalogue().get('backup', [])
    if not backups:
        raise JobError('BackupUnknown', 'the repository holds no backup')
    chosen = [option.removeprefix('--set=') for option in options if option.startswith('--set=')]
    sizes = {backup['label']: backup['info']['size'] for backup in backups}
    if chosen and chosen[0] not in sizes:
        raise JobError('BackupUnknown', f'the repository has no backup {chosen[0]}')
    total = sizes[chosen[0]] if chosen else backups[-1]['info']['size']

    def said(percent: float) -> None:
        progress.say('copyingFiles', percent=percent, bytes=int(total * percent / 100), totalBytes=total)

    said(0.0)
    pgbackrest.run('restore', '--archive-mode=off', *options, on_percent=said)
    return total


def _forget_cluster() -> None:
    """What Patroni left among the data of a cluster: settings of the source, that nothing here should ever find again."""
    for name in ('patroni.dynamic.json', 'postgresql.base.conf', *(f'{kind}.conf.backup' for kind in ('postgresql', 'pg_hba', 'pg_ident'))):
        with contextlib.suppress(FileNotFoundError):
            os.remove(f'{recovery.DATA}/{name}')


def _already_done(instance: str):
    marker = _read(_MARKER) if os.path.exists(_MARKER) else None
    if marker is not None and marker != instance:
        raise JobError('ForeignData', f'the volume belongs to instance {marker}, not to {instance}')
    if os.path.exists(f'{_DATA}/PG_VERSION'):
        process.output_of(['/usr/libexec/holdfast/mark-initialised', instance], timeout_s=60)
        return {**recovery.identity(_DATA), 'alreadyDone': True}
    if marker is not None:
        raise JobError('DataMissing', f'the volume of instance {instance} was initialised before, and its data are gone')
    return None


def _read(path: str) -> str:
    with open(path, encoding='ascii', errors='replace') as file:
        return file.readline().strip()
