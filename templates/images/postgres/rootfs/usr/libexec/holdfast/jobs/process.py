"""Runs one program after another, and ends the one that runs when the job is told to stop."""
import signal
import subprocess

from .report import JobError

_running: set = set()


def install_signal_handlers() -> None:
    """PID 1 ignores signals without a handler: without these the engine would have to kill a job."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def start(arguments: list, **options) -> subprocess.Popen:
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **options)
    _running.add(process)
    return process


def ended(process: subprocess.Popen) -> int:
    code = process.wait()
    _running.discard(process)
    return code


def output_of(arguments: list, timeout_s: float) -> str:
    """Standard output of a short command; its failure is a JobError."""
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise JobError('TimedOut', f'{arguments[0]} gave no answer within {timeout_s:.0f} s') from error
    if done.returncode != 0:
        raise JobError('CommandFailed', f'{arguments[0]} failed: {done.stderr.decode("utf-8", "replace")}')
    return done.stdout.decode('utf-8', 'replace')


def _stop(_signal, _frame) -> None:
    for process in list(_running):
        process.send_signal(signal.SIGINT)
    raise JobError('Stopped', 'the job was told to stop')
