"""Contexts and payloads as types of the program: dataclasses and TypedDicts, in and out."""

import collections.abc
import dataclasses
import enum
import functools
import types
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import ContextError

T = TypeVar("T")

_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
# `int | None`, from Python 3.10 on.
_UNIONS = (Union, getattr(types, "UnionType", Union))


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


#: What the clients take as a context or a payload.
Context = Union[Mapping[str, Any], Dataclass]


def as_json(value: object) -> Any:
    """For ``json.dumps``, what it does not know itself: dataclasses, enums, mappings that are no ``dict``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_key(member): getattr(value, member.name) for member in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r:.100} is of the type {type(value).__name__}")


def read(kind: type[T], value: Any, place: str) -> T:
    """Makes JSON an instance of a type. Keys that a dataclass does not have are left out; a TypedDict keeps them.

    An error names the place that does not fit.
    """
    return cast(T, _read(kind, value, place))


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return value
    if kind is None:
        kind = type(None)
    if origin in _UNIONS:
        return _first_that_fits(arguments, value, place)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise _wrong(place, f"one of {list(arguments)!r}", value)
        return value
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return tuple(_items(arguments[0], value, place))
    if origin in _LISTS:
        return _items(arguments[0], value, place)
    if origin in _OBJECTS:
        _check(dict, value, place)
        return {key: _read(arguments[1], part, f"{place}.{key}") for key, part in value.items()}
    if getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly"):
        return _read(arguments[0], value, place)
    if isinstance(kind, type):
        return _read_class(kind, value, place)
    if hasattr(kind, "__supertype__"):
        return _read(kind.__supertype__, value, place)
    raise ContextError(f"{place}: JSON cannot be read as the type {kind!r}")


def _read_class(kind: type, value: Any, place: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    if issubclass(kind, dict) and hasattr(kind, "__required_keys__"):
        _check(dict, value, place)
        missing = sorted(kind.__required_keys__ - value.keys())
        if missing:
            raise ContextError(f"{place}.{missing[0]} is missing")
        hints = _hints(kind)
        return {key: _read(hints.get(key, Any), part, f"{place}.{key}") for key, part in value.items()}
    if issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            raise _wrong(place, f"one of {[member.value for member in kind]!r}", value) from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    _check(kind, value, place)
    return value


def _read_dataclass(kind: type, value: Any, place: str) -> Any:
    _check(dict, value, place)
    hints = _hints(kind)
    made: dict[str, Any] = {}
    for member in dataclasses.fields(kind):
        key = _key(member)
        if not member.init:
            continue
        if key in value:
            made[member.name] = _read(hints[member.name], value[key], f"{place}.{key}")
        elif member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING:
            raise ContextError(f"{place}.{key} is missing")
    return kind(**made)


def _items(kind: Any, value: Any, place: str) -> list[Any]:
    _check(list, value, place)
    return [_read(kind, item, f"{place}[{at}]") for at, item in enumerate(value)]


def _first_that_fits(kinds: "tuple[Any, ...]", value: Any, place: str) -> Any:
    # None first: of `Optional[Order]` the error of the order says more than that it is not None.
    for kind in sorted(kinds, key=lambda kind: kind is not type(None)):
        try:
            return _read(kind, value, place)
        except ContextError as error:
            last = error
    raise last


def _check(kind: type, value: Any, place: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(place, "an object" if kind is dict else kind.__name__, value)


def _key(member: "dataclasses.Field[Any]") -> str:
    """The name in JSON. ``field(metadata={"name": "paid-by"})`` is for names that Python does not allow."""
    return str(member.metadata.get("name", member.name))


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _wrong(place: str, expected: str, value: Any) -> ContextError:
    return ContextError(f"{place} is {value!r:.100}, which is not {expected}")
