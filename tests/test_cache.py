"""The cache by itself: an entry is whole or absent, whatever happens to its file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dentryproof.proofs import cache
from dentryproof.proofs.cache import Cache, digest, edition

VALUE = {"results": [1, 2.5, "text", None, True], "more": {"a": "x" * 5000}}


def store(folder: Path, notes: list[str] | None = None) -> Cache:
    return Cache(folder, [].append if notes is None else notes.append)


def entry(folder: Path, kind: str = "kind", key: str = "key") -> Path:
    return folder / edition() / kind / key


def test_what_was_put_is_got_by_another_run(tmp_path: Path) -> None:
    store(tmp_path / "new" / "folder").put("kind", "key", VALUE)
    again = store(tmp_path / "new" / "folder")
    assert again.get("kind", "key") == VALUE
    assert again.get("kind", "other") is None and again.get("other", "key") is None


def test_a_key_tells_different_words_apart() -> None:
    assert digest("a", "bc") != digest("ab", "c") != digest("abc") != digest()
    assert digest("a", 1.5, None) == digest("a", 1.5, None)


def test_a_damaged_entry_is_absent(tmp_path: Path) -> None:
    store(tmp_path).put("kind", "key", VALUE)
    path = entry(tmp_path)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    damaged += [bytes([*whole[:i], whole[i] ^ 1, *whole[i + 1 :]]) for i in range(0, len(whole), 5)]
    damaged += [whole + b"x", b"\0" * len(whole)]
    for raw in damaged:
        path.write_bytes(raw)
        assert store(tmp_path).get("kind", "key") is None
    store(tmp_path).put("kind", "key", VALUE)
    assert store(tmp_path).get("kind", "key") == VALUE


def test_no_value_that_is_not_plain_data_is_made(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        store(tmp_path).put("kind", "key", {1, 2})
    assert not entry(tmp_path).exists() and list(entry(tmp_path).parent.iterdir()) == []


def test_where_it_cannot_be_written_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    notes: list[str] = []
    blocked = store(tmp_path / "file" / "below", notes)
    blocked.put("kind", "one", VALUE)
    blocked.put("kind", "two", VALUE)
    assert blocked.get("kind", "one") is None
    (note,) = notes
    assert "cannot write the cache in" in note and "going on without it" in note


def test_a_full_disk_leaves_the_old_entry_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path).put("kind", "key", 1)
    notes: list[str] = []

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            self.stream = real(handle, mode)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *what: object) -> None:
            self.stream.close()

        def write(self, data: bytes) -> int:
            self.stream.write(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real: Any = os.fdopen
    monkeypatch.setattr(os, "fdopen", Full)
    full = store(tmp_path, notes)
    full.put("kind", "key", 2)
    full.put("kind", "another", 2)
    assert len(notes) == 1 and "No space left on device" in notes[0]
    assert full.get("kind", "key") == 1
    assert [p.name for p in entry(tmp_path).parent.iterdir()] == ["key"]


def test_other_editions_are_other_entries_and_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{n:020x}" for n in range(6)]
    for n, name in enumerate(names):
        monkeypatch.setattr(cache, "edition", lambda name=name: name)
        store(tmp_path).put("kind", "key", n)
        os.utime(tmp_path / name, (n, n))
        assert store(tmp_path).get("kind", "key") == n
    (tmp_path / "mine").mkdir()
    left = {p.name for p in tmp_path.iterdir()}
    assert names[-1] in left and "mine" in left and len(left) <= 6


def test_an_edition_is_the_tools_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = list(cache._own_source())
    names = {f"{p.parent.name}/{p.name}" for p in sources}
    assert {"proofs/cache.py", "reader/tree.py", "spec/contract.toml", "dentryproof/errors.py"} <= names
    changed = tmp_path / "cache.py"
    changed.write_text("# changed")
    monkeypatch.setattr(cache, "_own_source", lambda: iter([*sources[1:], changed]))
    assert cache.edition.__wrapped__() != edition()


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    store(tmp_path).put("kind", "key", 1)
    old, new = entry(tmp_path).parent / ".old.tmp", entry(tmp_path).parent / ".new.tmp"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    store(tmp_path).put("kind", "key", 2)
    assert not old.exists() and new.exists()


WRITER = """
import sys
from pathlib import Path
from dentryproof.proofs.cache import Cache
store = Cache(Path(sys.argv[1]), print)
for number in range(300):
    store.put("kind", "key", [number] * 2000)
    value = store.get("kind", "key")
    assert isinstance(value, list) and len(value) == 2000 and len(set(value)) == 1, value
"""


def test_several_writers_and_readers_of_one_entry(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(tmp_path)]] * 3
    running = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for c in commands]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, b"", b"")
    assert [p.name for p in entry(tmp_path).parent.iterdir()] == ["key"]
