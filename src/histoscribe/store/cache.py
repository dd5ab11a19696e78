"""Where what is fetched or measured once is kept between runs, and how a file is fetched into it."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder for what is fetched or measured once: HISTOSCRIBE_CACHE, or the user's own cache folder."""
    import platformdirs

    chosen = os.environ.get("HISTOSCRIBE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("histoscribe"))
