"""SQL lives in `.sql` files beside the code that runs it: `-- name: find_payment`, a comment, the statement."""

import re
from pathlib import Path
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(file: Path) -> SimpleNamespace:
    """The file's statements by name, as attributes."""
    parts = _NAME.split(file.read_text())
    return SimpleNamespace(
        **{name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    )
