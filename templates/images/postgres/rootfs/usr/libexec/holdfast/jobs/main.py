"""job backup full|incr · verify LABEL · expire · restore latest | time MOMENT [LABEL] | backup LABEL

Prints progress lines {"step", …} and, last, one result: {"ok": true, "facts"} or {"ok": false, "code", "message"}.
Exit code 0 or 1. Every job may be run again.
"""
from . import backup, expire, pgbackrest, process, report, restore, verify

_JOBS = {'backup': backup.run, 'verify': verify.run, 'expire': expire.run, 'restore': restore.run}


def main(arguments: list) -> int:
    process.install_signal_handlers()
    job = _JOBS.get(arguments[0]) if arguments else None
    if job is None:
        return report.fail('Usage', f'usage: job {"|".join(_JOBS)} ...')
    try:
        pgbackrest.check_store()
        return report.succeed(job(arguments[1:], report.Progress()))
    except report.JobError as error:
        return report.fail(error.code, str(error))
    except (OSError, KeyError, ValueError) as error:
        return report.fail('Internal', f'{type(error).__name__}: {error}')
