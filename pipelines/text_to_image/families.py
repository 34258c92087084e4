"""What each kind of painter takes for its own: steps, guidance, sizes, whether any scheduler.

The table is for people: a new diffusers pipeline is a row in it. What can be read from a
pipeline's own signature is read from there, and what one checkpoint says of itself by
``own_settings.py``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from pipelines import small_world
from pipelines.errors import InvalidValue
from pipelines.text_to_image.schedulers import OWN_SCHEDULER

USUAL = "usual for models of its kind"


@dataclass(frozen=True)
class Family:
    """How a kind of painter is run where the visitor does not say.

    ``takes_schedulers``: it denoises as Stable Diffusion does, so that any of ``SCHEDULERS``
    fits. ``multiple``: what widths and heights must be divided by, in pixels. ``guided_by``:
    the argument that guides it, None where it was trained to need none. ``needs_range``: its
    numbers do not fit float16, so that bfloat16 is used on a GPU. ``tells_size``: the size that
    it was trained for is in its configuration and not what its class takes by default.
    ``steps_from`` and ``guidance_from`` say where these numbers are from.
    """

    steps: int
    guidance_scale: float
    multiple: int = 8
    takes_schedulers: bool = False
    takes_negative_prompt: bool = True
    guided_by: str | None = "guidance_scale"
    needs_range: bool = False
    tells_size: bool = False
    takes_steps: bool = True
    steps_from: str = USUAL
    guidance_from: str = USUAL

    @property
    def own_values(self) -> str:
        """``4 steps, guidance 0: the name says turbo``."""
        steps = counted_steps(self.steps)
        if self.steps_from == self.guidance_from:
            return f"{steps}, guidance {self.guidance_scale:g}: {self.steps_from}"
        return f"{steps}: {self.steps_from}; guidance {self.guidance_scale:g}: {self.guidance_from}"


def counted_steps(steps: int) -> str:
    """``1 step``, ``4 steps``."""
    return f"{steps} step" if steps == 1 else f"{steps} steps"


_LATENT = Family(30, 7.0, takes_schedulers=True)
_FLOW = Family(28, 4.5, multiple=16, needs_range=True)
_ONE_PASS = Family(
    1, 0.0, multiple=128, takes_negative_prompt=False, guided_by=None, takes_steps=False
)
"""Of our recipes: trained for 128 x 128 pixels, without a scheduler."""

_LEARNED = "what the painters of small worlds are scored with"
SMALL_WORLD = Family(
    small_world.STEPS,
    small_world.GUIDANCE_SCALE,
    takes_schedulers=True,
    steps_from=_LEARNED,
    guidance_from=_LEARNED,
)
"""A painter that tells what it was trained on, as those of our own recipes do."""

FAMILIES = {
    "AmusedPipeline": Family(12, 10.0, multiple=16),
    "AuraFlowPipeline": replace(_FLOW, steps=50, guidance_scale=3.5),
    "BriaFibo2Pipeline": replace(_FLOW, steps=30, guidance_scale=5.0),
    "BriaFiboPipeline": replace(_FLOW, steps=30, guidance_scale=5.0),
    "BriaPipeline": replace(_FLOW, steps=30, guidance_scale=5.0),
    "ChromaPipeline": replace(_FLOW, steps=35, guidance_scale=5.0),
    "CogView3PlusPipeline": Family(50, 5.0, needs_range=True),
    "CogView4Pipeline": replace(_FLOW, steps=50, guidance_scale=5.0),
    "ConditionalGANPipeline": _ONE_PASS,
    "ConditionalVAEPipeline": _ONE_PASS,
    "Cosmos2TextToImagePipeline": replace(_FLOW, steps=35, guidance_scale=7.0),
    "DreamLiteMobilePipeline": replace(
        _FLOW, steps=4, guidance_scale=0.0, guided_by=None, takes_negative_prompt=False
    ),
    "DreamLitePipeline": replace(_FLOW, steps=30, guidance_scale=3.5),
    "ErnieImagePipeline": replace(_FLOW, steps=50, guidance_scale=4.0),
    "FlowTransformerPipeline": replace(SMALL_WORLD, takes_schedulers=False, multiple=16),
    "Flux2KleinPipeline": replace(_FLOW, steps=50, guidance_scale=4.0, takes_negative_prompt=False),
    "Flux2Pipeline": replace(_FLOW, steps=50, guidance_scale=4.0, takes_negative_prompt=False),
    "FluxKontextPipeline": replace(_FLOW, guidance_scale=3.5, takes_negative_prompt=False),
    "FluxPipeline": replace(_FLOW, guidance_scale=3.5, takes_negative_prompt=False),
    "GlmImagePipeline": replace(
        _FLOW, steps=50, guidance_scale=1.5, multiple=32, takes_negative_prompt=False
    ),
    "HiDreamImagePipeline": replace(_FLOW, steps=50, guidance_scale=5.0),
    "HunyuanDiTPipeline": Family(50, 5.0, takes_schedulers=True),
    "HunyuanImagePipeline": replace(
        _FLOW, steps=50, guidance_scale=3.25, multiple=64, guided_by="distilled_guidance_scale"
    ),
    "IFPipeline": Family(100, 7.0),
    "Ideogram4Pipeline": replace(_FLOW, steps=48, guidance_scale=7.0, takes_negative_prompt=False),
    "ImageGPTPipeline": replace(
        SMALL_WORLD,
        steps=16,
        multiple=128,
        takes_schedulers=False,
        takes_steps=False,
        steps_from="one for each row of the picture",
    ),
    "Kandinsky3Pipeline": Family(25, 3.0, multiple=64),
    "Kandinsky5T2IPipeline": replace(_FLOW, steps=50, guidance_scale=3.5),
    "KandinskyCombinedPipeline": Family(100, 4.0, multiple=64),
    "KandinskyV22CombinedPipeline": Family(50, 4.0, multiple=64),
    "KolorsPipeline": replace(_LATENT, steps=50, guidance_scale=5.0),
    "Krea2Pipeline": replace(_FLOW, guidance_scale=4.5),
    "LatentConsistencyModelPipeline": Family(4, 8.5, takes_negative_prompt=False),
    "LongCatImagePipeline": replace(_FLOW, steps=50, guidance_scale=4.5),
    "Lumina2Pipeline": replace(_FLOW, steps=30, guidance_scale=4.0),
    "LuminaPipeline": replace(_FLOW, steps=30, guidance_scale=4.0),
    "NucleusMoEImagePipeline": replace(_FLOW, steps=50, guidance_scale=4.0),
    "OmniGenPipeline": replace(_FLOW, steps=50, guidance_scale=2.5, takes_negative_prompt=False),
    "OvisImagePipeline": replace(_FLOW, steps=50, guidance_scale=5.0),
    "PRXPipeline": replace(_FLOW, steps=28, guidance_scale=4.0),
    "PRXPixelPipeline": replace(_FLOW, steps=28, guidance_scale=4.0, multiple=32),
    "PixArtAlphaPipeline": Family(20, 4.5, takes_schedulers=True),
    "PixArtSigmaPipeline": Family(20, 4.5, takes_schedulers=True),
    "QwenImage21Pipeline": replace(
        _FLOW, steps=40, guidance_scale=4.0, multiple=32, guided_by="true_cfg_scale"
    ),
    "QwenImagePipeline": replace(_FLOW, steps=50, guidance_scale=4.0, guided_by="true_cfg_scale"),
    "SanaPipeline": replace(_FLOW, steps=20, guidance_scale=4.5, multiple=32, tells_size=True),
    "SanaSprintPipeline": replace(
        _FLOW,
        steps=2,
        guidance_scale=4.5,
        multiple=32,
        takes_negative_prompt=False,
        tells_size=True,
    ),
    "StableCascadeCombinedPipeline": Family(
        12, 4.0, multiple=128, guided_by="prior_guidance_scale", needs_range=True
    ),
    "StableDiffusion3Pipeline": replace(_FLOW, guidance_scale=7.0),
    "StableDiffusionPipeline": replace(_LATENT, guidance_scale=7.5),
    "StableDiffusionXLPipeline": replace(_LATENT, guidance_scale=5.0),
    "WuerstchenCombinedPipeline": Family(12, 4.0, multiple=128, guided_by="prior_guidance_scale"),
    "ZImageOmniPipeline": replace(_FLOW, steps=50, guidance_scale=5.0),
    "ZImagePipeline": replace(_FLOW, steps=50, guidance_scale=5.0),
}
"""By diffusers' class, as the authors of the models advise, or by our recipes' own."""


def check_scheduler(pipeline: Any, family: Family, wanted: str) -> None:
    """Refuses a scheduler that does not fit the way in which this model denoises.

    Raises:
        InvalidValue: naming the one that does.
    """
    if wanted != OWN_SCHEDULER and not family.takes_schedulers:
        raise InvalidValue(
            f"scheduler is {wanted!r}; this model ({type(pipeline).__name__}) denoises in a way "
            f"of its own and takes none but {OWN_SCHEDULER!r}. Choose that."
        )


def check_size(family: Family, width: int, height: int) -> None:
    """Refuses a size in pixels that this kind of painter would change or fail at.

    Raises:
        InvalidValue: naming the side and what it must be a multiple of.
    """
    for name, edge in (("width", width), ("height", height)):
        if edge % family.multiple:
            raise InvalidValue(
                f"{name} is {edge}; this model paints multiples of {family.multiple}. Give "
                f"{edge - edge % family.multiple or family.multiple}, or 0 for its own size."
            )


_NEEDS_NEGATIVE = "true_cfg_scale"
"""What is guided by this is not guided at all without a negative prompt, be it empty.

