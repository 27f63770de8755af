"""`prove history`: every turning point of small histories, and what it says of histories it cannot search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from repositories import commit, git, init
from test_cli import one_line
from toys import TREE, edit, small_tree

from dentryproof.commands.main import main
from dentryproof.proofs import schedule
from dentryproof.proofs.history import _decided, _state, _turns
from dentryproof.proofs.timeline import Turn
from dentryproof.proofs.verdict import Result, Verdict
from dentryproof.reader.git import revision
from dentryproof.reader.history import Watch, line, sides

FREE = "fs/rcufree/rcufree.c"
LATER, NOW = "kfree_rcu(info, rcu)", "kfree(info)"
DELAY = "rcu-delay-dentry"


class Repo:
    """A repository, and the names of its commits by their subjects."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, str] = {}
        init(root)
        self.names["start"] = git(root, "rev-parse", "HEAD")

    def commit(self, subject: str) -> None:
        self.names[subject] = commit(self.root, subject)

    def unrelated(self, subject: str) -> None:
        (self.root / "notes.txt").write_text(subject)
        self.commit(subject)

    def swap(self, old: str, new: str, subject: str) -> None:
        edit(self.root / FREE, old, new)
        self.commit(subject)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A tree with one filesystem that nothing here changes."""
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))
    return Repo(small_tree(tmp_path / "linux", "inodetwice"))


def grown(repo: Repo) -> Repo:
    """rcufree appears, breaks, is mended, loses its table, has it again, breaks again."""
    repo.unrelated("one")
    shutil.copytree(TREE / "fs/rcufree", repo.root / "fs/rcufree")
    repo.commit("add")
    repo.unrelated("two")
    repo.swap(LATER, NOW, "break")
    repo.unrelated("three")
    repo.swap(NOW, LATER, "mend")
    text = (repo.root / FREE).read_text()
    head, rest = text.split("static const struct dentry_operations")
    (repo.root / FREE).write_text(head + rest.split("};\n", 1)[1])
    repo.commit("drop the table")
    repo.unrelated("four")
    (repo.root / FREE).write_text(text)
    repo.commit("table again")
    repo.swap(LATER, NOW, "break again")
    repo.unrelated("five")
    return repo


def run(capsys: pytest.CaptureFixture[str], repo: Repo, *args: str) -> tuple[int, str, str]:
    status = main(["history", "--git", str(repo.root), "--jobs", "1", *args])
    said = capsys.readouterr()
    return status, said.out, said.err


def document(capsys: pytest.CaptureFixture[str], repo: Repo, *args: str) -> dict[str, Any]:
    """What the command prints as JSON, after a look whether the schema allows it."""
    status, out, _ = run(capsys, repo, "--format", "json", *args)
    found: dict[str, Any] = json.loads(out)
    text = resources.files("dentryproof.report").joinpath("history.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(found)
    assert found["exit_status"] == status
    return found


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run fail that has anything left for workers to do."""
    real = schedule.distribute

    def watched(tasks: Sequence[Any], *rest: Any) -> Any:
        assert not tasks, "a worker was asked"
        return real(tasks, *rest)

    monkeypatch.setattr(schedule, "distribute", watched)


def turns(found: dict[str, Any], clause: str = DELAY) -> list[tuple[str, str]]:
    """(what happened, in the commit of which subject) to a clause of rcufree."""
    return [
        (e["event"], e["commit"]["subject"])
        for t in found["threads"]
        if t["clause"] == clause and t["filesystem"] == "rcufree"
        for e in t["events"]
    ]


ALL = [
    ("appeared", "add"),
    ("broke", "break"),
    ("fixed", "mend"),
    ("gone", "drop the table"),
    ("appeared", "table again"),
    ("broke", "break again"),
]


def test_every_turning_point_is_found_where_all_are_tried(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, grown(repo), "--from", repo.names["start"], "--every", "rcufree")
    assert turns(found) == ALL
    assert turns(found, "rcu-delay-super") == [ALL[0], ALL[3], ALL[4]]
    assert found["candidates"] == 6 and found["exit_status"] == 1 and found["commits"] == 11
    subjects = [t["commit"]["subject"] for t in found["tried"]]
    assert subjects == ["start", *(s for _, s in ALL), "five"]  # the ends, and nothing unrelated
    events = [e for t in found["threads"] for e in t["events"]]
    assert all(e["exact"] and e["commit"]["name"] == repo.names[e["commit"]["subject"]] for e in events)
    assert all(p["certain"] for p in found["points"])


