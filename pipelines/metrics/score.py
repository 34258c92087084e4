"""What every metric returns: a number, how far it can be trusted, and what it is of.

The package measures what it is handed, sentences, features or likelihoods; it loads no
model and reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.errors import InvalidValue, abbreviated


@dataclass(frozen=True)
class Score:
    """One metric of one set of samples.

    ``low`` and ``high`` bound the central 95% of what other samples of the same number
    would score; they know nothing of a bias that all such samples share. ``samples``
    counts what was evaluated. ``signature`` names all that the value depends on beside
    the samples, so that scores with the same one may be compared. ``warning`` says why
    the value must not be compared at all.
    """

    value: float
    low: float
    high: float
    samples: int
    signature: str
    higher_is_better: bool
    warning: str | None = None

    @property
    def is_reliable(self) -> bool:
        return self.warning is None


def ranked(scores: Mapping[str, Score]) -> list[str]:
    """The names of the scores, the best first; equal ones in the order given.

    Raises:
        InvalidValue: a score carries a warning, or two have different signatures.
    """
    for name, score in scores.items():
        if score.warning is not None:
            raise InvalidValue(f"{name} cannot be ranked: {score.warning}")
    signatures = {score.signature: name for name, score in scores.items()}
    if len(signatures) > 1:
        (one, first), (other, second) = list(signatures.items())[:2]
        raise InvalidValue(
            f"{first} and {second} are measured differently, as {one} and as {other}; only "
            "scores with the same signature can be ranked. Measure both alike."
        )
    return sorted(
        scores,
        key=lambda name: (
            -scores[name].value if scores[name].higher_is_better else scores[name].value
        ),
    )


def name_and_hash(field: str, value: str) -> str:
    """``value`` if it reads ``name@hash``, with at least 8 hexadecimal digits.

    Raises:
        InvalidValue: it does not, so a signature with it would not say what was used.
    """
    if re.fullmatch(r"[^@|\s]+@[0-9a-f]{8,64}", value) is None:
        raise InvalidValue(
            f"{field} is {abbreviated(value)}; give its name and the hash of its content as "
            "name@hash, with 8 to 64 hexadecimal digits and no spaces."
        )
    return value
