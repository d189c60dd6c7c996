"""Lasting effects (commits, publishes, acks, calls), read from the code, and the failpoints around
them.

The rule: in a function with points, points and effects alternate, and it begins and ends with a
point; a call of another function with points does not replace one. A function with effects and
without points passes them on to its callers, so in the end each effect lies between two points. A
statement inside `with transaction.atomic(...)` is no effect; the end of the block is. A reply that
follows a commit has the commit's point before it, and nothing is done after a reply.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.architecture.tree import OPTIONAL, ROOT, SERVICES, parsed

SHOP = ("participant", "messaging", "httpapi", "coordination", *SERVICES, *OPTIONAL)
LEFT_OUT = re.compile(r"/(admin|models|apps|migrations|management|brokers)\b")
"""Tables, the admin (whose users see the result), commands by hand, the broker's adapters."""

LEAVES_THE_PROCESS = {"publish", "ack", "give_back", "urlopen", "request"}
"""Methods of brokers, subscriptions and HTTP pools."""
_WRITES = re.compile(
    r"\bINSERT\s+INTO\b|\bDELETE\s+FROM\b|\bUPDATE\s+\S+(?:\s+AS\s+\w+)?\s+SET\b|\bpg_notify\("
)
_SAVES = {"save", "create", "bulk_create", "get_or_create", "update_or_create"}
_SAVES_A_QUERY = {"update", "delete"}


class Mark(NamedTuple):
    """A point or an effect in a function, with its place."""

    line: int
    column: int
    kind: str
    """point, commit, write, away (leaves the process), call (to `what`), on_commit."""
    what: str
    in_transaction: bool


@dataclass
class Body:
    """A function, named `module.Class.function`, and its marks."""

    key: str
    place: str
    marks: list[Mark] = field(default_factory=list)

    @property
    def has_points(self) -> bool:
        return any(mark.kind == "point" for mark in self.marks)