def test_bisection_finds_a_turn_wherever_the_ends_differ(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    grown(repo)
    for since, until, expected in (
        ("start", "two", ALL[:1]),
        ("one", "three", ALL[:2]),
        ("two", "three", ALL[1:2]),
        ("three", "mend", ALL[2:3]),
        ("mend", "four", ALL[3:4]),
        ("four", "five", ALL[4:]),
    ):
        found = document(capsys, repo, "--from", repo.names[since], "--to", repo.names[until], "rcufree")
        assert turns(found) == expected, (since, until)


def test_what_turned_and_turned_back_is_left_to_every(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    grown(repo)
    ends = ("--from", repo.names["two"], "--to", repo.names["mend"], "rcufree")
    bisected = document(capsys, repo, *ends)
    assert turns(bisected) == []
    assert [p["certain"] for p in bisected["points"]] == [True, False]  # it says that it did not look
    assert bisected["exit_status"] == 0
    assert "not tried" in run(capsys, repo, "--format", "svg", *ends)[1]
    everything = document(capsys, repo, "--every", *ends)
    assert turns(everything) == ALL[1:3] and everything["exit_status"] == 0


def test_a_bisection_tries_few_commits(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    many(repo)
    found = document(capsys, repo, "--from", repo.names["add"], "rcufree")
    assert turns(found) == [("broke", "change 11")]
    assert found["candidates"] == 16 and len(found["tried"]) <= 2 + 4


def many(repo: Repo) -> None:
    """rcufree changes 16 times, the eleventh change breaks it."""
    shutil.copytree(TREE / "fs/rcufree", repo.root / "fs/rcufree")
    repo.commit("add")
    for i in range(1, 17):
        if i == 11:
            edit(repo.root / FREE, LATER, NOW)
        with (repo.root / FREE).open("a") as stream:
            stream.write(f"/* {i} */\n")
        repo.commit(f"change {i}")


def test_a_merge_is_looked_into(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(TREE / "fs/rcufree", repo.root / "fs/rcufree")
    repo.commit("add")
    git(repo.root, "checkout", "-q", "-b", "side")
    repo.swap(LATER, NOW, "break aside")
    (repo.root / "aside.txt").write_text("")
    repo.commit("unrelated aside")
    git(repo.root, "checkout", "-q", "main")
    repo.unrelated("meanwhile")
    git(repo.root, "merge", "-q", "--no-ff", "-m", "merge", "side")
    repo.names["merge"] = git(repo.root, "rev-parse", "HEAD")
    repo.unrelated("later")
    found = document(capsys, repo, "--from", repo.names["add"], "rcufree")
    assert turns(found) == [("broke", "break aside")]
    (event,) = (e for t in found["threads"] for e in t["events"])
    assert event["merge"] == repo.names["merge"] and event["since"] == repo.names["add"] and event["exact"]
    stays = document(capsys, repo, "--from", repo.names["add"], "--first-parent", "rcufree")
    assert turns(stays) == [("broke", "merge")]
    repo.swap(NOW, LATER, "mend")
    # From within the branch: the line goes by the merge.
    inside = document(capsys, repo, "--from", repo.names["break aside"], "rcufree")
    assert turns(inside) == [("fixed", "mend")] and inside["commits"] == 3


def test_commits_without_a_kernel_tree_are_skipped_and_named(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(TREE / "fs/rcufree", repo.root / "fs/rcufree")
    repo.commit("add")
    makefile = (repo.root / "Makefile").read_text()
    (repo.root / "Makefile").unlink()
    repo.commit("lose the Makefile")
    edit(repo.root / FREE, LATER, NOW)
    (repo.root / "Makefile").write_text(makefile)
    repo.commit("find it, and break")
    found = document(capsys, repo, "--from", repo.names["add"], "rcufree")
    (event,) = (e for t in found["threads"] for e in t["events"])
    assert event["event"] == "broke" and event["commit"]["subject"] == "find it, and break"
    assert not event["exact"] and event["since"] == repo.names["add"]
    ((subject, why),) = ((t["commit"]["subject"], t["skipped"]) for t in found["tried"] if t["skipped"])
    assert subject == "lose the Makefile" and "no kernel tree" in why
    _, text, _ = run(capsys, repo, "--from", repo.names["add"], "rcufree")
    assert f"(here, or since {repo.names['add'][:12]})" in text and "skipped: " in text


def test_paths_choose_commits_and_filesystems(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    grown(repo)
    ends = ("--from", repo.names["two"], "--to", repo.names["three"])
    named = document(capsys, repo, *ends, "--paths", "fs/rcufree/")
    assert turns(named) == [("broke", "break")] and named["candidates"] == 1
    assert {t["filesystem"] for t in named["threads"]} == {"rcufree"}
    # A path that has nothing to do with it: where it turned is then not known.
    other = document(capsys, repo, *ends, "--paths", "notes.txt", "rcufree")
    (event,) = (e for t in other["threads"] for e in t["events"])
    assert event["event"] == "broke" and not event["exact"] and event["since"] == repo.names["two"]


def test_text_names_what_turned_and_what_was_tried(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    grown(repo)
    args = ("--from", repo.names["start"], "--every", "--clause", DELAY, "rcufree")
    status, out, err = run(capsys, repo, *args)
    assert (status, err) == (1, "")
    assert "11 commits on the line, 6 candidates (all tried), 8 tried" in " ".join(out.split())
    rows = [line.split() for line in out.splitlines() if DELAY in line and "2024-01-01" in line]
    assert [(r[0], r[6]) for r in rows] == [(repo.names[subject][:12], event) for event, subject in ALL]
    assert f"violated, since {repo.names['break again'][:12]}" in out
    quiet = run(capsys, repo, *args, "-q")[1].splitlines()
    assert quiet == [line for line in out.splitlines() if DELAY in line and "2024-01-01" in line]


def test_what_a_subject_has_a_terminal_do_is_shown(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(TREE / "fs/rcufree", repo.root / "fs/rcufree")
    repo.commit("add \x1b[2J\u202e <&>")
    args = ("--from", repo.names["start"], "rcufree")
    assert "add \\x1b[2J\\u202e <&>" in run(capsys, repo, *args)[1]
    picture = run(capsys, repo, *args, "--format", "svg")[1]
    assert ": add [U+001B][2J[U+202E] <&>" in "".join(ElementTree.fromstring(picture).itertext())


def test_the_timeline_has_a_bar_for_each_verdict(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    grown(repo)
    args = ("--from", repo.names["start"], "--every", "--clause", DELAY, "rcufree", "--format", "svg")
    status, out, _ = run(capsys, repo, *args)
    assert status == 1
    bars = [
        (rect.get("class"), title.text.split(": ")[1])
        for rect in ElementTree.fromstring(out).iter("{http://www.w3.org/2000/svg}rect")
        if (title := rect.find("{http://www.w3.org/2000/svg}title")) is not None and title.text
    ]
    states = ["proved", "violated", "proved", "proved", "violated", "violated"]
    assert bars == [(f"dp-{s}", s) for s in states]


def test_a_second_run_reads_nothing(
    repo: Repo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many(repo)
    args = ("--from", repo.names["change 5"], "--to", repo.names["change 12"], "--every", "rcufree")
    first = document(capsys, repo, *args)
    assert turns(first) == [("broke", "change 11")] and len(first["tried"]) == 8
    forbid_work(monkeypatch)
    assert document(capsys, repo, *args) == first
    assert run(capsys, repo, *args, "--no-cache")[0] == 70  # it does forbid


def test_without_a_cache_the_answer_is_the_same(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--from", grown(repo).names["mend"], "rcufree")
    assert document(capsys, repo, *args, "--no-cache") == document(capsys, repo, *args)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--from", "nonesuch", "rcufree"), "no commit 'nonesuch'"),
        (("--from", "HEAD~1", "--to", "nonesuch", "rcufree"), "no commit 'nonesuch'"),
        (("--from", "HEAD", "--to", "HEAD~1", "rcufree"), "is no ancestor of"),
        (("--from", "HEAD", "rcufree"), "there is no commit between HEAD and HEAD"),
        (
            ("--from", "HEAD~1", "rcufree"),
            "no commit between HEAD~1 and HEAD touches what the verdicts rest on",
        ),
        (
            ("--from", "HEAD~2", "--paths", "Kconfig", "rcufree"),
            "no commit between HEAD~2 and HEAD touches Kconfig",
        ),
        (("--from", "HEAD~2", "--paths", "../x", "rcufree"), "--paths ../x: not a path in the tree"),
        (("--from", "HEAD~2", "--paths", "notes.txt"), "no filesystem rests on notes.txt"),
        (("--from", "HEAD~2"), "name a filesystem"),
        (("--from", "HEAD~2", "rcufre"), "unknown filesystem 'rcufre'"),
        (("--from", "HEAD~2", "rcufree", "nonesuch"), "unknown filesystem 'nonesuch'"),
        (("--from", "HEAD~2", "--clause", "nonesuch", "rcufree"), "unknown clause 'nonesuch'"),
        (("rcufree",), "--from"),
    ],
)
def test_bad_input_is_one_line(
    repo: Repo, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], said: str
) -> None:
    grown(repo)
    status, out, err = run(capsys, repo, *args)
    assert (status, out) == (2, "") and said in one_line(err)


def test_a_shallow_clone_says_what_to_do(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    grown(repo)
    clone = repo.root.parent / "clone"
    git(repo.root.parent, "clone", "-q", "--depth", "3", repo.root.as_uri(), str(clone))
    args = ["history", "--git", str(clone), "--from", repo.names["start"], "rcufree"]
    assert main(args) == 2
    assert "the clone is shallow: git fetch --unshallow" in one_line(capsys.readouterr().err)
    # The base is there, and what lies between is not.
    git(clone, "fetch", "-q", "--depth", "1", "origin", repo.names["add"])
    args[4] = repo.names["add"]
    assert main(args) == 2
    err = one_line(capsys.readouterr().err)
    assert "is no ancestor of" in err and "git fetch --unshallow" in err


def test_what_is_finished_is_kept(
    repo: Repo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(repo)
    status, _, err = run(capsys, repo, "--from", "HEAD~1", "rcufree")
    assert status == 2 and "touches" in err
    forbid_work(monkeypatch)
    assert main(["--git", str(repo.root), "--jobs", "1", "rcufree"]) == 1
    capsys.readouterr()


def test_a_line_goes_along_first_parents(repo: Repo) -> None:
    root = repo.root
    git(root, "checkout", "-q", "-b", "side")
    repo.unrelated("aside")
    git(root, "checkout", "-q", "main")
    (root / "other.txt").write_text("")
    repo.commit("meanwhile")
    git(root, "merge", "-q", "--no-ff", "-m", "merge", "side")
    at = {name: revision(root, full) for name, full in repo.names.items()}
    merge = revision(root, "HEAD")
    assert line(at["start"], merge) == (at["start"], at["meanwhile"], merge)
    assert line(at["aside"], merge) == (at["aside"], merge)
    assert sides(at["meanwhile"], merge) == ((at["start"], at["aside"]),)
    assert sides(at["start"], at["meanwhile"]) == ()


def test_what_is_watched(repo: Repo) -> None:
    root, start = repo.root, revision(repo.root, "HEAD")
    (root / "fs/inodetwice/more.c").write_text("int more;\n")
    repo.commit("more")
    (root / "fs/inodetwice/more.c").write_text("int more = 1;\n")
    repo.commit("changed")
    added, changed = (revision(root, repo.names[s]) for s in ("more", "changed"))
    listing = "tree|flat|.c,.h|fs/inodetwice"
    for watch, touched in (
        (Watch(["fs/inodetwice/more.c"]), (True, True)),  # a path that was asked for and not there counts
        (Watch(["fs"]), (True, True)),
        (Watch(["fs/inodetwice/inodetwice.c", "Makefile", "include"]), (False, False)),
        (Watch([], [listing]), (True, False)),  # which files there are, not what is in them
        (Watch([], [listing.replace("flat", "deep")]), (True, True)),
        (Watch([]), (False, False)),
    ):
        assert (watch.touched(start, added), watch.touched(added, changed)) == touched


P, V, U = Verdict.PROVED, Verdict.VIOLATED, Verdict.UNKNOWN


def state(*rows: tuple[str, Verdict]) -> Any:
    return _state([Result("fs", "ops", "clause", (), o, v) for o, v in rows])


KEY = ("fs", "ops", "clause", "x")
N = Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([("x", P)], [("x", V)], [Turn.BROKE]),
        ([("x", V)], [("x", P)], [Turn.FIXED]),
        ([("x", P)], [("x", U)], [Turn.UNKNOWN]),
        ([], [("x", P)], [Turn.APPEARED]),
        ([], [("x", V)], [Turn.APPEARED, Turn.BROKE]),
        ([], [("x", U)], [Turn.APPEARED, Turn.UNKNOWN]),
        ([("", N)], [("x", V)], [Turn.APPEARED, Turn.BROKE]),
        ([("", U)], [("x", V)], [Turn.APPEARED]),  # it may have been violated before
        ([("x", P)], [], [Turn.GONE]),
        ([("x", V)], [], [Turn.GONE]),  # the table is gone: nothing was mended
        ([("x", V)], [("", N)], [Turn.FIXED, Turn.GONE]),
        ([("x", V)], [("y", P)], [Turn.FIXED, Turn.GONE]),
        ([("x", V)], [("y", V)], [Turn.GONE]),  # under another name it may be the same
        ([("x", V)], [("", U)], [Turn.GONE]),
    ],
)
def test_what_a_turn_is_called(
    old: list[tuple[str, Verdict]], new: list[tuple[str, Verdict]], expected: list[Turn]
) -> None:
    before, after = state(*old), state(*new)
    found = _turns(KEY, before.verdicts.get(KEY), after.verdicts.get(KEY), before, after)
    assert list(found) == expected


def test_what_was_unknown_is_compared_with_what_was_known_before() -> None:
    assert _decided(P, V) is Turn.BROKE and _decided(V, P) is Turn.FIXED
    assert {_decided(P, P), _decided(V, V), _decided(None, V), _decided(U, P)} == {Turn.DECIDED}


def test_of_several_obligations_the_worst_counts() -> None:
    assert state(("x", P), ("x", U)).verdicts == {KEY: U}
    assert state(("x", V), ("x", U), ("x", P)).verdicts == {KEY: V}
    assert state(("x", N)).verdicts == {} and state(("x", N)).tables == {("fs", "ops")}
