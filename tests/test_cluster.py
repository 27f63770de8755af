"""Work done by a cluster: a real scheduler and real worker processes, some of which die or are of another
version."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from repositories import commit, init
from toys import TREE, small_tree

from dentryproof.commands.main import main
from dentryproof.errors import ClusterError
from dentryproof.proofs import cluster as clusters
from dentryproof.proofs import remote
from dentryproof.proofs.cluster import Cluster
from dentryproof.proofs.engine import Request, run
from dentryproof.proofs.pool import USUAL, Limits
from dentryproof.proofs.request import Exports
from dentryproof.proofs.verdict import Report, Result, Verdict
from dentryproof.reader.files import Sent, files_of
from dentryproof.reader.sent import LackingError
from dentryproof.reader.tree import Tree

NAMES = ("commented", "plainfree", "rcufree", "twice", "twotables", "evictfree")


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    """Two workers, each a process with one thread, that are started again when they die."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as started:
        yield started


@pytest.fixture(scope="module")
def client(workers: LocalCluster) -> Iterator[Client]:
    with Client(workers, set_as_default=False) as connected:
        yield connected


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_tree(tmp_path_factory.mktemp("tree"), *NAMES)


@pytest.fixture(scope="module")
def here(root: Path) -> Report:
    """What processes of this machine say."""
    return run(Request(everything=True, linux=root, jobs=1))


def ask(address: str, root: Path, *names: str, limits: Limits = USUAL, **more: Any) -> Report:
    with closing(Cluster(address, limits)) as cluster:
        asked: dict[str, Any] = {"everything": not names, "linux": root, "cluster": cluster} | more
        return run(Request(names, **asked))


def verdicts(report: Report) -> list[Result]:
    """All that the results say but which trace, or which core, the solver came upon first."""
    found = [replace(r, seconds=0.0, trace=(), witness_trace=(), core=()) for r in report.results]
    return [r if r.verdict is Verdict.UNKNOWN else _plain(r) for r in found]


def _plain(result: Result) -> Result:
    return replace(result, reason="", summary="", witness="", fix="")


def test_a_cluster_repairs_what_this_machine_repairs(workers: LocalCluster, root: Path) -> None:
    exports = Exports(repair=True)
    there = ask(workers.scheduler_address, root, "plainfree", exports=exports)
    here = run(Request(("plainfree",), linux=root, exports=exports))
    mended = [r.repair for r in here.results if r.repair is not None]
    assert mended and mended[0].diff
    assert [r.repair for r in there.results if r.repair is not None] == mended


def test_a_cluster_says_what_this_machine_says(workers: LocalCluster, root: Path, here: Report) -> None:
    there = ask(workers.scheduler_address, root)
    assert len(here.results) > 80 and {Verdict.PROVED, Verdict.VIOLATED} <= {r.verdict for r in here.results}
    assert verdicts(there) == verdicts(here) and there.understood == here.understood
    assert there.tables == here.tables


def test_one_that_is_killed_loses_nothing(
    workers: LocalCluster, client: Client, root: Path, here: Report, tmp_path: Path
) -> None:
    killed: list[int] = []

    def progress(done: int, total: int, now: tuple[str, ...]) -> None:
        if 0 < done < total and not killed:
            busy = [a for a, keys in client.processing().items() if keys]
            pids = client.run(os.getpid, workers=busy[:1])
            killed.extend(pids.values())
            os.kill(killed[0], signal.SIGKILL)

    there = ask(workers.scheduler_address, root, cache=tmp_path, progress=progress)
    assert len(killed) == 1 and verdicts(there) == verdicts(here)
    assert (
        run(Request(everything=True, linux=root, jobs=1, cache=tmp_path)).statistics["units_remembered"]
        == (here.statistics["units"])
    )


def _another_version() -> None:
    remote.told = lambda: "dentryproof 0.0.1"


def _this_version() -> None:
    import importlib

    importlib.reload(remote)


