"""Settings in the graphs that ComfyUI writes into a picture, found by following links.

``prompt`` has every node by its number, with its values and its links ``[number, output]``;
``workflow`` has the canvas, whose nodes list the values of their widgets by place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

Graph = dict[str, dict[str, Any]]

_MOST_NODES = 5_000
_VALUES = ("value", "Value", "string", "int", "float", "number", "seed", "text")
_TEXTS = ("text", "text_g", "t5xxl", "prompt", "positive", "clip_l", "string", "value")
_MODELS = ("ckpt_name", "unet_name", "model_name")
_WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler",
    ),
    "CLIPTextEncode": ("text",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps"),
    "CFGGuider": ("cfg",),
}  # fmt: skip
"""What the widgets of a node on the canvas are, by their place."""


def read(graph: object) -> dict[str, Any]:
    """What the sampler of a ``prompt`` graph paints, by our own names; empty without a sampler.

    ``others`` names what changes the picture and cannot be taken.
    """
    nodes = _nodes(graph)
    samplers = [name for name, node in nodes.items() if _is_sampler(node)]
    if not samplers:
        return {}
    first = next((name for name in samplers if not _follows(nodes, name)), samplers[0])
    around = ("sampler", "sigmas", "noise", "guider")
    found = {
        "seed": _value(nodes, first, ("seed", "noise_seed"), around, int),
        "steps": _value(nodes, first, ("steps",), around, int),
        "CFG scale": _value(nodes, first, ("cfg", "guidance"), around, (int, float)),
        "sampler": _value(nodes, first, ("sampler_name",), around, str),
        "schedule": _value(nodes, first, ("scheduler",), around, str),
        "prompt": _text(nodes, first, ("positive", "conditioning", "guider")),
        "negative prompt": _text(nodes, first, ("negative", "guider"), first_of=("negative",)),
        "width": _behind(nodes, first, ("latent_image",), ("width",), int),
        "height": _behind(nodes, first, ("latent_image",), ("height",), int),
        "model": _behind(nodes, first, ("model", "guider"), _MODELS, str),
    }
    known = {name: value for name, value in found.items() if value is not None}
    return known | {"others": [*_loras(nodes), *_further(nodes, samplers, first)]}


def from_canvas(canvas: object) -> Graph:
    """A ``workflow`` as the ``prompt`` graph that it would run; values by place are named."""
    nodes = canvas.get("nodes") if isinstance(canvas, dict) else None
    links = canvas.get("links") if isinstance(canvas, dict) else None
    sources = {
        link[0]: [str(link[1]), link[2]]
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[0], int)
    }
    graph: Graph = {}
    for node in (nodes if isinstance(nodes, list) else [])[:_MOST_NODES]:
        if isinstance(node, dict) and isinstance(node.get("type"), str):
            graph[str(node.get("id"))] = {
                "class_type": node["type"],
                "inputs": {**_widgets(node), **_linked(node, sources)},
            }
    return graph


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return values
    names = _WIDGETS.get(node["type"], ())
    given = values if isinstance(values, list) else []
    return {name: value for name, value in zip(names, given, strict=False) if name}


def _linked(node: dict[str, Any], sources: dict[int, Any]) -> dict[str, Any]:
    inputs = node.get("inputs")
    return {
        each["name"]: sources[each["link"]]
        for each in (inputs if isinstance(inputs, list) else [])
        if isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("link"), int)
        and each["link"] in sources
    }


def _nodes(graph: object) -> Graph:
    if not isinstance(graph, dict) or len(graph) > _MOST_NODES:
        return {}
    return {
        name: node
        for name, node in graph.items()
        if isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    }


def _is_sampler(node: dict[str, Any]) -> bool:
    kind: str = node["class_type"]
    return ("KSampler" in kind and kind != "KSamplerSelect") or kind.startswith("SamplerCustom")


def _target(nodes: Graph, value: object) -> str | None:
    """The node that a link leads to."""
    if isinstance(value, list) and len(value) == 2 and str(value[0]) in nodes:
        return str(value[0])
    return None


def _walk(nodes: Graph, starts: list[str], through: tuple[str, ...] | None) -> Iterator[str]:
    """The nodes behind some, nearest first; ``through`` names the inputs to follow, or all."""
    pending, seen = deque(starts), set(starts)
    while pending:
        name = pending.popleft()
        yield name
        for key, value in nodes[name]["inputs"].items():
            target = _target(nodes, value)
            if target is not None and target not in seen and (through is None or key in through):
                seen.add(target)
                pending.append(target)


def _value(
    nodes: Graph, start: str, names: tuple[str, ...], through: tuple[str, ...], kind: Any
) -> Any:
    """The first value of these names, or the one in the node that such a name links to."""
    for node in _walk(nodes, [start], through):
        for name in names:
            value = nodes[node]["inputs"].get(name)
            target = _target(nodes, value)
            if target is not None:
                value = _literal(nodes, target, (*names, *_VALUES), kind)
            if _is(value, kind):
                return value
    return None


def _literal(nodes: Graph, start: str, names: tuple[str, ...], kind: Any) -> Any:
    for node in _walk(nodes, [start], None):
        for name in names:
            value = nodes[node]["inputs"].get(name)
            if _is(value, kind):
                return value
    return None


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _behind(
    nodes: Graph, start: str, through: tuple[str, ...], names: tuple[str, ...], kind: Any
) -> Any:
    """The first value of these names in what stands behind some inputs."""
    targets = [_target(nodes, nodes[start]["inputs"].get(name)) for name in through]
    for target in targets:
        if target is not None:
            value = _literal(nodes, target, names, kind)
            if value is not None:
                return value
    return None


def _text(
    nodes: Graph, start: str, through: tuple[str, ...], first_of: tuple[str, ...] = ()
) -> str | None:
    """The text that conditions a sampler, or its guider, through one of these inputs."""
    inputs = nodes[start]["inputs"]
    for name in through:
        target = _target(nodes, inputs.get(name))
        if target is None:
            continue
        if name == "guider":
            return _text(nodes, target, first_of or ("positive", "conditioning"))
        if nodes[target]["class_type"] == "ConditioningZeroOut":  # no text, whatever is behind
            return None
        text: str | None = _literal(nodes, target, _TEXTS, str)
        return text
    return None


def _follows(nodes: Graph, sampler: str) -> bool:
    """Whether a sampler goes on from another's picture."""
    target = _target(nodes, nodes[sampler]["inputs"].get("latent_image"))
    behind: Callable[[str], bool] = lambda name: _is_sampler(nodes[name])  # noqa: E731
    return target is not None and any(map(behind, _walk(nodes, [target], None)))


def _loras(nodes: Graph) -> list[str]:
    return [
        f"LoRA: {node['inputs']['lora_name']}, strength {node['inputs'].get('strength_model')}"
        for node in nodes.values()
        if isinstance(node["inputs"].get("lora_name"), str)
    ]


def _further(nodes: Graph, samplers: list[str], first: str) -> list[str]:
    return [
        f"a further sampler, {nodes[name]['class_type']} (node {name}), as for hires fix"
        for name in samplers
        if name != first
    ]
