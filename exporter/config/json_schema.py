"""The JSON Schema of a configuration file, for editors and other programs: draft 2020-12.

A file that the exporter takes is valid by it. What needs more than one account or the environment to decide,
such as whether names are unique and keys are there, is not in it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import msgspec

from exporter.config.loader import DURATION, SECOND, UNITS, Reads, number, one_of
from exporter.config.schema import (
    AccountConfig,
    Config,
    Providers,
    common_keys,
    option_keys,
    own_forms,
)

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR = ["string", "number", "boolean"]  # of any of these the exporter reads the text
_NULL = {"type": "null"}  # as if the key were left out

Schema: TypeAlias = dict[str, Any]


def file_schema(providers: Providers) -> Schema:
    """Returns the schema of a whole file."""
    accounts = {
        "description": "the accounts that are scraped",
        "type": "array",
        "minItems": 1,
        "items": _account(providers),
    }
    rest = [field for field in msgspec.structs.fields(Config) if field.name != "accounts"]
    schema = _object({"accounts": accounts, **{field.encode_name: _key(field) for field in rest}})
    return {"$schema": DRAFT, "title": "cloud-browser-exporter", **schema, "required": ["accounts"]}


def _account(providers: Providers) -> Schema:
    fields = {field.encode_name: field for field in msgspec.structs.fields(AccountConfig)}
    del fields["options"]
    keys = {name: _key(field) for name, field in fields.items()}
    keys["provider"] = {**keys["provider"], "enum": [*providers]}
    for provider in providers.values():
        keys |= {field.encode_name: _key(field) for field in msgspec.structs.fields(provider.options)}
    return {
        **_object(keys),
        "required": [name for name, field in fields.items() if field.required],
        "oneOf": [_has("api_key_env"), _has("api_key_file")],
        "allOf": [_only_its_keys(name, keys, providers) for name in providers],
    }


def _has(key: str) -> Schema:
    return {"required": [key], "properties": {key: {"not": _NULL}}}


def _only_its_keys(name: str, keys: Mapping[str, Schema], providers: Providers) -> Schema:
    """Returns the schema that refuses what an account of this provider does not take."""
    taken = common_keys() | option_keys(providers[name])
    refused = {key: _NULL for key in keys if key not in taken}
    forms = {key: (form.extra or {})["schema"] for key, form in own_forms(providers[name])}
    is_its = {"required": ["provider"], "properties": {"provider": {"const": name}}}
    return {"if": is_its, "then": {"properties": refused | forms}}


def _struct(struct: type[msgspec.Struct]) -> Schema:
    fields = msgspec.structs.fields(struct)
    schema = _object({field.encode_name: _key(field) for field in fields})
    required = [field.encode_name for field in fields if field.required]
    return {**schema, "required": required} if required else schema


def _object(keys: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(keys), "additionalProperties": False}


def _key(field: msgspec.structs.FieldInfo) -> Schema:
    """Returns the schema of a key's value; that of an optional one may be null."""
    meta: msgspec.Meta = field.type.__metadata__[0]
    extra = meta.extra or {}
    schema = {**_value(extra["by"]), **extra["schema"]}
    if not field.required:
        schema = _or_null(schema)
    default = {} if field.required else _default(field.default, extra)
    return {"description": meta.description, **schema, **default}


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    kinds = schema["type"]
    return {**schema, "type": [*(kinds if isinstance(kinds, list) else [kinds]), "null"]}


def _value(reads: Reads) -> Schema:
    """Returns the schema of what a parser of values reads."""
    if isinstance(reads, type):
        return _struct(reads)
    if isinstance(reads, list):
        return {"type": "array", "minItems": 1, "items": _value(reads[0])}
    if isinstance(reads, dict):
        return {"type": "object", "additionalProperties": _value(next(iter(reads.values())))}
    if isinstance(reads, partial) and reads.func is one_of:
        return {"enum": [*reads.args[0]]}
    if isinstance(reads, partial) and reads.func is number:
        least, most, decimals = reads.args
        kinds, part = ["number" if decimals else "integer", "string"], r"(\.[0-9]*)?" if decimals else ""
        return {"type": kinds, "pattern": f"^[0-9]+{part}$", "minimum": least, "maximum": most}
    return {"type": _SCALAR}


def _default(value: object, extra: Mapping[str, Any]) -> Schema:
    """Returns the default as a file would have it; nothing where it is not a fixed value."""
    reads: Reads | Callable[..., object] = extra["by"]
    if value in {None, ""} or isinstance(value, msgspec.Struct):
        return {}
    if isinstance(reads, partial) and reads.func is number:
        units = 10 ** reads.args[2]
        return {"default": value // units if value % units == 0 else value / units}
    if "pattern" in extra["schema"] and extra["schema"]["pattern"] == DURATION["pattern"]:
        return {"default": _duration(int(value * SECOND) if isinstance(value, float) else value)}  # type: ignore[arg-type]
    if isinstance(reads, dict):
        return {"default": dict(value)}  # type: ignore[call-overload]
    return {"default": [*value] if isinstance(value, tuple) else value}


def _duration(micros: int) -> str:
    """Returns a duration as the largest unit that divides it."""
    unit = next((unit for unit in UNITS if micros and micros % UNITS[unit] == 0), "s")
    return f"{micros // UNITS[unit]}{unit}"
