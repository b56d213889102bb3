"""Two launchers, each as on a machine of its own: one training, and after kill -9 of a process the same end."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes_script
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = str(Path(__file__).parent / "processes_script.py")
# What docs/training.md tells to set where several machines train.
STORE_OF_EVERY_START = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def trained_by_two_nodes(folder: Path, *words: str, restarts: int = 0) -> str:
    """Start two launchers that meet at a port, wait for both, and give what they said."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=nodes", "--local-addr=localhost",
        f"--max-restarts={restarts}", SCRIPT, str(folder), *words,
    ]  # fmt: skip
    environment = {**os.environ, **STORE_OF_EVERY_START, "OMP_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    try:
        said = "\n".join(node.communicate(timeout=400)[0] for node in nodes)
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    return said


@pytest.fixture(scope="module")
def by_two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    trained_by_two_nodes(folder)
    return folder


def test_two_nodes_train_what_one_process_does(by_two_nodes: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, str(tmp_path)], check=True, timeout=300)
    one, two = processes_script.result(tmp_path), processes_script.result(by_two_nodes)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(two["norms"], one["norms"], rtol=1e-5)
    np.testing.assert_allclose(two["average"], one["average"], rtol=1e-4, atol=1e-6)
    assert len(two["losses"]) == processes_script.STEPS
    assert (two["count"], two["resumed"], two["writers"]) == (2, 0, [0])


def test_after_kill_9_of_a_node_s_process_the_end_is_the_same_bits(by_two_nodes: Path, tmp_path: Path) -> None:
    trained_by_two_nodes(tmp_path, "--fail-at", "13", "--kill", restarts=3)
    assert (tmp_path / "died").exists()
    whole, killed = processes_script.result(by_two_nodes), processes_script.result(tmp_path)
    assert killed["resumed"] == 12
    for key in ("losses", "norms", "average", "law"):
        assert killed[key] == whole[key]
