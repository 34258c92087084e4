"""Whether a completion parses and keeps its indentation. Nothing is ever run.

Python is compiled to a syntax tree and no further; JavaScript is given to ``node --check``,
which parses a file and stops.
"""

from __future__ import annotations

import ast
import codeop
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipelines.recipes.code.data import Source

_UNFINISHED = ast.PyCF_ONLY_AST | codeop.PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]
_FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)
_MODULE = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_NODE_SECONDS = 60


def parses(language: str, prefix: str, completion: str) -> bool | None:
    """Whether prefix and completion, up to its last whole line, begin a program in which
    something of the completion is whole.

    Args:
        prefix: whole lines.

    Returns:
        None where nobody can say: JavaScript without node.
    """
    if language == "python":
        return python_parses(prefix, completion)
    node = shutil.which("node")
    return None if node is None else javascript_parses(prefix, completion, node)


def whole_lines(completion: str) -> str:
    """Without the last line, which the limit of tokens may have cut."""
    return completion[: completion.rfind("\n") + 1]


def python_parses(prefix: str, completion: str) -> bool:
    """Whether the text up to some line of the completion is a program, and the rest of the
    completion's whole lines is only unfinished."""
    written = whole_lines(completion)
    lines = written.splitlines(keepends=True)
    ends = [end for end in range(len(lines), 0, -1) if lines[end - 1].strip()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return _begins_a_program(prefix + written) and any(
            _is_program(prefix + "".join(lines[:end])) for end in ends
        )


def _is_program(text: str) -> bool:
    try:
        ast.parse(text)
    except _FAULTS:
        return False
    return True


def _begins_a_program(text: str) -> bool:
    """Whether nothing is wrong before the text's end."""
    try:
        compile(text, "completion", "exec", _UNFINISHED)
    except _FAULTS as error:
        return "incomplete input" in str(error)
    return True


def javascript_parses(prefix: str, completion: str, node: str) -> bool:
    """Whether node finds nothing wrong before the end of the completion's whole lines."""
    written = whole_lines(completion)
    if not written.strip():
        return False
    text = (prefix + written).rstrip() + "\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{'mjs' if _MODULE.search(text) else 'cjs'}"
        path.write_text(text, encoding="utf-8")
        checked = subprocess.run(
            [node, "--check", str(path)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_NODE_SECONDS,
            check=False,
        )
    at_last_line = f"{path}:{text.count(chr(10))}\n" in checked.stderr
    return (
        checked.returncode == 0
        or "Unexpected end of input" in checked.stderr
        or ("missing ) after" in checked.stderr and at_last_line)
    )


_LITERALS = {
    "python": re.compile(
        r"""\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*""", re.DOTALL
    ),
    "javascript": re.compile(
        r"""/\*.*?\*/|//[^\n]*|`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
        re.DOTALL,
    ),
}
"""Strings and comments."""
_OPENS = {"python": ":", "javascript": "{"}
_MAY_GO_DEEPER = {"python": "", "javascript": "([=>:?&|,+)"}
"""Ends of lines that another, deeper one may go on with; in Python only within brackets."""


def indentation_kept(language: str, prefix: str, completion: str) -> tuple[int, int]:
    """How many of the completion's lines stand where lines may stand, and how many there are.

    Behind a line that opens a block a line is deeper; any other is as deep as an open block.
    Lines within strings, comments and Python's brackets, and those without code, do not count.
    """
    text = _LITERALS[language].sub(_in_one_line, prefix + whole_lines(completion))
    first = _LITERALS[language].sub(_in_one_line, prefix).count("\n")
    blocks, depth, end, right, counted = [0], 0, "", 0, 0
    for number, line in enumerate(text.split("\n")):
        code = line.strip()
        if not code or code == _PLACEHOLDER:
            continue
        if language == "javascript" or depth <= 0:
            indent = len(line.expandtabs(8)) - len(line.expandtabs(8).lstrip())
            is_right = _stands_right(indent, blocks, code, end, language)
            if number >= first:
                right, counted = right + is_right, counted + 1
            while blocks[-1] > indent:
                blocks.pop()
            if blocks[-1] < indent:
                blocks.append(indent)
        depth += sum(code.count(c) for c in "([{") - sum(code.count(c) for c in ")]}")
        end = code.removesuffix(_PLACEHOLDER).rstrip()[-1:]
    return right, counted


_PLACEHOLDER = "\x00"


def _in_one_line(literal: re.Match[str]) -> str:
    """What stands for a string, or for nothing where a comment was."""
    return _PLACEHOLDER if literal[0].startswith(("#", "/")) else "''"


def _stands_right(indent: int, blocks: list[int], code: str, end: str, language: str) -> bool:
    if end == _OPENS[language] and not code.startswith("}"):
        return indent > blocks[-1]
    return indent in blocks or (
        end != "" and end in _MAY_GO_DEEPER[language] and indent > blocks[-1]
    )


def cuts(source: Source, least: int, rng: np.random.Generator) -> Iterator[str]:
    """Beginnings of a file that end before one of its statements, in random order.

    ``least``: characters before the cut, and after it.
    """
    lines = source.text.split("\n")  # no other character ends a line of a program
    starts = (
        _python_starts(source.text)
        if source.language == "python"
        else [
            number + 1
            for number, line in enumerate(lines)
            if line.rstrip().endswith(("{", "}", ";"))
        ]
    )
    for number in rng.permutation(starts):
        prefix = "".join(f"{line}\n" for line in lines[: int(number)])
        if least <= len(prefix) <= len(source.text) - least:
            yield prefix


def _python_starts(text: str) -> list[int]:
    """The numbers, from 0, of the lines where statements begin (behind their decorators)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree = ast.parse(text)
    plain = [
        node.lineno - 1
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not getattr(node, "decorator_list", [])
    ]
    return sorted(set(plain))
