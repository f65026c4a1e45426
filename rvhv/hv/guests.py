"""The guests that ship with rvhv, and what a user's word for an image means."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path

from rvhv.errors import ImageError
from rvhv.machine.image import Image, load_image


def builtin_guests() -> list[str]:
    """Names of the built-in guests."""
    folder = files("rvhv") / "images"
    if not folder.is_dir():
        return []
    return sorted(file.name.removesuffix(".elf") for file in folder.iterdir() if file.name.endswith(".elf"))


def find_image(source: Image | str | os.PathLike[str]) -> Image:
    """An image as it is, a built-in guest by its name, or a file. Raises ImageError."""
    if isinstance(source, Image):
        return source
    if isinstance(source, str):
        names = builtin_guests()
        if source in names:
            with as_file(files("rvhv") / "images" / f"{source}.elf") as path:
                return load_image(path)
        if Path(source).name == source and not Path(source).suffix and not Path(source).exists():
            near = get_close_matches(source, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ImageError(f"no guest is called {source!r}, and there is no such file; {hint}")
    return load_image(source)
