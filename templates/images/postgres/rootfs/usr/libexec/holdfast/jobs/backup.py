"""backup full|incr: makes the stanza if need be, proves that WAL arrives, backs up, and tells what the catalogue then says."""
from . import leader, pgbackrest
from .report import JobError, Progress

_KINDS = ('full', 'incr')


def run(arguments: list, progress: Progress) -> dict:
    if len(arguments) != 1 or arguments[0] not in _KINDS:
        raise JobError('Usage', 'usage: job backup full|incr')
    progress.say('preparingRepository')
    leader.read_from()
    pgbackrest.run('stanza-create')
    # A backup whose WAL never arrives is none: this switches a segment and waits until it is in the archive.
    progress.say('checkingArchive')
    pgbackrest.run('check')
    progress.say('copyingFiles', percent=0)
    before = {backup['label'] for backup in pgbackrest.catalogue().get('backup', [])}
    pgbackrest.run('backup', f'--type={arguments[0]}', on_percent=lambda percent: progress.say('copyingFiles', percent=percent))
    progress.say('readingCatalogue')
    found = pgbackrest.catalogue()
    made = [backup for backup in found.get('backup', []) if backup['label'] not in before]
    if not made:
        raise JobError('NotInCatalogue', 'the backup ended without an entry in the catalogue')
    newest = made[-1]
    return {
        **pgbackrest.facts_of(newest),
        'systemIdentifier': str(found['db'][-1]['system-id']),
        'backups': [backup['label'] for backup in found['backup']],
    }
