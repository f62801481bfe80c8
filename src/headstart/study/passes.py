"""Parts of a pass over images, which several workers compute, and the cache entries that they leave."""

from __future__ import annotations

from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import KIND as IMAGES
from headstart.data.decoding.image_store import stored_key
from headstart.errors import StoreError
from headstart.models.backbone import Backbone
from headstart.study.parts import Rows, part_of
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec
from headstart.transfer.frozen.features import KIND as FEATURES
from headstart.transfer.frozen.features import reading
from headstart.transfer.frozen.views import view_of

Entries = tuple[tuple[str, str], ...]  # kind and key of cache entries


def part_features(resources: Resources, data: DataSpec, network: NetworkSpec, seed: int, rows: Rows) -> Entries:
    """Compute the features of consecutive rows, unless those of all rows are cached; return the entries that were made.

    `Resources.features` puts the parts together.
    """
    store, dataset = resources.store, resources.dataset(data)
    backbone = resources.loaded(network, seed).backbone
    part = part_of(dataset, rows)
    new = tuple(pair for pair in _entries(resources, part, backbone) if not store.has(*pair))
    whole_images, whole_features = _entries(resources, dataset, backbone)
    for attempt in range(2):
        if store.has(*whole_features):
            return ()
        try:
            decoded = store.has(*whole_images)  # for another network, perhaps
            source = reading(resources.images_of(dataset, backbone.preprocessing), *rows) if decoded else None
            resources.features_by(part, backbone, source)
            return tuple(pair for pair in new if store.has(*pair))
        except StoreError:  # another process put the parts together and deleted them
            if attempt:
                raise
    return ()


def entries_of(resources: Resources, data: DataSpec, network: NetworkSpec, seed: int) -> Entries:
    """Return the cache entries of a pass over all images."""
    return _entries(resources, resources.dataset(data), resources.loaded(network, seed).backbone)


def _entries(resources: Resources, dataset: Dataset, backbone: Backbone) -> Entries:
    images = stored_key(dataset, view_of(backbone.preprocessing))
    return (IMAGES, images), (FEATURES, resources.features_key_of(dataset, backbone))
