"""Runs pgBackRest: its console output becomes progress, its exit code a code of ours."""
import json
import re
import socket
import subprocess

from . import process
from .report import JobError, clean

STANZA = 'main'
_CONFIG = '/conf/pgbackrest.conf'
# pgBackRest itself tries for minutes before it says that the store is away.
_STORE_ANSWERS_WITHIN_S = 5
_MAX_KEPT_LINES = 400
# Of `info`: neither well nor one of the ways of being empty.
_STATUS_OTHER = 99

# pgBackRest's error codes (src/build/error/error.yaml) that call for different action.
_CODES = {
    26: 'ChecksumMismatch',
    29: 'RepositoryUnreadable',
    39: 'MemberUnreachable',
    49: 'StoreUnreachable',
    50: 'AlreadyRunning',
    51: 'RepositoryOfAnotherCluster',
    55: 'FileMissing',
    56: 'MemberUnreachable',
    63: 'Stopped',
    64: 'WriteFailed',
    75: 'BackupUnknown',
    82: 'ArchiveTimeout',
    87: 'ArchiveDisabled',
    95: 'RepositoryUnreadable',
    101: 'StoreRefused',
    103: 'StoreUnreachable',
    105: 'StoreRefused',
}

# "P01 DETAIL: backup file member:/data/pg/base/1/1255 (768KB, 12.34%) checksum …"
_FILE = re.compile(r'DETAIL: (?:backup|restore|match) file .* \([^()]*?, ([0-9.]+)%\)')
_PROBLEM = re.compile(r'\b(?:ERROR|ASSERT|HINT)\b')


def check_store() -> None:
    """Whether the object store answers at all."""
    with open(_CONFIG, encoding='utf-8') as file:
        settings = dict(line.strip().split('=', 1) for line in file if '=' in line and not line.startswith('#'))
    address = (settings['repo1-s3-endpoint'], int(settings['repo1-storage-port']))
    try:
        socket.create_connection(address, timeout=_STORE_ANSWERS_WITHIN_S).close()
    except OSError as error:
        raise JobError('StoreUnreachable', f'the object store at {address[0]}:{address[1]} does not answer: {error}') from error


def run(command: str, *options: str, on_percent=None) -> list:
    """Runs a command to its end. Returns the last lines of its output; a failure is a JobError."""
    level = 'detail' if on_percent else 'warn'
    arguments = ['pgbackrest', f'--config={_CONFIG}', f'--stanza={STANZA}', f'--log-level-console={level}', *options, command]
    child = process.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    kept: list = []
    for raw in child.stdout:
        line = clean(raw)
        found = _FILE.search(line)
        if found:
            on_percent(float(found.group(1)))
        elif line and ' DETAIL: ' not in line:
            kept = [*kept, line][-_MAX_KEPT_LINES:]
    code = process.ended(child)
    if code != 0:
        raise JobError(_CODES.get(code, f'PgBackRest{code}'), f'{command} failed: {_problem(kept)}')
    return kept


def catalogue(*options: str) -> dict:
    """What the repository holds for the stanza: pgBackRest's own catalogue."""
    text = process.output_of(
        ['pgbackrest', f'--config={_CONFIG}', f'--stanza={STANZA}', '--log-level-console=off', '--output=json', *options, 'info'],
        timeout_s=180,
    )
    # Not strict: with a wrong cipher pass the message holds decrypted garbage, control characters included.
    found = json.loads(text, strict=False)
    stanza = found[0] if found else {}
    status = stanza.get('status', {})
    if status.get('code') == _STATUS_OTHER:
        raise JobError('RepositoryUnreadable', f'the catalogue cannot be read: {status.get("message", "")}')
    return stanza


def facts_of(backup: dict) -> dict:
    """One entry of the catalogue in our words. Sizes in bytes."""
    info = backup['info']
    return {
        'label': backup['label'],
        'type': backup['type'],
        'startLsn': backup['lsn']['start'],
        'stopLsn': backup['lsn']['stop'],
        'archiveStart': backup['archive']['start'],
        'archiveStop': backup['archive']['stop'],
        'startedAt': backup['timestamp']['start'],
        'finishedAt': backup['timestamp']['stop'],
        'databaseBytes': info['size'],
        'repositoryBytes': info['repository'].get('delta', info['repository'].get('size')),
        'pageErrors': bool(backup.get('error')),
        'dependsOn': backup.get('reference') or [],
    }


def _problem(lines: list) -> str:
    problems = [line for line in lines if _PROBLEM.search(line)] or lines
    return ' '.join(problems[:4]) or 'it said nothing'
