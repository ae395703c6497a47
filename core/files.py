"""Files that are replaced whole: a reader finds the old content or the new, never a part of either."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PUBLIC, _PRIVATE = 0o666, 0o600


def write_atomically(path: Path, content: str | bytes | Callable[[BinaryIO], object], *, private: bool = False) -> None:
    """Replace a file in one step; the new content survives a power cut after the return.

    Args:
        path: the file; its folder exists.
        content: text (written as UTF-8), bytes, or what writes into the open binary file.
        private: whether only the owner may read it; otherwise the umask decides.
    """
    # Beside the file, for a rename is atomic only within one file system; of a name that no other writer uses.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        mode = _PRIVATE if private else _PUBLIC
        # With its permissions from the start: at no time can others read a secret.
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            # Before the rename: after a power cut the name could otherwise lead to an empty file.
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