def test_a_worker_of_another_version_ends_the_run_and_what_is_finished_is_kept(
    workers: LocalCluster, client: Client, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, cache = workers.scheduler_address, tmp_path / "c"
    ask(address, root, "rcufree", cache=cache)
    client.run(_another_version)
    try:
        args = ["--linux", str(root), "--all", "--scheduler", address, "--cache-dir", str(cache)]
        assert main(args) == 2
    finally:
        client.run(_this_version)
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1
    assert "a worker with dentryproof 0.0.1, where this is dentryproof" in err and "install the same" in err
    assert ask(address, root, cache=cache).statistics["units_remembered"] == 1


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dentryproof":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
from distributed.cli.dask_worker import main
main()
"""
"""A worker where this package is not installed."""


def test_a_worker_without_the_package(root: Path) -> None:
    with LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        address = empty.scheduler_address
        command = [sys.executable, "-c", WITHOUT, address, "--no-nanny", "--no-dashboard"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as worker:
            try:
                with pytest.raises(
                    ClusterError, match=r"a worker without this version of it .*install the same"
                ):
                    ask(address, root, "rcufree")
            finally:
                worker.terminate()


def _unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def commands(root: Path, tmp_path: Path) -> dict[str, list[str]]:
    """The commands that a scheduler can be named to, on a tree, a patch and a history."""
    folder = shutil.copytree(root, tmp_path / "repository")
    init(folder)
    file = folder / "fs" / "rcufree" / "rcufree.c"
    file.write_text(file.read_text(encoding="utf-8") + "\n/* two */\n", encoding="utf-8")
    commit(folder, "two")
    return {
        "prove": ["--git", str(folder), "rcufree"],
        "diff": ["diff", "--git", str(folder), "HEAD~1", "HEAD"],
        "history": ["history", "--git", str(folder), "--from", "HEAD~1", "rcufree"],
    }


@pytest.mark.parametrize("command", ["prove", "diff", "history"])
def test_a_scheduler_that_is_not_there(
    command: str, commands: dict[str, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(clusters, "CONNECTING", 0.5)
    address = f"tcp://127.0.0.1:{_unused_port()}"
    assert main([*commands[command], "--no-cache", "--scheduler", address]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"prove: --scheduler {address}: no scheduler answers; 'dask scheduler'")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", ["prove", "diff", "history"])
def test_commands_say_the_same_with_a_cluster(
    command: str, commands: dict[str, list[str]], workers: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for more in ([], ["--scheduler", workers.scheduler_address]):
        status = main([*commands[command], "--no-cache", "--jobs", "1", "-q", *more])
        said.append((status, capsys.readouterr()))
    assert said[0] == said[1] and said[0][0] in (0, 1)


@pytest.mark.parametrize("address", ["nonsense", "foo://127.0.0.1:1", ""])
def test_what_is_no_address(address: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--linux", str(root), "rcufree", "--no-cache", "--scheduler", address]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"prove: --scheduler {address}: this is no address; 'dask scheduler'")
    assert len(err.splitlines()) == 1


def test_without_dask(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["--linux", str(root), "rcufree", "--no-cache", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    said = "prove: --scheduler needs Dask: pip install 'dentryproof[cluster]'\n"
    assert capsys.readouterr() == ("", said)


def test_no_workers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "WORKERS", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(ClusterError, match="it has no workers; start some with 'dask worker tcp://"),
    ):
        ask(empty.scheduler_address, root, "rcufree")


def test_a_scheduler_that_goes_away(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECTING", 1.0)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as mortal:

        def progress(done: int, total: int, now: tuple[str, ...]) -> None:
            if done == 1:
                mortal.close()

        with pytest.raises(ClusterError, match="the connection is lost; what is finished is kept"):
            ask(mortal.scheduler_address, root, cache=tmp_path, progress=progress)
    again = run(Request(everything=True, linux=root, jobs=1, cache=tmp_path))
    assert 1 <= again.statistics["units_remembered"] < again.statistics["units"]


def test_what_a_reader_asks_for_that_was_not_sent_is_sent_later(
    workers: LocalCluster, root: Path, here: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[Tree] = []

    def too_little(tree: Tree, folder: str, own: bool) -> Tree:
        view = tree.afresh()
        view.file("Makefile")
        views.append(view)
        return view

    monkeypatch.setattr(clusters, "needed", too_little)
    there = ask(workers.scheduler_address, root, "rcufree")
    (view,) = views
    assert "fs/rcufree/rcufree.c" in view.consulted.files and view.consulted.listings
    wanted = replace(here, results=tuple(r for r in here.results if r.filesystem == "rcufree"))
    assert wanted.results and verdicts(there) == verdicts(wanted)


def test_what_was_not_sent_is_not_absent() -> None:
    sent = files_of(Sent("", {"there": "!too large", "gone": "-"}, {"tree|flat|.c|fs": ("fs/a.c",)}))
    assert sent.read("gone") == (None, None) and list(sent.names("fs", (".c",), deep=False)) == ["fs/a.c"]
    file, _ = sent.read("there")
    assert file is not None and file.problem == "too large"
    with pytest.raises(LackingError, match="file other was not sent"):
        sent.read("other")
    with pytest.raises(LackingError, match=r"listing tree\|deep\|\.c\|fs was not sent"):
        list(sent.names("fs", (".c",), deep=True))


def test_a_module_beside_the_tree(workers: LocalCluster, root: Path, tmp_path: Path) -> None:
    module = shutil.copytree(TREE / "fs" / "plainfree", tmp_path / "outside")
    there = ask(workers.scheduler_address, root, "outside", module=module, everything=False)
    local = run(Request(("outside",), linux=root, module=module, jobs=1))
    assert local.results and verdicts(there) == verdicts(local)


def test_models_travel_as_texts(workers: LocalCluster, root: Path, tmp_path: Path) -> None:
    clauses = ("prune-is-const", "rcu-delay-dentry")
    asked: dict[str, Any] = {"linux": None, "kernel": "5.0.1", "clauses": clauses}
    there = ask(workers.scheduler_address, root, "autofs", **asked)
    assert verdicts(there) == verdicts(run(Request(("autofs",), jobs=1, **asked)))


def test_limits_hold_there(workers: LocalCluster, root: Path) -> None:
    there = ask(workers.scheduler_address, root, "rcufree", "twice", limits=Limits(60.0, 40 << 20))
    assert {r.verdict for r in there.results} == {Verdict.UNKNOWN}


def test_certificates_come_back(
    workers: LocalCluster, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["rcufree", "--linux", str(root), "--certificate", str(tmp_path / "c"), "--format", "json"]
    assert main([*args, "--scheduler", workers.scheduler_address, "--no-cache"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    named = {r["certificate"] for r in results} - {""}
    assert named and named <= {p.name for p in (tmp_path / "c").iterdir()}
    assert main(["check", str(tmp_path / "c")]) == 0
