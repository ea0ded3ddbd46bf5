"""Patroni writes PostgreSQL's configuration in its place. On a full disk half of it is left, without hba_file for one: PostgreSQL starts
with that, and lets nobody in. Here what is written becomes the file once it is whole."""
import contextlib
import os

from patroni.postgresql import config


class WholeFile(config.ConfigWriter):

    def __enter__(self):
        self._whole = self._filename
        self._filename = f'{self._whole}.new'
        return super().__enter__()

    def __exit__(self, exc_type, exc_val, exc_tb):
        try:
            if exc_type is None:
                self._fd.flush()
                os.fsync(self._fd.fileno())
                os.replace(self._filename, self._whole)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._filename)
            # what could not be flushed is given up with it
            with contextlib.suppress(OSError):
                super().__exit__(exc_type, exc_val, exc_tb)


def write_whole():
    config.ConfigWriter = WholeFile