@cache
def shop_modules(root: Path = ROOT) -> dict[str, Path]:
    """The shop's files by dotted name."""
    paths = {}
    for path in sorted(file for package in SHOP for file in (root / package).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not LEFT_OUT.search(f"/{name.removesuffix('.py')}"):
            paths[name.removesuffix(".py").replace("/", ".")] = path
    return paths


def uncovered(modules: dict[str, Path], *, excused: Collection[str]) -> dict[str, str]:
    """By function (`module.Class.function`): the errors in its effects. `excused`: functions whose
    effects need no points.
    """
    bodies = {body.key: body for name, path in modules.items() for body in _bodies(name, path)}
    leaking = _leaking({key: body for key, body in bodies.items() if key not in excused})
    busy = _busy(bodies)
    called = {m.what for body in bodies.values() for m in body.marks if m.kind == "call"}
    wrong = {
        key: f"{bodies[key].place}: an effect, no point here, and no caller that has one"
        for key in leaking
        if key not in called
    }
    for body in bodies.values():
        if body.key in excused:
            continue
        order = "".join(_letters(body, leaking, busy))
        if body.has_points and re.search(r"^E|[EB]E|EB|E$", order):
            wrong[body.key] = f"{body.place}: effects and points do not alternate ({order})"
        for mark in body.marks:
            if mark.kind != "on_commit" or mark.what in excused:
                continue
            if not bodies[mark.what].has_points:
                wrong[mark.what] = f"{bodies[mark.what].place}: runs on commit, without a point"
    return wrong


def _leaking(bodies: dict[str, Body]) -> set[str]:
    """The functions that leave effects to their callers."""
    leaking: set[str] = set()
    while True:
        more = {
            key
            for key, body in bodies.items()
            if not body.has_points and "E" in _letters(body, leaking)
        }
        if more == leaking:
            return leaking
        leaking = more


def _busy(bodies: dict[str, Body]) -> set[str]:
    """The functions that reach points, by themselves or through others."""
    busy = {key for key, body in bodies.items() if body.has_points}
    while True:
        more = {
            key for key, body in bodies.items() if any(mark.what in busy for mark in body.marks)
        }
        if more <= busy:
            return busy
        busy |= more


def _letters(body: Body, leaking: set[str], busy: Collection[str] = ()) -> Iterator[str]:
    """Its points (P), effects (E) and calls of busy functions (B), in order."""
    for mark in sorted(body.marks):
        if mark.kind == "point":
            yield "P"
        elif mark.kind in ("commit", "away") or (
            not mark.in_transaction and (mark.kind == "write" or mark.what in leaking)
        ):
            yield "E"
        elif mark.what in busy and not mark.in_transaction:
            yield "B"


@cache
def _bodies(module: str, path: Path) -> tuple[Body, ...]:
    return tuple(_read_all(module, parsed(path)))


def _read_all(module: str, tree: ast.Module) -> Iterator[Body]:
    names = _names(module, tree)
    executed = _executed(tree)
    for path, node in _functions(tree, ""):
        body = Body(f"{module}.{path}", f"{module}:{node.lineno}")
        owner = f"{module}.{path.rpartition('.')[0]}"
        own = {f"self.{key.rpartition('.')[2]}": key for key in _defined(tree, module, owner)}
        known = names._replace(functions=names.functions | own)
        for statement in node.body:
            _read(statement, known, body, in_transaction=node.name in executed)
        yield body


def _functions(node: ast.AST, path: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function with its path in the module, `Class.function` or `function.inner`."""
    for child in ast.iter_child_nodes(node):
        inner = path
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{path}.{child.name}".lstrip(".")
        if isinstance(child, ast.FunctionDef):
            yield inner, child
        yield from _functions(child, inner)


def _executed(tree: ast.Module) -> set[str]:
    """Code that runs only in the transaction of `execute` or of a decision: operations, the
    functions of decisions, and the additions of a door.
    """
    added = {
        ast.unparse(keyword.value).removeprefix("self.")
        for keyword in ast.walk(tree)
        if isinstance(keyword, ast.keyword) and keyword.arg in ("in_same_transaction", "decide")
    }
    return added | {node.name for _, node in _functions(tree, "") if _is_operation(node)}


def _is_operation(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in ("does", "undoes")
        for decorator in node.decorator_list
    )


class _Names(NamedTuple):
    """The meaning of names in a module: functions of the shop, and constants with writing SQL."""

    functions: dict[str, str]
    writing: set[str]


def _names(module: str, tree: ast.Module) -> _Names:
    modules = shop_modules()
    functions = {key.rpartition(".")[2]: key for key in _defined(tree, module, module)}
    writing = _writing_constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        for item in node.names:
            alias, imported = item.asname or item.name, f"{node.module}.{item.name}"
            if imported in modules:
                source = parsed(modules[imported])
                defined = _defined(source, imported, imported)
                functions |= {f"{alias}.{key.rpartition('.')[2]}": key for key in defined}
                writing |= {f"{alias}.{name}" for name in _writing_constants(source)}
            elif node.module in modules:
                source = parsed(modules[node.module])
                if imported in _defined(source, node.module):
                    functions[alias] = imported
    return _Names(functions, writing)


def _defined(tree: ast.Module, module: str, owner: str = "") -> set[str]:
    """The keys of the definitions directly inside the owner, a class or the module itself."""
    keys = {f"{module}.{path}" for path, _ in _functions(tree, "")}
    return {key for key in keys if key.rpartition(".")[0] == (owner or module)}


def _writing_constants(tree: ast.Module) -> set[str]:
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and _WRITES.search(_text(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _text(node: ast.AST) -> str:
    """The text of all strings of an expression, with `x` for interpolated values."""
    if isinstance(node, ast.FormattedValue):
        return "x"
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(_text(child) for child in ast.iter_child_nodes(node))


def _read(node: ast.AST, names: _Names, body: Body, *, in_transaction: bool) -> None:
    if isinstance(node, ast.FunctionDef) or _is_docstring(node):
        return
    mark = _mark(node, names)
    if mark:
        body.marks.append(
            Mark(node.lineno, node.col_offset, *mark, in_transaction)  # type: ignore[attr-defined]
        )
    opens = isinstance(node, ast.With) and any("atomic(" in _head(item) for item in node.items)
    for child in ast.iter_child_nodes(node):
        if not (mark and mark[0] == "on_commit"):
            _read(child, names, body, in_transaction=in_transaction or opens)
    if opens:
        end = (node.end_lineno or 0, node.end_col_offset or 0)  # type: ignore[attr-defined]
        body.marks.append(Mark(*end, "commit", "", in_transaction))


def _mark(node: ast.AST, names: _Names) -> tuple[str, str] | None:
    if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in names.writing:
        return "write", ""
    if isinstance(node, ast.Constant | ast.JoinedStr) and _WRITES.search(_text(node)):
        return "write", ""
    if not isinstance(node, ast.Call):
        return None
    called = ast.unparse(node.func)
    if called == "failpoints.reach":
        return "point", ""
    if called == "transaction.on_commit":
        return "on_commit", _callback(node.args[0], names)
    if called in names.functions:
        return "call", names.functions[called]
    method = called.rpartition(".")[2]
    if method != called and method in _store_methods():
        return "call", _store_methods()[method]
    return _away_or_saved(called)


@cache
def _store_methods() -> dict[str, str]:
    """By name, the methods of objects that all SQL on some tables is in (`owner.sagas.take_back`);
    whose object it is can't be read from the code, so their names are those of nothing else.
    """
    name = "coordination.store"
    keys = [f"{name}.{path}" for path, _ in _functions(parsed(shop_modules()[name]), "")]
    methods = {key.rpartition(".")[2]: key for key in keys if key.count(".") == name.count(".") + 2}
    return {method: key for method, key in methods.items() if not method.startswith("_")}


def _away_or_saved(called: str) -> tuple[str, str] | None:
    receiver, _, method = called.rpartition(".")
    if method in LEAVES_THE_PROCESS and receiver:
        return "away", ""
    is_query = ".objects" in receiver or "filter(" in receiver
    if (method in _SAVES and receiver) or (method in _SAVES_A_QUERY and is_query):
        return "write", ""
    return None


def _callback(node: ast.expr, names: _Names) -> str:
    inner = node.body if isinstance(node, ast.Lambda) else node
    called = inner.func if isinstance(inner, ast.Call) else inner
    return names.functions[ast.unparse(called)]


def _head(item: ast.withitem) -> str:
    return ast.unparse(item.context_expr)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
