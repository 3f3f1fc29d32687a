"""A Ray cluster of several machines, all of them on this one."""

import inspect
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


@contextmanager
def cluster(patch: pytest.MonkeyPatch, machines: int) -> Iterator[Any]:
    """Yield a `ray.cluster_utils.Cluster` with machines of one CPU."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    begin = services.start_raylet

    def without_waiting(*given: Any, **named: Any) -> Any:
        """A machine gives up after 15 s without its agents' ports: on a slow one, tell it them."""
        own = inspect.signature(begin).bind(*given, **named).arguments
        for name in _PORTS:
            Path(own["session_dir"], f"{name}_{own['node_id']}").write_text(str(own[name]))
        return begin(*given, **named)

    patch.setattr(services, "start_raylet", without_waiting)
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_worker_niceness", "0")  # the test waits for them
    made = Cluster()
    try:
        for _ in range(machines):
            made.add_node(num_cpus=1, include_dashboard=False, **{name: _free() for name in _PORTS})
        yield made
    finally:
        made.shutdown()


def _free() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])
