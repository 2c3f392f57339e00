"""Unfinished work: finished pieces are kept beside the output, by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO

from propensity.files.source import FileError, Source
from propensity.files.targets import writing


class Work:
    """The finished pieces, in a folder beside the output, until all are joined.

    A process that works on them holds a lock (flock) in that folder. The lock ends with the process, however
    that ends.
    """

    def __init__(self, source: Source, output: Path, model: str) -> None:
        self.folder = output.with_name(f"{output.name}.work")
        self._output = output
        self._note = self.folder / "of.json"
        self._lock_path = self.folder / "lock"
        self._lock_file: IO[str] | None = None
        files = [(file.resolve(), file.stat()) for file in source.files]
        self._description = json.dumps(
            {
                "files": [
                    [str(file.resolve()), status.st_size, status.st_mtime_ns] for file, status in files
                ],
                "id": source.id_column,
                "model": model,
            }
        )

    def __enter__(self) -> Work:
        """Take the lock, and continue with the pieces that are there.

        Raises:
            FileError: another process holds the lock, or the pieces belong to another input, model or id.
            OutputError: the folder can't be written.
        """
        with writing(self.folder):
            self._lock_file = self._take_lock()
        if not self._note.exists():
            with writing(self.folder):
                self._note.write_text(self._description, encoding="utf-8")
        elif self._note.read_text(encoding="utf-8") != self._description:
            self._lock_file.close()
            raise FileError(
                f"{self.folder}: holds interrupted work on another input or model; delete it to start over"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the finished pieces, but none of an input that must be changed first; release the lock."""
        with suppress(OSError):
            for path in self.folder.glob("*.unfinished"):
                path.unlink()
            if isinstance(error, FileError) or not self.done():
                self.remove()
        if self._lock_file is not None:
            self._lock_file.close()

    def _take_lock(self) -> IO[str]:
        while True:
            self.folder.mkdir(exist_ok=True)
            try:
                file = self._lock_path.open("a+", encoding="utf-8")
            except FileNotFoundError:
                continue  # the holder has just removed the folder
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read() or "another process"
                file.close()
                raise FileError(
                    f"{self._output}: is being written by {holder}; wait for it, or name another output"
                ) from None
            with suppress(FileNotFoundError):
                if os.path.samestat(self._lock_path.stat(), os.fstat(file.fileno())):
                    break
            file.close()  # the lock of a folder that has been removed
        file.truncate(0)
        since = datetime.now().astimezone()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since:%Y-%m-%d %H:%M:%S}")
        file.flush()
        return file

    def remove(self) -> None:
        """Remove the folder; the lock last."""
        for path in self.folder.iterdir():
            if path != self._lock_path:
                path.unlink()
        self._lock_path.unlink()
        # A process that came meanwhile has its own lock in the folder.
        with suppress(OSError):
            self.folder.rmdir()

    def done(self) -> int:
        """Return the number of finished pieces: those before the first that is missing."""
        number = 0
        while self.part(number).exists():
            number += 1
        return number

    def part(self, number: int) -> Path:
        """Return the path of the predictions of a piece."""
        return self.folder / f"{number:08}.part"

    def problems(self, number: int) -> Path:
        """Return the path of the problems of a piece."""
        return self.folder / f"{number:08}.problems"

    def rows(self, number: int) -> int:
        """Return the number of rows of a piece."""
        return int((self.folder / f"{number:08}.rows").read_text())

    @property
    def joined(self) -> Path:
        """The path to join the predictions to."""
        return self.folder / "joined.unfinished"

    @property
    def joined_problems(self) -> Path:
        """The path to join the problems to."""
        return self.folder / "problems.unfinished"

    def unfinished(self, number: int) -> Path:
        """Return the path to write the predictions of a piece to."""
        return self.folder / f"{number:08}.unfinished"

    def keep(self, number: int, rows: int, problems: list[str]) -> None:
        """Keep a piece whose predictions are written.

        Args:
            number: its number.
            rows: number of its rows.
            problems: of its rows, a line each.

        Raises:
            OutputError: the piece can't be written.
        """
        with writing(self._output):
            self.problems(number).write_text("".join(problems), encoding="utf-8")
            (self.folder / f"{number:08}.rows").write_text(str(rows))
            # Renamed last, when all is whole: its name says that the piece is finished.
            self.unfinished(number).replace(self.part(number))
