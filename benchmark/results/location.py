"""Where a results folder lies, and how its files are reached: a disk, or objects behind a network.

On object storage nothing can be appended to, and a request may fail for a while: files are written
whole, and every request is tried again before it counts as failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from benchmark.errors import StoreError, UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a request that failed."""

LARGEST_FILE = 8 * 2**30
"""A larger file on a disk is not read: it would not fit the memory, and is no results file."""

_FINAL = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)


@dataclass(frozen=True)
class Location:
    """A folder on a file system that fsspec knows; `folder` is how the user wrote it."""

    folder: str
    filesystem: AbstractFileSystem
    path: str

    @property
    def is_local(self) -> bool:
        """Whether files can be appended to and locked by the operating system."""
        protocol = self.filesystem.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def at(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return f"{self.path}/{name}"

    def make(self) -> None:
        """Make the folder, where the file system has such things."""
        self._persistently(partial(self.filesystem.makedirs, self.path, exist_ok=True))

    def read(self, name: str, most: int | None = None) -> bytes | None:
        """Return a file's content; None if it is not there.

        Raises StoreError for one that cannot be read, or that has more than `most` bytes.
        """
        most = LARGEST_FILE if most is None else most
        try:
            # What object storage holds is known only once it has come.
            if self.is_local:
                self.need_size(name, most)
            content: bytes = self._persistently(partial(self.filesystem.cat_file, self.at(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"cannot read {self.folder}/{name}: {reason}") from error
        if len(content) > most:
            raise self._too_large(name, most)
        return content

    def need_size(self, name: str, most: int | None = None) -> None:
        """Raise StoreError for a file on a disk that has more than `most` bytes."""
        most = LARGEST_FILE if most is None else most
        if os.path.exists(self.at(name)) and os.path.getsize(self.at(name)) > most:
            raise self._too_large(name, most)

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, as it is now; None if it is not there."""
        path = self.at(name)
        self.filesystem.invalidate_cache(path)
        try:
            return int(self._persistently(partial(self.filesystem.size, path)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _too_large(self, name: str, most: int) -> StoreError:
        return StoreError(f"{self.folder}/{name} is larger than {most:,} bytes, and is not read")

    def write(self, name: str, content: bytes, unfinished: str = "new") -> None:
        """Write a whole file so that readers see all of it or what was there before.

        `unfinished` ends the name that it has meanwhile: one's own where several may write it.
        """
        path = self.at(name)
        if not self.is_local:
            self._persistently(partial(self.filesystem.pipe_file, path, content))
            return
        with self.filesystem.open(f"{path}.{unfinished}", "wb") as file:
            file.write(content)
        self.filesystem.mv(f"{path}.{unfinished}", path)

    def names(self, subfolder: str) -> list[str]:
        """Return the sorted names of the files in a folder below this one, as they are now."""
        path = self.at(subfolder)
        self.filesystem.invalidate_cache(path)
        try:
            found = self._persistently(partial(self.filesystem.ls, path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot list {self.folder}/{subfolder}: {error}") from error
        return sorted(name for each in found if (name := str(each).rsplit("/", 1)[-1]))

    def remove(self, names: list[str]) -> None:
        """Remove files of this folder that are there."""
        for name in names:
            try:
                self._persistently(partial(self.filesystem.rm_file, self.at(name)))
            except FileNotFoundError:
                continue

    def _persistently(self, request: Callable[[], T]) -> T:
        """Return what a request gives, tried again as often as PAUSES says where it fails.

        A disk answers once and for all; so does whoever says that a file is missing or forbidden.
        Raises OSError for whatever the clients of a network call it.
        """
        pauses = iter(() if self.is_local else PAUSES)
        while True:
            try:
                return request()
            except _FINAL:
                raise
            except Exception as error:
                if not _may_pass(error):
                    raise
                pause = next(pauses, None)
                if pause is None:
                    raise error if isinstance(error, OSError) else OSError(str(error)) from error
                time.sleep(pause)


def locate(folder: str) -> Location:
    """Return where a folder lies.

    Raises UsageError for a URL whose protocol is unknown or takes a package that is missing.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(folder)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"cannot reach {folder}: {error}. A folder is a path or an fsspec URL; s3:// takes"
            " pip install initbench[s3], gs:// takes initbench[gcs]"
        ) from error
    return Location(folder, filesystem, path.rstrip("/"))


def _may_pass(error: Exception) -> bool:
    """Whether an error is one of the network or of a server: those are no subclass of one type."""
    remote = type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp")
    return remote or isinstance(error, (OSError, TimeoutError))
