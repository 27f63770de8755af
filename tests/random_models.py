"""Random models: a lockless method, and one or two of a teardown that frees or clears what it reads."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from dentryproof.spec.program import TRUE, Event, Model, Program, ProgramBuilder, Source

FILE = "fs/toy/toy.c"


class _Method(ProgramBuilder):
    """Each event stands on a line of its own."""

    def put(self, kind: str, object: str = "", field: str = "", **rest: object) -> int:
        """Append one event."""
        at = Source(FILE, 10 + len(self.events), f"toy_{self.method}")
        return self.add(kind, object, field, source=at, **rest)


def _walker(random: Random, method: str, root: str, member: str) -> Program:
    made = _Method(method, "" if method == "d_compare" else "rcu", f"toy_{method}")
    lock = "d_lock" if root == "dentry" else "i_lock"
    reads: list[int] = []
    held = False
    for _ in range(random.randint(2, 7)):
        chance = random.random()
        if chance < 0.35 or not reads:
            tested = bool(reads) and random.random() < 0.4
            guard = (((made.nonnull(random.choice(reads)), True),),) if tested else TRUE
            reads.append(made.put("read", root, member, guard=guard, type=root))
        elif chance < 0.75:
            read = random.choice(reads)
            guard = made.events[read].guard
            if random.random() < 0.6:
                test = made.nonnull(random.choice(reads)), True
                guard = tuple(tuple(sorted({*cube, test})) for cube in guard)
            made.put("read", f"{root}->{member}", "flags", via=read, guard=guard, type="toy_info")
        elif not held and chance < 0.85:
            made.put("lock", root, lock, value="exclusive")
            held = True
        elif held and chance < 0.95:
            made.put("unlock", root, lock, value="exclusive")
            held = False
        elif method == "d_revalidate":
            made.put("write", "dentry", random.choice(["d_fsdata", "d_time", "d_flags"]), value="other")
    if held and random.random() < 0.8:
        made.put("unlock", root, lock, value="exclusive")
    made.put("return")
    return made.build()


def _teardown(random: Random, method: str, root: str, member: str) -> Program:
    made = _Method(method, "", f"toy_{method}")
    lock, path = "d_lock" if root == "dentry" else "i_lock", f"{root}->{member}"
    read = made.put("read", root, member)
    held = False
    for what in random.choices(
        ["free", "clear", "wait", "queue", "lock", "unlock", "store"], k=random.randint(1, 4)
    ):
        if what == "free":
            by = random.choice(["kfree()", "kmem_cache_free()"])
            made.put("free", path, value="now", via=read, note=by, type="toy_info")
        elif what == "queue":
            later = (Event("free", path, value="now", type="toy_info"),)
            made.put(
                "defer", path, value=random.choice(["rcu", "work"]), via=read, then=later, note="queue()"
            )
        elif what in ("clear", "store"):
            made.put("write", root, member, value="null" if what == "clear" else "other")
        elif what == "wait":
            made.put("wait")
        elif (what == "lock") != held:
            made.put(what, root, lock, value="exclusive")
            held = not held
    if held:
        made.put("unlock", root, lock, value="exclusive")
    made.put("return")
    return made.build()


def random_model(seed: int) -> Model:
    """The model of a seed."""
    random = Random(seed)
    if random.random() < 0.6:
        programs = [_walker(random, random.choice(["d_revalidate", "d_compare"]), "dentry", "d_fsdata")]
        methods = random.sample(["d_release", "d_iput", "d_prune"], random.choice([1, 1, 2]))
        programs += [_teardown(random, m, "dentry", "d_fsdata") for m in methods]
    else:
        programs = [
            replace(ProgramBuilder("d_compare", "", "toy_d_compare").build(), source=Source(FILE, 1)),
            _walker(random, "permission", "inode", "i_private"),
            _teardown(random, "evict_inode", "inode", "i_private"),
        ]
    slots = tuple((p.method, p.function) for p in programs)
    kernel = random.choice(["5.0", "6.12"])
    return Model(kernel, "toy", ("toy",), "toy_ops", Source(FILE, 1), tuple(programs), slots)