Others know best what an empty one is: for some, zeros in place of the words.
"""


_TCD_NOISE = 0.3
"""The share of noise between steps for which TCD was made; without any, it is DDIM."""


def call_options(
    pipeline: Any, family: Family, *, guidance_scale: float, negative_prompts: list[str]
) -> dict[str, Any]:
    """The arguments that not every pipeline takes, for this one's call."""
    options: dict[str, Any] = {
        "use_resolution_binning": False,  # the size that was asked for is painted
        "clean_caption": False,  # the prompt is read as it was written
        "guidance_schedule": None,  # one number guides every step
    }
    if family.guided_by is not None:
        options[family.guided_by] = guidance_scale
    if family.takes_negative_prompt and (
        any(negative_prompts) or family.guided_by == _NEEDS_NEGATIVE
    ):
        options["negative_prompt"] = negative_prompts
    if type(getattr(pipeline, "scheduler", None)).__name__ == "TCDScheduler":
        options["eta"] = _TCD_NOISE
    takes = call_parameters(pipeline)
    return {name: value for name, value in options.items() if name in takes}


def call_parameters(pipeline: Any) -> dict[str, Any]:
    """The arguments of a pipeline's call, by name, with what they are when left out."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def setting_notes(
    family: Family, steps: int | None, guidance_scale: float | None, negative_prompt: str
) -> list[str]:
    """What of a request this kind of painter does not read.

    Args:
        steps, guidance_scale: as the visitor gave them; None for the model's own.
    """
    notes = []
    if not family.takes_steps and steps not in (None, family.steps):
        own = counted_steps(family.steps)
        notes.append(f"This model paints in {own}; the number of steps is not read.")
    if family.guided_by is None and guidance_scale:
        notes.append("This model was trained to need no guidance; the guidance scale is not read.")
    if negative_prompt and not family.takes_negative_prompt:
        notes.append("This model takes no negative prompt; it is not read.")
    elif (
        negative_prompt
        and (family.guidance_scale if guidance_scale is None else guidance_scale) <= 1
    ):
        notes.append("Without guidance (1 or less) the negative prompt is not read.")
    return notes
