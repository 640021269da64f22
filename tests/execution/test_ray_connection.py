"""The local Ray of a run: who has not its token is refused, and no dashboard listens."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.ray_connection import connect
from tests.execution.clusters import descendants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = connect(None, workers=1)
    yield ray
    ray.shutdown()


def test_a_local_ray_refuses_clients_without_its_token_and_has_no_dashboard(local: Any) -> None:
    import grpc

    token = Path("~/.ray/auth_token").expanduser().read_text(encoding="utf-8").strip()
    address = local.get_runtime_context().gcs_address
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        assert ask(b"", timeout=20, metadata=[("authorization", f"Bearer {token}")])
        for wrong in ([], [("authorization", f"Bearer {'0' * len(token)}")]):
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", timeout=20, metadata=wrong)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert not local._private.worker.get_dashboard_url()
    answering = [port for port in listening(descendants(os.getpid())) if is_dashboard(port)]
    assert answering == []


def listening(processes: list[int]) -> set[int]:
    """Return the TCP ports that processes listen on."""
    sockets = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(file))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                ports.add(int(local.rpartition(":")[2], 16))
    assert ports
    return ports


def is_dashboard(port: int) -> bool:
    """Whether a port answers as Ray's dashboard and job server do, and its metrics do not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/version")
        return b"ray_version" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
