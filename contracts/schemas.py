"""JSON Schema (2020-12) of the types that travel, and an example of each: what documents are made
of.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from inspect import cleandoc
from typing import Any, get_args, get_type_hints, is_typeddict

import msgspec

from contracts.saga import EXAMPLES

Schema = dict[str, Any]
REF = "#/components/schemas/{name}"
TIME = "2026-12-01T09:30:00Z"
MOST_DEPTH = 6
"""Of an example: what is deeper is left out."""


class Schemas:
    """Schemas of many types, with `components` that they share: those that have a name."""

    def __init__(self, types: Iterable[Any]) -> None:
        known = {_key(kind): kind for kind in types}
        found, components = msgspec.json.schema_components(
            known.values(), schema_hook=_of_words, ref_template=REF
        )
        self._schemas: dict[str, Schema] = dict(zip(known, map(_mended, found), strict=True))
        orders = dict(_orders(known.values()))
        self.components: dict[str, Schema] = {
            name: _ordered(_mended(components[name]), orders) for name in sorted(components)
        }

    def of(self, kind: Any) -> Schema:
        """Of one of the types that were given; of several (a tuple): any of them."""
        if isinstance(kind, tuple):
            found = [self.of(part) for part in kind]
            return found[0] if len(found) == 1 else {"anyOf": found}
        return self._schemas[_key(kind)]

    def fields(self, kind: Any) -> list[tuple[str, Schema, bool]]:
        """Of a type that has a name: each field, its schema, and whether it must be there."""
        found = self.resolved(self.of(kind))
        required = found.get("required", [])
        return [(name, field, name in required) for name, field in found["properties"].items()]

    def resolved(self, schema: Schema) -> Schema:
        """The schema behind a reference."""
        named = str(schema.get("$ref", "")).rpartition("/")[2]
        return self.resolved(self.components[named]) if named else schema

    def example(self, schema: Schema, name: str = "", depth: int = 0) -> Any:
        """A value that fits; `name`: of the field that it is for, which may have a usual one."""
        schema = self.resolved(schema)
        known = EXAMPLES.get(name) if schema.get("type") != "integer" else None
        usual = schema.get("const") or schema.get("default") or known
        if usual is not None:
            return usual
        if found := schema.get("examples") or schema.get("enum"):
            return found[0]
        if found := schema.get("anyOf") or schema.get("oneOf"):
            return self.example(found[0], name, depth)
        return self._by_kind(schema, name, depth)

    def _by_kind(self, schema: Schema, name: str, depth: int) -> Any:
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            inner = schema.get("items")
            return [self.example(inner, name, depth + 1)] if inner and depth < MOST_DEPTH else []
        if kind == "string":
            return TIME if schema.get("format") == "date-time" else _text(schema, name)
        numbers: Mapping[Any, Any] = {"integer": schema.get("minimum", 1), "number": 1.5}
        return {**numbers, "boolean": True, "null": None}.get(kind, {})

    def _object(self, schema: Schema, depth: int) -> Schema:
        if depth >= MOST_DEPTH:
            return {}
        required = schema.get("required", [])
        return {
            name: self.example(inner, name, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or name in EXAMPLES
        }


def _orders(types: Iterable[Any]) -> Iterator[tuple[str, list[str]]]:
    """The fields of each TypedDict as they stand in it: msgspec sorts them by their names."""
    seen: set[Any] = set()
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        waiting += [part for part in get_args(kind) if not isinstance(part, str)]
        if is_typeddict(kind) and kind not in seen:
            seen.add(kind)
            hints = get_type_hints(kind)
            waiting += hints.values()
            yield kind.__name__, list(hints)


def _ordered(schema: Schema, orders: Mapping[str, list[str]]) -> Schema:
    order = orders.get(str(schema.get("title")), [])
    known = schema.get("properties", {})
    if set(order) != set(known):
        return schema
    required = [name for name in order if name in schema.get("required", [])]
    return {**schema, "properties": {name: known[name] for name in order}, "required": required}


def _text(schema: Schema, name: str) -> str:
    usual = (name if schema.get("pattern") else name.replace("_", " ")) or "text"
    return usual[: schema.get("maxLength", len(usual))]


def _of_words(kind: type) -> Schema:
    """Of an enumeration of a kind that msgspec does not know, as Django's are."""
    if not issubclass(kind, Enum):
        raise NotImplementedError
    return {"type": "string", "enum": [str(word.value) for word in kind]}


def _key(kind: Any) -> str:
    """Types of typing are equal or not as it pleases them."""
    return repr(kind) if not isinstance(kind, type) else f"{kind.__module__}.{kind.__qualname__}"


def _mended(schema: Any) -> Any:
    """Money is read from a text or a number alike; Python's way to end a pattern is not ours."""
    if isinstance(schema, dict):
        found = {name: _mended(inner) for name, inner in schema.items()}
        if isinstance(found.get("description"), str):
            found["description"] = cleandoc(found["description"])
        if found.get("format") == "decimal":
            found["type"] = ["string", "number"]
        if isinstance(found.get("pattern"), str):
            found["pattern"] = found["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
        return found
    return [_mended(inner) for inner in schema] if isinstance(schema, list) else schema
