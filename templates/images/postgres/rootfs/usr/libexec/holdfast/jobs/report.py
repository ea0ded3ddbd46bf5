"""What a job says: progress lines, and the result as the last line of standard output. One JSON object a line."""
import json
import re
import time

MAX_MESSAGE = 600
_PROGRESS_EVERY_S = 0.5


class JobError(Exception):
    """A failure with a stable code."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Progress:
    """Says how far a job is, at most twice a second, and at once when the step changes."""

    def __init__(self):
        self._step = None
        self._said_at = 0.0

    def say(self, step: str, **facts) -> None:
        now = time.monotonic()
        if step == self._step and now - self._said_at < _PROGRESS_EVERY_S:
            return
        self._step, self._said_at = step, now
        _line({'step': step, **facts})


def succeed(facts: dict) -> int:
    _line({'ok': True, 'facts': facts})
    return 0


def fail(code: str, message: str) -> int:
    _line({'ok': False, 'code': code, 'message': clean(message)})
    return 1


def clean(text) -> str:
    """Printable ASCII only: with a wrong cipher pass pgBackRest quotes decrypted garbage in its messages."""
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'replace')
    return re.sub(r'[^\x20-\x7e]+', ' ', text).strip()[:MAX_MESSAGE]


def _line(value: dict) -> None:
    print(json.dumps(value), flush=True)
