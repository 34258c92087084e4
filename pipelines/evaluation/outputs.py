"""What a score is made from: what one model made of the samples, and who looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.datasets.samples import DataSet, Sample
from pipelines.evaluation.extractors import PictureFeatures
from pipelines.evaluation.features import ClipFeatures, PictureReader
from pipelines.evaluation.generators import halves
from pipelines.evaluation.store import Output
from pipelines.metrics.likelihood import Windows
from pipelines.metrics.score import Score

Array = npt.NDArray[np.float64]
Looker = Literal["pictures", "real", "reader", "clip"]


@dataclass(frozen=True)
class Lookers:
    """The models that look at pictures for scores, and the features of real ones."""

    pictures: PictureFeatures | None = None
    reader: PictureReader | None = None
    clip: ClipFeatures | None = None
    real: Array = field(default_factory=lambda: np.empty((0, 0)))

    def forget(self) -> None:
        """What they have seen so far is looked at anew, in the batches of who asks next."""
        for looker in (self.pictures, self.reader, self.clip):
            if looker is not None:
                looker.forget()


@dataclass(frozen=True)
class Evidence:
    """What one model made of the samples, and all that its scores depend on beside it.

    ``outputs`` are by kind, each in the order of ``samples``; ``files`` are the pictures.
    """

    data: DataSet
    samples: Sequence[Sample]
    outputs: Mapping[str, Sequence[Output]]
    files: Sequence[Path]
    lookers: Lookers
    seed: int

    def texts(self, kind: str) -> list[str]:
        return [output.text for output in self.outputs[kind]]

    @property
    def references(self) -> list[tuple[str, ...]]:
        return [sample.references for sample in self.samples]

    @property
    def continuations(self) -> list[tuple[str, ...]]:
        return [(halves(sample.text)[1],) for sample in self.samples]

    def facts(self, name: str) -> list[float]:
        return [output.facts[name] for output in self.outputs["likelihood"]]

    @property
    def windows(self) -> Windows:
        facts = self.outputs["likelihood"][0].facts
        return Windows(facts["context"], facts["stride"])

    @property
    def tokenizer(self) -> str:
        return f"tokenizer@{self.outputs['likelihood'][0].facts['tokenizer']}"

    def features(self) -> tuple[Array, str]:
        """Of the painted pictures, and the extractor's name."""
        assert self.lookers.pictures is not None
        return self.lookers.pictures.of(self.files), self.lookers.pictures.name

    @property
    def is_same(self) -> npt.NDArray[np.bool_]:
        """Which samples have one text, ``(n, n)``: what is right for one is for the other."""
        number: dict[str, int] = {}
        own = [number.setdefault(sample.text, len(number)) for sample in self.samples]
        return np.equal.outer(own, own)

    def clip_features(self) -> tuple[Array, Array, str]:
        """Of the painted pictures, of their prompts, and the model's name."""
        return self._in_one_space(self.files, [sample.text for sample in self.samples])

    def clip_features_of_captions(self) -> tuple[Array, Array, str]:
        """Of the samples' pictures, of what was said of them, and the model's name."""
        files = [sample.file for sample in self.samples if sample.file is not None]
        return self._in_one_space(files, self.texts("caption"))

    def _in_one_space(
        self, files: Sequence[Path], texts: Sequence[str]
    ) -> tuple[Array, Array, str]:
        looker = self.lookers.clip
        assert looker is not None
        return looker.of(files), looker.of_texts(texts), looker.name

    @property
    def prompts(self) -> list[tuple[str, ...]]:
        return [(sample.text,) for sample in self.samples]

    def readings(self) -> list[str]:
        """What the reader sees in the painted pictures."""
        assert self.lookers.reader is not None
        return self.lookers.reader.of(self.files)

    def signed_by_reader(self, score: Score) -> Score:
        """A score of the readings, with the reader's name before its signature."""
        assert self.lookers.reader is not None
        return replace(score, signature=f"round-trip({self.lookers.reader.name})|{score.signature}")
