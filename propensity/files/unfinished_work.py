"""Work on a file that takes long: what is done is kept beside the output, by one process at a time."""

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

import pyarrow as pa

from propensity.files.source import FileError, Source
from propensity.files.targets import Target, writing


class Work:
    """The pieces that are done, in a folder beside the output, until they are joined.

    A process that works on them holds a lock (flock) in that folder, which ends with the process, however
    that ends.
    """

    def __init__(self, source: Source, output: Path, model: str) -> None:
        self.folder = output.with_name(f"{output.name}.work")
        self._output = output
        self._note = self.folder / "of.json"
        self._lock = self.folder / "lock"
        self._held: IO[str] | None = None
        files = [(file, file.stat()) for file in source.files]
        self._of = json.dumps(
            {
                "files": [[str(file.resolve()), about.st_size, about.st_mtime_ns] for file, about in files],
                "id": source.id_column,
                "model": model,
            }
        )

    def __enter__(self) -> Work:
        """Go on with what is there.

        Raises:
            FileError: another process works on it, or it is of another input, model or id.
            OutputError: nothing can be written there.
        """
        with writing(self.folder):
            self._held = self._locked()
        if not self._note.exists():
            with writing(self.folder):
                self._note.write_text(self._of, encoding="utf-8")
        elif self._note.read_text(encoding="utf-8") != self._of:
            self._release()
            raise FileError(
                f"{self.folder}: holds interrupted work on another input or model; delete it to begin anew"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep what is done; but nothing of an input that must be changed first."""
        with suppress(OSError):
            if isinstance(error, FileError) or not self.done():
                self.remove()
        self._release()

    def _locked(self) -> IO[str]:
        while True:
            self.folder.mkdir(exist_ok=True)
            try:
                file = self._lock.open("a+", encoding="utf-8")
            except FileNotFoundError:
                continue  # whoever held it has just removed the folder
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
                if os.path.samestat(self._lock.stat(), os.fstat(file.fileno())):
                    break
            file.close()  # of a folder that is no more
        file.truncate(0)
        since = datetime.now().astimezone()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since:%Y-%m-%d %H:%M:%S}")
        file.flush()
        return file

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()

    def remove(self) -> None:
        """Remove all of it; the lock last."""
        for path in self.folder.iterdir():
            if path != self._lock:
                path.unlink()
        self._lock.unlink()
        # Whoever came meanwhile has a lock of its own there.
        with suppress(OSError):
            self.folder.rmdir()

    def done(self) -> int:
        """How many pieces are done: those before the first that is not whole."""
        number = 0
        while self.part(number).exists():
            number += 1
        return number

    def part(self, number: int) -> Path:
        """The predictions of a piece."""
        return self.folder / f"{number:08}{self._output.suffix}"

    def rows(self, number: int) -> int:
        """How many rows a piece has."""
        return int((self.folder / f"{number:08}.rows").read_text())

    def keep(self, number: int, predictions: pa.Table, target: Target, problems: list[str]) -> None:
        """Keep a piece.

        Raises:
            OutputError: it can't be written.
        """
        # Last, and whole: it says that the piece is done.
        unfinished = self.part(number).with_suffix(".unfinished")
        try:
            with writing(self._output):
                self.problems(number).write_text("".join(problems), encoding="utf-8")
                (self.folder / f"{number:08}.rows").write_text(str(predictions.num_rows))
                target.write(predictions, unfinished)
                unfinished.replace(self.part(number))
        finally:
            unfinished.unlink(missing_ok=True)

    def problems(self, number: int) -> Path:
        """The problems of a piece."""
        return self.folder / f"{number:08}.problems"
