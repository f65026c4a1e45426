"""What a user's word for a guest image means."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from rvhv.errors import ImageError
from rvhv.images import BROKEN, GUESTS, image_path
from rvhv.machine.image import Image, load_image


def find_image(source: Image | str | os.PathLike[str]) -> Image:
    """An image as it is, a built-in guest by its name, or a file. Raises ImageError."""
    if isinstance(source, Image):
        return source
    if source == "":
        raise ImageError(f"a guest without a name: write a file, or one of {', '.join(GUESTS)}")
    if isinstance(source, str):
        if source in GUESTS or source in BROKEN:
            return load_image(image_path(source))
        path = Path(source)
        if path.name == source and not path.suffix and not path.exists():
            near = get_close_matches(source, [*GUESTS, *BROKEN], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(GUESTS)}"
            raise ImageError(f"no guest is called {source!r}, and there is no such file; {hint}")
    return load_image(source)
