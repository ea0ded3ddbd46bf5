"""expire: lets go of what retention no longer wants. Run once a newer backup has been read back."""
from . import pgbackrest
from .report import JobError, Progress


def run(arguments: list, progress: Progress) -> dict:
    if arguments:
        raise JobError('Usage', 'usage: job expire')
    progress.say('expiring')
    before = {backup['label'] for backup in pgbackrest.catalogue().get('backup', [])}
    pgbackrest.run('expire')
    after = [backup['label'] for backup in pgbackrest.catalogue().get('backup', [])]
    return {'expired': sorted(before - set(after)), 'backups': after}
