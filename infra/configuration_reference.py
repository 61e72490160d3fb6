"""docs/configuration.md, made of the settings' own types, defaults and docstrings, so that it cannot be out of date.

`python -m infra.configuration_reference` prints it; with `--check` it tells whether the file still says the same.
"""

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import (
    BoolType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from infra.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HOW_TO = "python -m infra.configuration_reference > docs/configuration.md"
HEAD = f"""# Configuration

Every setting is an environment variable. One that is empty counts as not given; a bad value stops the start with one
line that names the variable. Lists are comma-separated. This page is made of `infra/settings.py`:
`{HOW_TO}`.

| variable | default | type and limits | meaning |
| --- | --- | --- | --- |
"""


class Undocumented(Exception):
    """A setting that nobody could use without reading the code."""


def page(settings: type[msgspec.Struct] = Settings) -> str:
    """Raises Undocumented."""
    described = type_info(settings)
    assert isinstance(described, StructType)
    meanings = _docstrings(settings)
    return HEAD + "".join(_row(field, meanings) for field in described.fields)


def _row(field: Field, meanings: dict[str, str]) -> str:
    if field.name not in meanings:
        raise Undocumented(f"{field.name} has no docstring")
    cells = (f"`{field.name.upper()}`", _default(field.default), _kind(field.type), meanings[field.name])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _docstrings(settings: type[msgspec.Struct]) -> dict[str, str]:
    """A string after a field is its docstring; Python itself does not keep it."""
    (source,) = ast.parse(inspect.getsource(settings)).body
    assert isinstance(source, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(source.body, source.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _default(value: Any) -> str:
    if value is None or value is NODEFAULT or value == ():
        return "–"
    if isinstance(value, tuple):
        return f"`{','.join(f'{part:g}' if isinstance(part, float) else str(part) for part in value)}`"
    return f"`{msgspec.json.encode(value).decode() if isinstance(value, bool) else value}`"


def _kind(kind: Type) -> str:
    match kind:
        case Metadata(type=inner, extra_json_schema=extra):
            return str((extra or {}).get("description") or _kind(inner))
        case UnionType(types=types):
            return " or ".join(_kind(one) for one in types if not isinstance(one, NoneType))
        case VarTupleType(item_type=item):
            return f"list of: {_kind(item)}"
        case LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case BoolType():
            return "`true` or `false`"
        case IntType():
            return f"whole number{_limits(kind)}"
        case FloatType():
            return f"number{_limits(kind)}"
        case StrType(min_length=int(least)):
            return f"text of at least {least} characters"
        case StrType():
            return "text"
        case _:
            raise TypeError(f"it is not known how to tell what {kind} is")


def _limits(kind: IntType | FloatType) -> str:
    bounds = (("≥", kind.ge), (">", kind.gt), ("≤", kind.le), ("<", kind.lt))
    told = [f"{sign} {bound:,.10g}" for sign, bound in bounds if bound is not None]
    return f", {' and '.join(told)}" if told else ""


def main(arguments: list[str]) -> int:
    if arguments != ["--check"]:
        sys.stdout.write(page())
    elif PAGE.read_text() != page():
        sys.stderr.write(f"docs/configuration.md is out of date: {HOW_TO}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
