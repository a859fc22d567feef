"""The genotype of a network: one frozen value, read by every search method, that builds the module."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from surrogates.networks import IDENTITY, OPERATIONS, Graph, SurrogateNetwork
from surrogates.networks.activations import check_activation
from surrogates.networks.trunk import HEADS, PADDINGS, STEMS, GridStem, PixelStem, Step, Trunk, Widened, readout
from surrogates.networks.wired import WiredHead, wired_network
from surrogates.runtime import seeded


def planar(design_shape: Sequence[int]) -> tuple[int, int]:
    """A design's grid as height and width; a chain of ``n`` pixels is ``1 x n``."""
    if len(design_shape) == 1:
        return 1, int(design_shape[0])
    if len(design_shape) == 2:
        return int(design_shape[0]), int(design_shape[1])
    raise ValueError(f"Expected a design of one or two axes. Got shape {tuple(design_shape)}; flatten the others.")


@dataclass(frozen=True)
class Block:
    """One step of a network: its input, brought to ``width`` channels, plus what the operation makes of it.

    Args:
        operation: a name in ``OPERATIONS``, or ``identity``, which is dropped.
        width: channels.
        reach: what the operation takes it for: Fourier modes kept, dilation, coarser grids, heads. 0 for its default;
            0 where it means nothing.
    """

    operation: str
    width: int
    reach: int = 0

    def __post_init__(self) -> None:
        if self.operation != IDENTITY and self.operation not in OPERATIONS:
            known = ", ".join([*OPERATIONS, IDENTITY])
            raise ValueError(f"Expected an operation among {known}. Got {self.operation!r}.")
        if self.width < 1 or self.reach < 0:
            raise ValueError(f"Expected a width of at least 1 and a reach of at least 0. Got {self}.")
        reaches = OPERATIONS[self.operation].reaches if self.operation != IDENTITY else ()
        object.__setattr__(self, "reach", (self.reach or reaches[0]) if reaches else 0)

    @property
    def key(self) -> str:
        """E.g. ``spectral6x12``: operation, reach, width."""
        return f"{self.operation}{self.reach or ''}x{self.width}"


# What means nothing behind the stem "pixels".
OF_GRIDS = {"padding": "zeros", "coordinates": True, "head": "averages"}


# What means nothing where there is a graph.
OF_BLOCKS = {"blocks": (Block(IDENTITY, 1),), "stem": "pixels", "activation": "silu", **OF_GRIDS}


