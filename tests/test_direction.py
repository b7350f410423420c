"""Imports point one way: down the floors that `medical_rl/__init__.py` tells, and never in a circle."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import medical_rl

# Rooms that stand on one floor and may not import each other: two papers, two kinds of data.
FLOOR = re.compile(r"^ {2,3}(\d+) +([a-z_, ]+?)(?: {2,}|$)", re.MULTILINE)


def floors(text: str) -> dict[str, int]:
    """{room: floor} of a package's docstring; floor 1 is the ground."""
    placed = {}
    for number, rooms in FLOOR.findall(text):
        for room in rooms.split(","):
            placed[room.strip()] = int(number)
    return placed


def modules(root: Path) -> dict[str, Path]:
    """{dotted name: file} of everything the package consists of, data_preprocess as its room."""
    named = {}
    for top, prefix in (
        (root / "medical_rl", "medical_rl"),
        (root / "data_preprocess", "medical_rl.data_preprocess"),
    ):
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            named[".".join((prefix, *parts))] = path
    return named


def imports(path: Path, known) -> set[tuple[str, int]]:
    """(module, line) of every import of ours in a file, those inside functions too."""
    taken = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.append(whole if whole in known else node.module)
        taken |= {(name, node.lineno) for name in names if name in known}
    return taken


def room(module: str) -> str:
    """The room of a module: the first name below the package."""
    return module.split(".")[1] if "." in module else "__init__"


def against(root: Path, placed: dict[str, int]) -> list[str]:
    """`file:line: A -> B` of every import that does not go down a floor, and every module that stands on none."""
    known = modules(root)
    wrong = []
    for module, path in known.items():
        if module == "medical_rl":
            continue
        if room(module) not in placed:
            wrong.append(f"{path}: the room {room(module)} stands on no floor")
            continue
        for name, line in sorted(imports(path, known)):
            here, there = room(module), room(name)
            if there not in ("__init__", here) and placed.get(there, 0) >= placed[here]:
                wrong.append(f"{path.relative_to(root)}:{line}: {here} -> {there}")
    return wrong


def circles(root: Path, depth: int) -> list[list[str]]:
    """Groups of rooms (the first `depth` names below the package; 9 for files) that import each other in a circle."""
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        here = ".".join(module.split(".")[1 : depth + 1])
        for name, _ in imports(path, known):
            there = ".".join(name.split(".")[1 : depth + 1])
            if here and there and here != there:
                graph.setdefault(here, set()).add(there)
    return [sorted(group) for group in components(graph) if len(group) > 1]


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of a graph, by reachability: it has a few hundred nodes."""
    nodes = set(graph).union(*graph.values())
    reached = {}
    for node in nodes:
        seen, waiting = set(), [node]
        while waiting:
            for following in graph.get(waiting.pop(), ()):
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        reached[node] = seen
    groups = {
        frozenset({node} | {other for other in reached[node] if node in reached[other]}) for node in nodes
    }
    return [set(group) for group in groups]


def test_no_import_goes_up_a_floor_or_across_one(root):
    assert against(root, floors(medical_rl.__doc__)) == []


def test_rooms_and_files_import_each_other_in_no_circle(root):
    assert circles(root, 1) == []
    assert circles(root, 9) == []


def plant(root: Path, files: dict[str, str]) -> None:
    """Write a small package of {path below medical_rl: text}."""
    (root / "data_preprocess").mkdir()
    for name, text in files.items():
        path = root / "medical_rl" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)


def test_a_planted_import_against_the_direction_is_found(tmp_path):
    plant(tmp_path, {"judges/judge.py": "from medical_rl.rewards import mix\n", "rewards/mix.py": ""})
    assert against(tmp_path, {"judges": 1, "rewards": 2}) == [
        "medical_rl/judges/judge.py:1: judges -> rewards"
    ]


def test_a_planted_circle_is_found(tmp_path):
    plant(tmp_path, {"a/one.py": "import medical_rl.b.two\n", "b/two.py": "import medical_rl.a.one\n"})
    assert circles(tmp_path, 1) == [["a", "b"]]


def test_no_folder_holds_more_than_sixteen_files(root):
    crowded = {}
    for folder in {path.parent for path in modules(root).values()}:
        files = [path for path in folder.iterdir() if path.is_file()]
        if len(files) > 16:
            crowded[str(folder.relative_to(root))] = len(files)
    assert crowded == {}
