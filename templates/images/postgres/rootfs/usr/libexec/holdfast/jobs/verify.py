"""verify LABEL: reads a backup and the archive back from the store and compares every checksum."""
import re

from . import pgbackrest
from .report import JobError, Progress

LABEL = re.compile(r'\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?')


def run(arguments: list, progress: Progress) -> dict:
    if len(arguments) != 1 or not LABEL.fullmatch(arguments[0]):
        raise JobError('Usage', 'usage: job verify LABEL')
    label = arguments[0]
    progress.say('readingCatalogue')
    known = {backup['label']: backup for backup in pgbackrest.catalogue().get('backup', [])}
    if label not in known:
        raise JobError('BackupUnknown', f'the catalogue has no backup {label}')
    if known[label].get('error'):
        raise JobError('PageChecksumErrors', f'pages of the database had wrong checksums when {label} was taken')
    progress.say('readingBack')
    said = pgbackrest.run('verify', f'--set={label}', '--output=text', '--verbose')
    facts = pgbackrest.facts_of(known[label])
    _require_valid(label, said)
    _require_wal(facts, said)
    return facts


def _require_valid(label: str, said: list) -> None:
    """pgBackRest ends with exit code 0 whatever it found. Damage in a backup that this one builds on is counted over there,
    and makes the whole an error. Anything but the two lines that say that all is well is a failure."""
    is_well = 'status: ok' in said and any(line.startswith(f'backup: {label}, status: valid') for line in said)
    if not is_well:
        found = [line for line in said if 'status: ' in line and 'status: valid' not in line or 'invalid' in line] or said
        raise JobError('BackupDamaged', f'{label} cannot be read back whole: {"; ".join(found)}')


def _require_wal(facts: dict, said: list) -> None:
    """WAL written during a backup is a part of it. verify looks at what is in the archive, so it misses what is not."""
    needed = _segment(facts['archiveStop']) - _segment(facts['archiveStart']) + 1
    valid = sum(int(count) for line in said for count in re.findall(r'total valid WAL: (\d+)', line))
    if valid < needed:
        first, last = facts['archiveStart'], facts['archiveStop']
        raise JobError('WalMissing', f'{facts["label"]} needs the WAL from {first} to {last}, {needed} files; {valid} of them are valid')


def _segment(name: str) -> int:
    return int(name[8:16], 16) * 256 + int(name[16:24], 16)
