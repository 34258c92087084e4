"""What pipelines of diffusers do that are not for Paint, told from the names of their classes."""

from __future__ import annotations

import re

_DOES = (
    (r"LuminaText2Img|Lumina2Text2Img", "bears a name of an older diffusers; in its "
     "model_index.json the class is now called LuminaPipeline or Lumina2Pipeline"),
    (r"Modular", "is a modular pipeline, whose blocks bring code of their own"),
    (r"Onnx", "is for ONNX Runtime"),
    (r"Audio|Music|AceStep|DanceDiffusion|Spectrogram", "makes sound"),
    (r"Video|^Wan|LTX|CogVideo|AnimateDiff|Mochi|Allegro|Latte|SkyReels|EasyAnimate|I2VGen|^PIA"
     r"|Helios|SanaWM|LucyEdit|ConsisID|AnyFlow|ChronoEdit|T2V|I2V|TI2VA"
     r"|Cosmos2_5|Cosmos3|CosmosTextToWorld|VideoToWorld", "makes videos"),
    (r"LLaDA|DiffusionGemma", "writes text by diffusion"),
    (r"ControlNet|Control|Adapter|GLIGEN|BlipDiffusion", "paints by a second picture that guides "
     "it"),
    (r"Inpaint|Fill|RePaint|PaintByExample|DiffEdit", "repaints a part of a picture"),
    (r"Upscale|SuperResolution|SRPipeline|Refiner", "enlarges or refines a picture"),
    (r"Img2Img|I2I|Edit|Pix2Pix|Variation|Redux|Depth2Img|Emb2Emb|CycleDiffusion|VisualCloze"
     r"|DualGuided|Layered|KleinKV", "changes a picture that is given to it"),
    (r"Prior|Decoder|^KandinskyPipeline|^KandinskyV22Pipeline|VersatileDiffusionPipeline",
     "is the second half of a model in two repositories, or the first; open the one whose class "
     "ends in CombinedPipeline"),
    (r"Marigold", "measures depth, normals or materials in a picture"),
    (r"ShapE", "makes three-dimensional shapes"),
    (r"RFD4", "makes proteins"),
    (r"^DiTPipeline", "makes pictures of a class by its number and reads no text"),
    (r"DDIM|DDPM|PNDM|ScoreSde|KarrasVe|ConsistencyModelPipeline|LDMPipeline",
     "makes pictures without a prompt"),
    (r"PAG|Panorama|SAG|Paradigms|AttendAndExcite|LDM3D|Semantic|ModelEditing|Safe|LEdits",
     "is a variant of another pipeline for one purpose; open the model under its plain class"),
    (r"AltDiffusion|UnCLIP|UniDiffuser|VQDiffusion|VersatileDiffusion|LDMTextToImage",
     "is of a kind that diffusers no longer cares for"),
)  # fmt: skip
"""The first row whose pattern is found in the name counts."""


def what_it_does(pipeline: str) -> str | None:
    """``makes videos`` and the like, to follow a checkpoint's name; None for an unknown class."""
    return next((does for pattern, does in _DOES if re.search(pattern, pipeline)), None)
