"""JSON Schema (2020-12) of the types that travel, and an example of each, for the documents."""

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
"""Levels of an example; deeper levels are left out."""


class Schemas:
    """Schemas of many types. `components`: the schemas of types that have a name."""

    def __init__(self, types: Iterable[Any]) -> None:
        known = {_key(kind): kind for kind in types}
        found, components = msgspec.json.schema_components(
            known.values(), schema_hook=_of_words, ref_template=REF
        )
        self._schemas: dict[str, Schema] = dict(zip(known, map(_portable, found), strict=True))
        orders = dict(_orders(known.values()))
        self.components: dict[str, Schema] = {
            name: _ordered(_portable(components[name]), orders) for name in sorted(components)
        }

    def of(self, kind: Any) -> Schema:
        """The schema of one of the given types; of several (a tuple): any of them."""
        if isinstance(kind, tuple):
            found = [self.of(part) for part in kind]
            return found[0] if len(found) == 1 else {"anyOf": found}
        return self._schemas[_key(kind)]

    def fields(self, kind: Any) -> list[tuple[str, Schema, bool]]:
        """The fields of a named type: name, schema, and whether the field is required."""
        found = self.resolved(self.of(kind))
        required = found.get("required", [])
        return [(name, field, name in required) for name, field in found["properties"].items()]

    def resolved(self, schema: Schema) -> Schema:
        """The schema behind a reference."""
        named = str(schema.get("$ref", "")).rpartition("/")[2]
        return self.resolved(self.components[named]) if named else schema

    def example(self, schema: Schema, name: str = "", depth: int = 0) -> Any:
        """A value that fits. `name`: of its field, which may have a usual value."""
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
    """The fields of each TypedDict in their own order: msgspec sorts them by name."""
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
    """The schema of an enumeration that msgspec does not know, such as Django's."""
    if not issubclass(kind, Enum):
        raise NotImplementedError
    return {"type": "string", "enum": [str(word.value) for word in kind]}


def _key(kind: Any) -> str:
    """A key for a type; the equality of types from `typing` can't be relied on."""
    return repr(kind) if not isinstance(kind, type) else f"{kind.__module__}.{kind.__qualname__}"


def _portable(schema: Any) -> Any:
    """The schema with money as text or number, and with patterns in JavaScript's syntax."""
    if isinstance(schema, dict):
        found = {name: _portable(inner) for name, inner in schema.items()}
        if isinstance(found.get("description"), str):
            found["description"] = cleandoc(found["description"])
        if found.get("format") == "decimal":
            found["type"] = ["string", "number"]
        if isinstance(found.get("pattern"), str):
            found["pattern"] = found["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
        return found
    return [_portable(inner) for inner in schema] if isinstance(schema, list) else schema
