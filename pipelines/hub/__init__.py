"""Turns a model reference into a vetted local snapshot. Nothing else does.

A reference is the name of a model that ships with the page, the name of a folder in the
owner's model directory, ``owner/repo``, ``owner/repo@revision`` or a Hub URL, and may name
adapters: ``base + adapter:0.8``. What a visitor types is matched against names or against
the Hub's own grammar; it is never joined to a path, and no ``from_pretrained`` sees it.
Pickled weights and remote code are refused.
"""

from pipelines.hub.families import read_json
from pipelines.hub.local import local_models, local_names
from pipelines.hub.offline import names_here
from pipelines.hub.references import parse_reference
from pipelines.hub.snapshots import Adapter, Snapshot, resolve

__all__ = [
    "Adapter", "Snapshot", "local_models", "local_names", "names_here", "parse_reference",
    "read_json", "resolve",
]  # fmt: skip
