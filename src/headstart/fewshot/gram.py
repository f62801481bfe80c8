"""The inner products of one batch of episodes, computed only when a classifier asks for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.episodes import EpisodeBatch
from headstart.fewshot.products import Products

Thunk = Callable[[], Tensor]
_TINY = 1e-12


class EpisodeGram:
    """Inner products within each of b episodes with s = ways · shots support and q query images.

    Args:
        ways, shots: classes, support images per class; support images are ordered class by class.
        support: returns [b, s, s].
        cross: returns [b, s, q].
        query: returns [b, q, q].
        query_norms: returns [b, q], squared lengths.
        means, mean_norms: return [b, ways, q], prototypes with queries, and [b, ways], squared lengths of
            prototypes, where they are cheaper than averaging `cross` and `support`.
        base: returns the products with the mean of the base classes: ([b, s], [b, q], its squared length).
    """

    def __init__(
        self,
        ways: int,
        shots: int,
        *,
        support: Thunk,
        cross: Thunk,
        query: Thunk,
        query_norms: Thunk,
        means: Thunk | None = None,
        mean_norms: Thunk | None = None,
        base: Callable[[], tuple[Tensor, Tensor, float]] | None = None,
    ) -> None:
        self.ways, self.shots = ways, shots
        self._support, self._cross, self._query, self._query_norms = support, cross, query, query_norms
        self._means, self._mean_norms, self._base = means, mean_norms, base

    @cached_property
    def support(self) -> Float[Tensor, "b s s"]:
        """Support with support."""
        return self._support()

    @cached_property
    def cross(self) -> Float[Tensor, "b s q"]:
        """Support with query."""
        return self._cross()

    @cached_property
    def query(self) -> Float[Tensor, "b q q"]:
        """Query with query."""
        return self._query()

    @cached_property
    def query_norms(self) -> Float[Tensor, "b q"]:
        """Squared length of each query."""
        return self._query_norms()

    @cached_property
    def support_norms(self) -> Float[Tensor, "b s"]:
        """Squared length of each support image."""
        return self.support.diagonal(dim1=1, dim2=2)

    @cached_property
    def prototype_cross(self) -> Float[Tensor, "b ways q"]:
        """Prototypes (class means of the support set) with query."""
        if self._means is not None:
            return self._means()
        b, _, q = self.cross.shape
        return self.cross.reshape(b, self.ways, self.shots, q).mean(dim=2)

    @cached_property
    def prototype_norms(self) -> Float[Tensor, "b ways"]:
        """Squared length of each prototype."""
        if self._mean_norms is not None:
            return self._mean_norms()
        blocks = self.support.reshape(-1, self.ways, self.shots, self.ways, self.shots)
        norms: Tensor = blocks.diagonal(dim1=1, dim2=3).mean(dim=(1, 2))
        return norms

    @cached_property
    def targets(self) -> Float[Tensor, "s ways"]:
        """One-hot labels of the support images."""
        return torch.eye(self.ways, device=self.support.device).repeat_interleave(self.shots, dim=0)

    @cached_property
    def centred(self) -> EpisodeGram:
        """The same after subtracting the base classes' mean; unchanged where there is none.

        The mean of five support images cannot replace it: at one shot it costs SimpleShot several points.
        """
        if self._base is None:
            return self
        s, q, middle = self._base()
        return self._shifted(s, q, torch.full_like(s[:, 0], middle))

    @cached_property
    def support_centred(self) -> EpisodeGram:
        """The same after subtracting the mean of the support set."""
        s = self.support.mean(dim=2)
        return self._shifted(s, self.cross.mean(dim=1), s.mean(dim=1))

    def _shifted(self, s: Tensor, q: Tensor, middle: Tensor) -> EpisodeGram:
        """Subtract a vector with products s and q and squared length `middle` from every feature."""
        cube = middle[:, None, None]
        return EpisodeGram(
            self.ways,
            self.shots,
            support=lambda: self.support - s[:, :, None] - s[:, None, :] + cube,
            cross=lambda: self.cross - s[:, :, None] - q[:, None, :] + cube,
            query=lambda: self.query - q[:, :, None] - q[:, None, :] + cube,
            query_norms=lambda: (self.query_norms - 2 * q + middle[:, None]).clamp_min(_TINY),
        )

    @cached_property
    def unit(self) -> EpisodeGram:
        """The same after scaling every image's features to length one."""
        s = self.support_norms.clamp_min(_TINY).rsqrt()
        q = self.query_norms.clamp_min(_TINY).rsqrt()
        return EpisodeGram(
            self.ways,
            self.shots,
            support=lambda: self.support * s[:, :, None] * s[:, None, :],
            cross=lambda: self.cross * s[:, :, None] * q[:, None, :],
            query=lambda: self.query * q[:, :, None] * q[:, None, :],
            query_norms=lambda: torch.ones_like(q),
        )


def episode_gram(products: Products, batch: EpisodeBatch, ways: int, shots: int) -> EpisodeGram:
    """Return the inner products of a batch of episodes."""
    support = torch.from_numpy(batch.support).to(products.device)
    query = torch.from_numpy(batch.query).to(products.device)

    def base() -> tuple[Tensor, Tensor, float]:
        assert products.mean_products is not None
        return products.mean_products[support], products.mean_products[query], products.mean_norm

    return EpisodeGram(
        ways,
        shots,
        support=lambda: products.between(support, support),
        cross=lambda: products.between(support, query),
        query=lambda: products.between(query, query),
        query_norms=lambda: products.norms[query],
        means=lambda: products.group_means(support, query, shots),
        mean_norms=lambda: _prototype_norms(products, support, ways, shots),
        base=None if products.mean_products is None else base,
    )


def _prototype_norms(products: Products, support: Tensor, ways: int, shots: int) -> Float[Tensor, "b ways"]:
    """Squared lengths of the class means, from the products within each class only."""
    within = support.reshape(-1, shots)
    return products.between(within, within).mean(dim=(1, 2)).view(-1, ways)
