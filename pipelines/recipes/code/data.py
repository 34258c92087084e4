"""What the coder learns from: Python and JavaScript that are on most machines, read within bounds.

Python's standard library, and the npm packages under some folders whose licences permit it.
Nothing of it is ever imported or run.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE_FOLDERS = tuple(
    map(
        Path,
        (
            "tests/page/node_modules",
            "/usr/lib/node_modules",
            "/usr/local/lib/node_modules",
            "/usr/share/nodejs",
        ),
    )
)
"""Where npm and Debian put packages."""

LICENCES = frozenset("0BSD Apache-2.0 BlueOak-1.0.0 BSD-2-Clause BSD-3-Clause ISC MIT".split())
"""Of npm packages that are read; all others, and packages without one, are left out."""

SMALLEST_BYTES, LARGEST_BYTES = 200, 250_000
MOST_BYTES = 60_000_000
"""Of all files together."""
LONGEST_LINE = 300
"""Characters; a longer one is data or was minified."""
HELD_OUT_OF_256 = 10
"""Of 256 files so many are only scored, chosen by the hash of their names."""

_LEFT_OUT = frozenset(
    """test tests __tests__ testing idle_test idlelib lib2to3 site-packages dist-packages
    node_modules fixtures example examples benchmark benchmarks vendor umd turtledemo msilib
    """.split()
)
_GENERATED = re.compile(
    r"@generated|auto-?generated|generated (?:by|from)|do not edit|sourceMappingURL|pydoc_data",
    re.IGNORECASE,
)
_TEST_FILE = re.compile(r"^test_|_test$|\.(?:test|spec|min|d)$|^conftest$")


@dataclass(frozen=True)
class Source:
    """A file: whose it is, under which licence, its path there, and its text."""

    package: str
    licence: str
    path: str
    text: str

    @property
    def language(self) -> str:
        return "python" if self.path.endswith(".py") else "javascript"

    @property
    def is_held_out(self) -> bool:
        name = f"{self.package.partition(' ')[0]}/{self.path}"
        return hashlib.sha256(name.encode()).digest()[0] < HELD_OUT_OF_256


def read_sources(folders: Iterable[Path]) -> list[Source]:
    """All files that may be learned from, in the order of their names, none like one before.

    Without npm packages it is Python alone.

    Raises:
        SystemExit: there is no file to learn from, or none to hold out.
    """
    sources = without_copies(_within_bounds([*python_library(), *npm_packages(folders)]))
    held_out = sum(source.is_held_out for source in sources)
    if held_out in (0, len(sources)):
        raise SystemExit(
            f"There are {len(sources)} files, {held_out} of them to hold out; this Python has no "
            "library of source files. Name folders of npm packages by --packages"
        )
    return sources


def python_library() -> Iterator[Source]:
    """The modules of the interpreter's standard library, without tests."""
    version = ".".join(map(str, sys.version_info[:3]))
    folder = Path(sysconfig.get_paths()["stdlib"])
    yield from _files(folder, f"python {version}", "PSF-2.0", (".py",))


def npm_packages(folders: Iterable[Path]) -> Iterator[Source]:
    """The modules of all packages under the folders whose ``package.json`` permits it."""
    for folder in folders:
        for manifest in sorted(folder.rglob("package.json")):
            package = _package(manifest)
            if package is not None and manifest.parent.parent.name != "test":
                name, licence = package
                yield from _files(manifest.parent, name, licence, (".js", ".mjs", ".cjs"))


def _package(manifest: Path) -> tuple[str, str] | None:
    """Name with version, and licence, of a package; None where it is none that may be read."""
    if manifest.is_symlink() or manifest.stat().st_size > LARGEST_BYTES:
        return None
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    name, version, licence = (values.get(key) for key in ("name", "version", "license"))
    if not (isinstance(name, str) and isinstance(version, str) and licence in LICENCES):
        return None
    return f"{name} {version}", str(licence)


def _files(folder: Path, package: str, licence: str, endings: tuple[str, ...]) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if (
            path.suffix not in endings
            or _LEFT_OUT.intersection(inside.parts[:-1])
            or _TEST_FILE.search(path.stem)
            or path.is_symlink()
            or not path.is_file()
            or not SMALLEST_BYTES <= path.stat().st_size <= LARGEST_BYTES
        ):
            continue
        text = _text(path)
        if text is not None:
            yield Source(package, licence, inside.as_posix(), text)


def _text(path: Path) -> str | None:
    """The text of a file that people wrote; else None."""
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError:
        return None
    if _GENERATED.search(text[:2000] + text[-200:]) or "\0" in text:
        return None
    return text if max(map(len, text.splitlines())) <= LONGEST_LINE else None


def _within_bounds(sources: Iterable[Source]) -> Iterator[Source]:
    total = 0
    for source in sources:
        total += len(source.text.encode())
        if total > MOST_BYTES:
            raise SystemExit(
                f"The files have more than {MOST_BYTES:,} bytes; name fewer by --packages"
            )
        yield source


def without_copies(sources: Iterable[Source]) -> list[Source]:
    """Those of which at most half of the longer lines stand in files before them.

    So a package that is there twice, or compiled for two kinds of modules, counts once, and no
    held-out file has a copy among those that are learned.
    """
    seen: set[str] = set()
    kept = []
    for source in sources:
        lines = {line for line in map(str.strip, source.text.splitlines()) if len(line) > 20}
        if len(lines & seen) <= len(lines) / 2:
            kept.append(source)
            seen |= lines
    return kept
