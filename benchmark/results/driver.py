"""One driver at a time: a lock of the operating system on a disk, a lease on object storage.

Either ends with its driver, however that ends: the system lets go of a lock, and a lease that
nobody renews runs out. Whether it is renewed is seen by watching it, not by reading clocks, which
differ between machines and may jump.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from benchmark.errors import RunError, StoreError
from benchmark.results.location import Location

LOCK = "driver.lock"
LEASE = "driver.lease"
LEASE_SECONDS = 30.0
"""A lease that stays as it is for so long has lost its driver, who renews it thrice as often."""


class Claim:
    """A driver's hold on a folder: `token` is its own.

    `check` raises RunError once it is known to be lost, `confirm` reads the lease for that.
    """

    def __init__(self, location: Location) -> None:
        self.token = secrets.token_hex(4)
        self._location = location
        self._lost_to: str | None = None

    def lose(self, driver: str) -> None:
        self._lost_to = driver

    def check(self) -> None:
        if self._lost_to is not None:
            raise RunError(
                f"{self._location.folder} has been taken over by {self._lost_to}, because this"
                " driver did not answer for a while. What it has finished is kept"
            )

    def confirm(self) -> None:
        # No lease at all is that of a driver that came meanwhile and has ended.
        lease = _read_lease(self._location)
        if lease is None or lease["token"] != self.token:
            self.lose(lease["driver"] if lease else "another driver")
        self.check()


@contextlib.contextmanager
def only_driver(location: Location, notify: Callable[[str], None]) -> Iterator[Claim]:
    """Hold a folder for this process.

    Waits for the lease of a driver that may be dead to run out, and says so by `notify`. Raises
    StoreError where another driver is at work.
    """
    with _lock(location) if location.is_local else _lease(location, notify) as claim:
        yield claim


def running_driver(location: Location) -> str | None:
    """Return which driver is writing to a folder now ("process 12 on host"), if any.

    On object storage it is the one whose lease is there: it may have died LEASE_SECONDS ago.
    """
    if not location.is_local:
        lease = _read_lease(location)
        return lease["driver"] if lease else None
    path = location.at(LOCK)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return None if _try_lock(file) else file.read().strip() or "another process"


def last_driver(location: Location) -> str | None:
    """Return which driver has the folder, or had it last and was killed."""
    if not location.is_local:
        lease = _read_lease(location)
        return lease["driver"] if lease else None
    return (location.read(LOCK) or b"").decode("utf-8", "replace").strip() or None


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(location: Location, driver: str) -> StoreError:
    return StoreError(
        f"{location.folder} is being written by {driver}; wait for it, stop it, or name another"
        " folder with --out"
    )


@contextlib.contextmanager
def _lock(location: Location) -> Iterator[Claim]:
    with open(location.at(LOCK), "a+", encoding="utf-8") as file:
        if not _try_lock(file):
            file.seek(0)
            raise _busy(location, file.read().strip() or "another process")
        file.truncate(0)
        file.write(f"{_me()}\n")
        file.flush()
        os.fsync(file.fileno())  # Workers on other machines look for the name.
        yield Claim(location)
        file.truncate(0)


def _try_lock(file: IO[str]) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextlib.contextmanager
def _lease(location: Location, notify: Callable[[str], None]) -> Iterator[Claim]:
    claim = Claim(location)
    _wait_until_free(location, notify)
    _renew(location, claim, 0)
    # Of two drivers that came at once the later write stands, and each sees which that was.
    time.sleep(LEASE_SECONDS / 30)
    if (lease := _read_lease(location)) and lease["token"] != claim.token:
        raise _busy(location, lease["driver"])
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(location, claim, ended), daemon=True)
    keeper.start()
    try:
        yield claim
    finally:
        ended.set()
        keeper.join()
        with contextlib.suppress(OSError, StoreError):
            lease = _read_lease(location)
            if lease and lease["token"] == claim.token:
                location.remove([LEASE])


def _wait_until_free(location: Location, notify: Callable[[str], None]) -> None:
    first = lease = _read_lease(location)
    if first is None:
        return
    notify(f"{first['driver']} had {location.folder} last; seeing whether it is still at work.")
    start = time.monotonic()
    while lease is not None and time.monotonic() - start < LEASE_SECONDS:
        time.sleep(LEASE_SECONDS / 30)
        lease = _read_lease(location)
        if lease is not None and lease != first:
            raise _busy(location, lease["driver"])


def _keep(location: Location, claim: Claim, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(LEASE_SECONDS / 3):
        beat += 1
        # Storage that does not answer is no reason to stop: the next beat may get through.
        with contextlib.suppress(OSError, StoreError):
            try:
                claim.confirm()
            except RunError:
                return
            _renew(location, claim, beat)


def _renew(location: Location, claim: Claim, beat: int) -> None:
    lease = {"driver": _me(), "token": claim.token, "beat": beat}
    location.write(LEASE, json.dumps(lease).encode())


def _read_lease(location: Location) -> dict[str, Any] | None:
    data = location.read(LEASE)
    if not data:
        return None
    try:
        lease = json.loads(data)
        return {"driver": str(lease["driver"]), "token": str(lease["token"]), "beat": lease["beat"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"driver": "an unknown driver", "token": "", "beat": data.decode("utf-8", "replace")}
