"""What scores are computed from: one model's outputs, and the models that embed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.datasets.samples import DataSet, Sample
from pipelines.evaluation.features import ClipFeatures, PictureFeatures, PictureReader
from pipelines.evaluation.store import Output
from pipelines.metrics.likelihood import Windows
from pipelines.metrics.score import Score

Array = npt.NDArray[np.float64]
Need = Literal["features", "real", "reader", "clip"]
"""Features of pictures, those of the real ones, captions of pictures, and CLIP."""


@dataclass(frozen=True)
class Extractors:
    """The models that read pictures for scores, and the features of the real pictures."""

    pictures: PictureFeatures | None = None
    reader: PictureReader | None = None
    clip: ClipFeatures | None = None
    real: Array = field(default_factory=lambda: np.empty((0, 0)))

    def forget(self) -> None:
        """Drops all features; the next caller computes them again, in its own batches."""
        for extractor in (self.pictures, self.reader, self.clip):
            if extractor is not None:
                extractor.forget()


@dataclass(frozen=True)
class Outputs:
    """What one model made of the samples, and all else that its scores depend on.

    ``by_generator`` has a list for each generator, in the order of ``samples``; ``files`` are
    the painted pictures.
    """

    data: DataSet
    samples: Sequence[Sample]
    by_generator: Mapping[str, Sequence[Output]]
    files: Sequence[Path]
    extractors: Extractors
    seed: int

    def texts(self, generator: str) -> list[str]:
        return [output.text for output in self.by_generator[generator]]

    @property
    def references(self) -> list[tuple[str, ...]]:
        return [sample.references for sample in self.samples]

    @property
    def prompts(self) -> list[tuple[str, ...]]:
        return [(sample.text,) for sample in self.samples]

    @property
    def continuations(self) -> list[tuple[str, ...]]:
        """The second half of each text of the data set."""
        return [(sample.halves[1],) for sample in self.samples]

    def facts(self, name: str) -> list[float]:
        return [output.facts[name] for output in self.by_generator["likelihood"]]

    @property
    def windows(self) -> Windows:
        facts = self.by_generator["likelihood"][0].facts
        return Windows(facts["context"], facts["stride"])

    @property
    def tokenizer(self) -> str:
        return f"tokenizer@{self.by_generator['likelihood'][0].facts['tokenizer']}"

    @property
    def features(self) -> Array:
        """Of the painted pictures, ``(n, d)``."""
        assert self.extractors.pictures is not None
        return np.stack(self.extractors.pictures.of(self.files))

    @property
    def extractor(self) -> str:
        """The name of what computes ``features``."""
        assert self.extractors.pictures is not None
        return self.extractors.pictures.name

    @property
    def is_same(self) -> npt.NDArray[np.bool_]:
        """Which samples have the same text, ``(n, n)``: what is right for one is right for
        the other."""
        number: dict[str, int] = {}
        own = [number.setdefault(sample.text, len(number)) for sample in self.samples]
        return np.equal.outer(own, own)

    def clip_features(self) -> tuple[Array, Array, str]:
        """Of the painted pictures, of their prompts, and the model's name."""
        return self._in_one_space(self.files, [sample.text for sample in self.samples])

    def clip_features_of_captions(self) -> tuple[Array, Array, str]:
        """Of the samples' pictures, of their captions by the model, and CLIP's name."""
        files = [sample.file for sample in self.samples if sample.file is not None]
        return self._in_one_space(files, self.texts("caption"))

    def _in_one_space(
        self, files: Sequence[Path], texts: Sequence[str]
    ) -> tuple[Array, Array, str]:
        clip = self.extractors.clip
        assert clip is not None
        return clip.of(files), clip.of_texts(texts), clip.name

    def readings(self) -> list[str]:
        """The embedded captioner's captions of the painted pictures."""
        assert self.extractors.reader is not None
        return self.extractors.reader.of(self.files)

    def signed_by_reader(self, score: Score) -> Score:
        """A score of the readings, with the reader's name before its signature."""
        assert self.extractors.reader is not None
        reader = self.extractors.reader.name
        return replace(score, signature=f"round-trip({reader})|{score.signature}")
