"""What an audit says of text in pictures: by headers, and by the pictures themselves."""

from typing import Any

import pandas as pd

from brainssl.data.archives.archive import BURNED_IN
from brainssl.data.lettering import TEXT


def text_report(manifest: pd.DataFrame) -> dict[str, Any]:
    """Count and name images that show text.

    Args:
        manifest: with `path` and `flags`.

    Returns:
        What JSON can hold: `images` with text by either; `by_picture` and `by_header`, how many by
        each; and the `paths` of all of them.
    """
    flags = manifest["flags"].str.split(";")
    by_picture = flags.map(lambda some: TEXT in some).to_numpy(bool)
    by_header = flags.map(lambda some: BURNED_IN in some).to_numpy(bool)
    either = by_picture | by_header
    return {
        "images": int(either.sum()),
        "by_picture": int(by_picture.sum()),
        "by_header": int(by_header.sum()),
        "paths": manifest["path"][either].tolist(),
    }
