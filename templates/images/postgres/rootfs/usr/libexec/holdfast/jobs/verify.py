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
    # An incremental backup is as good as those that it builds on.
    chain = [*(known[label].get('reference') or []), label]
    for done, part in enumerate(chain):
        progress.say('readingBack', percent=round(100 * done / len(chain), 1))
        pgbackrest.run('verify', f'--set={part}', '--output=text')
    return {**pgbackrest.facts_of(known[label]), 'verified': chain}
