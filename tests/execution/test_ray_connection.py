"""The local Ray of a run: who has not its token is refused, and no dashboard listens."""

from __future__ import annotations

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
    running = [Path(f"/proc/{each}/cmdline") for each in descendants(os.getpid())]
    commands = [each.read_bytes() for each in running if each.exists()]
    assert any(b"gcs_server" in command for command in commands)
    assert not any(b"dashboard/dashboard.py" in command for command in commands)
    assert not local._private.worker.get_dashboard_url()
