"""A temporary folder that goes away."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(within: Path | None = None) -> Iterator[Path]:
    """Give a temporary folder, under TMPDIR unless told where, and remove it whatever happens."""
    # TMPDIR may be a relative one, and who works in here changes folders.
    folder = Path(tempfile.mkdtemp(prefix="venvpkg-", dir=within)).absolute()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
