"""The machines of a Ray cluster: which there are, what they have room for, what they can do."""

from contextlib import suppress
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.studies.scheduling import on_node
from brainssl.studies.scheduling.scheduler import Demand

_CHECK_SECONDS = 120.0


def machines() -> list[dict[str, Any]]:
    """Return what Ray tells of each machine that is there."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def refuse_blind(place: on_node.Place, nodes: list[dict[str, Any]]) -> None:
    """Refuse a cluster one of whose machines does not see the folder, or has other code."""
    import ray

    look = ray.remote(on_node.look)
    asked = {
        look.options(num_cpus=0, max_retries=0, scheduling_strategy=only(node["NodeID"])).remote(
            place
        ): node["NodeManagerAddress"]
        for node in nodes
    }
    for task, host in asked.items():
        try:
            fault = ray.get(task, timeout=_CHECK_SECONDS)
        except ray.exceptions.RayTaskError as error:
            fault = f"it cannot run brainssl {place.version} ({line_of(error)})"
        except ray.exceptions.RayError as error:
            fault = f"it does not answer ({type(error).__name__})"
        if fault:
            raise BrainsslError(f"machine {host} of the cluster is of no use: {fault}")


def clear(place: on_node.Place) -> None:
    """Delete what machines have fetched and made; what is on one that is gone went with it."""
    import ray

    if place.stored is None:
        return
    leave = ray.remote(on_node.leave)
    how = {"num_cpus": 0, "max_retries": 0}
    with suppress(Exception):  # a machine may go this very moment
        tasks = [
            leave.options(**how, scheduling_strategy=only(node["NodeID"])).remote(place.stored)
            for node in machines()
        ]
        ray.wait(tasks, num_returns=len(tasks), timeout=_CHECK_SECONDS)


def only(node: str) -> Any:
    """Let a task run on one machine alone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def gpus_of(node: dict[str, Any]) -> float:
    """Return how many GPUs a machine has."""
    return float(node["Resources"].get("GPU", 0))


def has_room(resources: dict[str, float], demand: Demand) -> bool:
    """Tell whether a machine with these resources could take a step, were it idle."""
    return (
        resources.get("CPU", 0) >= demand.cpus
        and resources.get("GPU", 0) >= demand.gpus
        and resources.get("memory", 0) >= demand.memory
    )


def line_of(error: Exception) -> str:
    """Return the last line of an error of Ray, which is the error of the task itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
