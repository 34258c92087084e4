"""Lets Pillow write HEIC for tests; the library of the page reads it alone."""

from __future__ import annotations

from pillow_heif import register_heif_opener

from pipelines.files import images


def add_heif_writer() -> None:
    """Files are read by the page's library afterwards, too."""
    register_heif_opener()
    images.add_heif.cache_clear()
    images.add_heif()
