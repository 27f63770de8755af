"""The format of model files: the schema against the files kept, against the loader and against bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dentryproof.errors import ModelError
from dentryproof.spec import program
from dentryproof.spec.modelfile import ATOM_KINDS, FORMAT, dump, load

SPEC = resources.files("dentryproof.spec")
FILES = sorted(Path(__file__).parent.parent.glob("spec/models/*/*.json"))


@cache
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SPEC.joinpath("model.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schema_lists_what_the_loader_knows() -> None:
    schema: Any = validator().schema
    assert schema["properties"]["format"]["const"] == FORMAT
    assert set(schema["$defs"]["step"]["properties"]["kind"]["enum"]) == program.EVENT_KINDS
    assert set(schema["$defs"]["atom"]["properties"]["kind"]["enum"]) == ATOM_KINDS


def test_there_are_models() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_kept_model(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    error = next(validator().iter_errors(document), None)
    assert error is None, f"{error.json_path}: {error.message[:200]}"
    model = load(text, path.name)
    again = dump(model)
    assert json.loads(again) == document
    assert load(again, path.name) == model
    assert path.name == f"{model.filesystem}.{model.table}.json" and path.parent.name == model.kernel


def small() -> dict[str, Any]:
    """A model with one of everything, as a person would write it."""
    return {
        "format": 1,
        "kernel": "6.12",
        "reader": "by hand",
        "filesystem": "demo",
        "names": ["demo"],
        "table": "demo_dentry_operations",
        "at": 0,
        "slots": [["d_release", "demo_release"]],
        "programs": [
            {
                "method": "d_release",
                "function": "demo_release",
                "mode": "",
                "at": 0,
                "atoms": [
                    {"name": "n0", "kind": "nonnull", "event": 0},
                    {"name": "s1", "kind": "stable", "key": "CONFIG_DEMO"},
                    {"name": "f2", "kind": "free", "text": "flags & 1"},
                    {"name": "d3", "kind": "defined", "definition": 1},
                ],
                "events": [
                    {"kind": "read", "object": "dentry", "field": "d_fsdata", "guard": 0, "at": 0},
                    {
                        "kind": "defer",
                        "object": "dentry->d_fsdata",
                        "value": "rcu",
                        "via": 0,
                        "guard": 2,
                        "at": 0,
                        "then": [
                            {
                                "kind": "free",
                                "object": "dentry->d_fsdata",
                                "value": "now",
                                "guard": 2,
                                "at": 0,
                            }
                        ],
                    },
                    {"kind": "fence", "value": "wmb", "guard": 0, "at": 0},
                    {
                        "kind": "write",
                        "object": "dentry",
                        "field": "d_fsdata",
                        "value": "null",
                        "order": "release",
                        "guard": 0,
                        "at": 0,
                    },
                ],
                "gaps": [{"reason": "a statement does not parse", "guard": 0, "at": 0}],
            }
        ],
        "guards": [[""], ["n0 !s1", "f2"], ["n0 d3"]],
        "sources": [["fs/demo/root.c", 7, "demo_release"]],
    }


def test_model_by_hand() -> None:
    document = small()
    validator().validate(document)
    model = load(json.dumps(document), "demo")
    assert load(dump(model), "demo") == model
    validator().validate(json.loads(dump(model)))


REQUIRED = (
    "format",
    "kernel",
    "reader",
    "filesystem",
    "names",
    "table",
    "at",
    "slots",
    "programs",
    "guards",
    "sources",
)


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_field(name: str) -> None:
    document = small()
    del document[name]
    assert not validator().is_valid(document)
    with pytest.raises(ModelError) as caught:
        load(json.dumps(document), "demo.json")
    assert "demo.json" in str(caught.value) and "\n" not in str(caught.value)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "format": lambda d: d.update(format=2),
    "event kind": lambda d: d["programs"][0]["events"][0].update(kind="peek"),
    "fence of no kind": lambda d: d["programs"][0]["events"][2].update(value="smp_mb"),
    "store with an acquire": lambda d: d["programs"][0]["events"][3].update(order="acquire"),
    "load with a release": lambda d: d["programs"][0]["events"][0].update(order="release"),
    "order of a queued free": lambda d: d["programs"][0]["events"][1].update(order="once"),
    "negative via": lambda d: d["programs"][0]["events"][1].update(via=-1),
    "via of a deferred event": lambda d: d["programs"][0]["events"][1]["then"][0].update(via=0),
    "guard no number": lambda d: d["programs"][0]["events"][0].update(guard="n0"),
    "guard no text": lambda d: d["guards"].append([1]),
    "source too short": lambda d: d["sources"].append(["fs/demo/root.c", 1]),
    "atom kind": lambda d: d["programs"][0]["atoms"][2].update(kind="sometimes"),
    "nonnull of no event": lambda d: d["programs"][0]["atoms"][0].pop("event"),
    "definition missing": lambda d: d["programs"][0]["atoms"][3].pop("definition"),
    "gap without a reason": lambda d: d["programs"][0]["gaps"][0].pop("reason"),
    "facts no object": lambda d: d.update(facts=[]),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_both_refuse(change: Callable[[dict[str, Any]], object]) -> None:
    document = small()
    change(document)
    assert not validator().is_valid(document)
    with pytest.raises(ModelError):
        load(json.dumps(document), "demo.json")


@pytest.mark.parametrize("guard", ["n0  d3", " n0", "n0 ! d3", "!!n0", "!"])
def test_schema_wants_tidy_guards(guard: str) -> None:
    document = small()
    document["guards"].append([guard])
    assert not validator().is_valid(document)