@dataclass(frozen=True)
class Architecture:
    """What a network looks like, whatever the design's size and the number of outputs.

    Equal networks are equal values: identities are dropped, and what means nothing is set to its default.

    Args:
        blocks: in order; one at least after a stem ``pixels``. The stem has the first block's width.
        stem: ``grid``, a convolution of the density, or ``pixels``, a dense layer on its flattened pixels.
        resolution: pixels along the design's longer side after area averaging; a smaller design is left as it is.
        activation: see :class:`surrogates.networks.activations.Activation`.
        padding: of convolutions: ``zeros``, ``replicate`` or ``circular``.
        coordinates: whether the grid stem sees the two coordinates.
        head: ``averages``, over an 8 x 8 grid, where place matters, or ``mean``, over all places.
        gradient_weight: of the gradients' term in the loss, or the residual's where the network answers with a field;
            None for that of the training's configuration.
        graph: nodes wired one by one in place of blocks, of which nothing means anything then, nor of all else but the
            gradients' weight; None for blocks.

    Raises:
        ValueError: for names and numbers that are none of these.
    """

    blocks: tuple[Block, ...] = (Block("spectral", 12), Block("spectral", 12))
    stem: str = "grid"
    resolution: int = 20
    activation: str = "silu"
    padding: str = "zeros"
    coordinates: bool = True
    head: str = "averages"
    gradient_weight: float | None = None
    graph: Graph | None = None

    def __post_init__(self) -> None:
        for name, known in (("stem", STEMS), ("padding", PADDINGS), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise ValueError(f"Expected a {name} among {', '.join(known)}. Got {getattr(self, name)!r}.")
        check_activation(self.activation)
        if self.resolution < 1:
            raise ValueError(f"Expected a resolution of at least 1. Got {self.resolution}.")
        if self.gradient_weight is not None and not self.gradient_weight >= 0:
            raise ValueError(f"Expected a gradient_weight of at least 0, or None. Got {self.gradient_weight}.")
        if not self.blocks:
            raise ValueError("Expected one block at least, an identity if nothing else. Got none.")
        if self.graph is not None:
            for name, value in OF_BLOCKS.items():
                object.__setattr__(self, name, value)
            object.__setattr__(self, "resolution", max(self.graph.cells))
            return
        real = tuple(block for block in self.blocks if block.operation != IDENTITY)
        for block in real:
            if OPERATIONS[block.operation].stem != self.stem:
                wanted = ", ".join(name for name, operation in OPERATIONS.items() if operation.stem == self.stem)
                raise ValueError(f"Expected operations among {wanted} after the stem {self.stem!r}. Got {block.key}.")
        # Without any block only the stem is left, whose width is the first one's.
        object.__setattr__(self, "blocks", real or (Block(IDENTITY, self.blocks[0].width),))
        if self.stem == "pixels":
            for name, default in OF_GRIDS.items():
                object.__setattr__(self, name, default)

    def __hash__(self) -> int:
        # Searches hash networks by the million; of a string it is kept, and not in what is pickled.
        return hash(self.key)

    @property
    def family(self) -> str:
        """A name for tables: the operation that all blocks share, else ``mixed``; ``graph`` for one."""
        if self.graph is not None:
            return "graph"
        kinds = {block.operation for block in self.blocks}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @functools.cached_property
    def key(self) -> str:
        """Readable and unique, e.g. ``spectral6x12-spectral6x12-r20-silu``; of a graph see ``Graph.key``."""
        weight = [f"g{_told(self.gradient_weight)}"] if self.gradient_weight is not None else []
        if self.graph is not None:
            return "-".join([self.graph.key, *weight])
        # An operation tells the stem it works behind, an identity does not.
        rest = ["pixels"] if self.stem == "pixels" and self.family == IDENTITY else []
        rest += [f"r{self.resolution}", self.activation]
        rest += [self.padding] if self.padding != "zeros" else []
        rest += ["blind"] if not self.coordinates else []
        rest += [self.head] if self.head != "averages" else []
        return "-".join([*(block.key for block in self.blocks), *rest, *weight])

    def to_json(self) -> dict[str, Any]:
        """Plain fields, a graph only where there is one; ``from_json`` is the inverse."""
        fields = asdict(replace(self, graph=None) if self.graph is not None else self)
        del fields["graph"]
        fields["blocks"] = [[b.operation, b.width, b.reach] for b in self.blocks]
        return fields if self.graph is None else fields | {"graph": self.graph.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Architecture:
        """From ``to_json``.

        Raises:
            ValueError: for a graph that is none.
        """
        given = {**fields, "blocks": tuple(Block(*block) for block in fields["blocks"])}
        if "graph" in fields:
            given["graph"] = Graph.from_json(fields["graph"])
        return cls(**given)

    def pooled_shape(self, design_shape: Sequence[int]) -> tuple[int, int]:
        """Height and width the trunk sees."""
        if self.graph is not None:
            return self.graph.cells
        shape = planar(design_shape)
        factor = max(max(shape) / self.resolution, 1.0)
        return max(round(shape[0] / factor), 1), max(round(shape[1] / factor), 1)

    def build(self, design_shape: Sequence[int], n_outputs: int) -> SurrogateNetwork:
        """A freshly initialised network (torch's current generator) for ``b x *design_shape`` -> ``b x n_outputs``."""
        if self.graph is not None:
            return wired_network(self.graph, planar(design_shape), n_outputs)
        pooled = self.pooled_shape(design_shape)
        trunk = self._trunk(pooled)
        return SurrogateNetwork(planar(design_shape), pooled, trunk, trunk.n_features, n_outputs)

    def _trunk(self, shape: tuple[int, int]) -> Trunk:
        width = self.blocks[0].width
        stem: torch.nn.Module
        if self.stem == "grid":
            stem = GridStem(shape, width, self.coordinates, self.padding)
        else:
            stem = PixelStem(shape, width, self.activation)
        steps = []
        for block in self.blocks:
            if block.operation != IDENTITY:
                build = OPERATIONS[block.operation].build
                branch = build(shape, block.width, block.reach, self.activation, self.padding)
                steps.append(Step(Widened(self.stem, width, block.width), branch))
                width = block.width
        if self.stem == "pixels":
            return Trunk(stem, steps, None, width)
        return Trunk(stem, steps, *readout(self.head, width, shape, self.activation))

    def n_parameters(self, design_shape: Sequence[int], n_outputs: int) -> int:
        """Trainable numbers of one network (there is one network a level)."""
        return _n_parameters(self, tuple(design_shape), n_outputs)


def _told(number: float) -> str:
    """Short where that is exact."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


@functools.lru_cache(maxsize=4096)
def _n_parameters(architecture: Architecture, design_shape: tuple[int, ...], n_outputs: int) -> int:
    # Ten times quicker than on torch's device "meta", whose initialisers are Python.
    with seeded(0):
        network = architecture.build(design_shape, n_outputs)
    idle = network.head.idle if isinstance(network.head, WiredHead) else 0
    return sum(p.numel() for p in network.parameters()) - idle
