"""Of a cluster: which member a job reads from. Given to pgBackRest all three, it would wait for one that is dead."""
import os

from . import process
from .report import JobError

_MEMBERS = '/conf/members.conf'
# All members one after the other, each as long as pg_service.conf lets it take.
_ANSWERS_WITHIN_S = 15


def read_from() -> None:
    """Lets pgBackRest, for the rest of this job, read from whoever leads now. If that one is gone before the job is done, the job
    fails, and its next attempt asks again."""
    if not os.path.exists(_MEMBERS):
        return
    with open(_MEMBERS, encoding='utf-8') as file:
        backup_port_of = dict(line.split() for line in file if line.strip() and not line.startswith('#'))
    os.environ['PGSERVICEFILE'] = '/conf/pg_service.conf'
    try:
        leader = process.output_of(['psql', 'service=wal', '-Xqc', r'\echo :HOST'], timeout_s=_ANSWERS_WITHIN_S).strip()
    except JobError as error:
        raise JobError('MemberUnreachable', f'no member of the cluster says that it leads: {error}') from error
    os.environ['PGBACKREST_PG1_HOST'] = leader
    os.environ['PGBACKREST_PG1_HOST_PORT'] = backup_port_of[leader]
