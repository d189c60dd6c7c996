"""A broker of three nodes loses one: nothing is lost, and all go on with the other two."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.nearness import each_host
from contracts.patterns import PATTERNS
from stack import rabbitmq
from stack.local import LocalStack
from tests.checkout.shop import Shop
from tests.installed import need
from tests.stack.buying import buying
from tests.waiting import eventually

NODES = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
BY_MESSAGE = [name for name in PATTERNS if name != "orchestrated"]
"""The pattern without a broker would hide that the others are stuck."""
AT_MOST = 10.0
"""Seconds in which no saga ends."""
_VARIABLES = ("PATH", "LANG", "HOME", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE")


class Cluster:
    """The nodes of a running stack, for an operator."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        environments = {name: psutil.Process(stack.processes[name]).environ() for name in NODES}
        kept = (*_VARIABLES, "ERL_EPMD_PORT")
        self._environments = {
            name: {variable: environment[variable] for variable in kept}
            for name, environment in environments.items()
        }
        self._urls = dict(zip(NODES, each_host(str(stack.rabbitmq_url)), strict=True))

    def tell(self, name: str, tool: str, *command: str) -> str:
        """The output of a RabbitMQ tool at a node; raises if it fails."""
        ended = subprocess.run(
            [str(rabbitmq.SERVER.with_name(tool)), "--quiet", *command],
            env=self._environments[name],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return ended.stdout

    def queues(self) -> list[dict[str, Any]]:
        """Each with its `leader` and its `members`, by the names of the nodes."""
        asked = ("list_queues", "--formatter", "json", "name", "leader", "members")
        return list(json.loads(self.tell(NODES[0], "rabbitmqctl", *asked)))

    def leader(self) -> str:
        """The process of the node with most leaders: the worst to lose."""
        leaders = [queue["leader"] for queue in self.queues()]
        names = {self.name_of(process): process for process in NODES}
        return names[max(names, key=leaders.count)]

    def name_of(self, process: str) -> str:
        return str(self._environments[process]["RABBITMQ_NODENAME"])

    def lets_in(self, process: str) -> bool:
        try:
            rabbitmq.check_login(self._urls[process], timeout=5)
        except OSError:
            return False
        return True

    def is_back(self, process: str) -> None:
        """Returns when clients can log in, and each queue could lose any other node."""
        eventually(lambda: self.lets_in(process), seconds=90, what=f"{process} lets clients in")
        self.tell(process, "rabbitmq-upgrade", "await_online_quorum_plus_one")

    def part(self, process: str, *, cookie: str) -> None:
        """Gives the node a cookie of its own, so that it and the others refuse each other, as if
        the lines between them were cut; clients still reach all nodes.
        """
        peers = ",".join(f"'{self.name_of(other)}'" for other in NODES if other != process)
        for expression in (f"erlang:set_cookie(Peer, {cookie})", "erlang:disconnect_node(Peer)"):
            self.tell(process, "rabbitmqctl", "eval", f"[{expression} || Peer <- [{peers}]].")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    need("/usr/lib/rabbitmq/bin/rabbitmq-server", package="rabbitmq-server")
    folder: Path = tmp_path_factory.mktemp("cluster")
    with LocalStack(
        folder=folder,
        fresh=True,
        free_ports=True,
        use_given=False,
        auth="demo",
        saga="checkout",
        broker_nodes=len(NODES),
        longest_pause=1.0,
    ) as stack:
        shop = Shop(stack)
        yield shop
        shop.audit()


@pytest.fixture
def cluster(shop: Shop) -> Cluster:
    return Cluster(shop.stack)


@pytest.mark.timeout(600)
def test_each_queue_has_a_copy_at_each_node(cluster: Cluster) -> None:
    queues = cluster.queues()
    assert len(queues) > 10
    nodes = {cluster.name_of(process) for process in NODES}
    assert [queue["name"] for queue in queues if set(queue["members"]) != nodes] == []


@pytest.mark.timeout(600)
def test_killed_node_loses_nothing(shop: Shop, cluster: Cluster) -> None:
    killed = cluster.leader()
    with buying(shop, patterns=BY_MESSAGE, at_most=AT_MOST, what="node killed") as shoppers:
        shop.stack.stop_process(killed)  # by SIGKILL, as its data are thrown away
        shoppers.more_end(10)
        shop.stack.restart(killed)
        cluster.is_back(killed)


@pytest.mark.timeout(600)
def test_node_that_is_cut_off_loses_nothing_and_comes_back(shop: Shop, cluster: Cluster) -> None:
    minority = cluster.leader()
    with buying(shop, patterns=BY_MESSAGE, at_most=AT_MOST, what="node cut off") as shoppers:
        cluster.part(minority, cookie="elsewhere")
        eventually(lambda: not cluster.lets_in(minority), what="the minority refuses logins")
        shoppers.more_end(10)
        assert not cluster.lets_in(minority)
        cluster.part(minority, cookie="erlang:get_cookie()")
        cluster.is_back(minority)


@pytest.mark.timeout(600)
def test_nodes_are_restarted_one_after_the_other_under_load(shop: Shop, cluster: Cluster) -> None:
    with buying(shop, patterns=BY_MESSAGE, at_most=AT_MOST, what="rolling restart"):
        for process in NODES:
            before = shop.stack.processes[process]
            shop.stack.kill(process, signal.SIGTERM)
            eventually(
                lambda process=process, before=before: (
                    shop.stack.processes.get(process, before) != before
                ),
                what=f"{process} is started again",
            )
            cluster.is_back(process)
