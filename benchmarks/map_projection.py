"""How long the map's projection takes, and how much memory.

    python benchmarks/map_projection.py                                  100,000 vectors of 1,280 numbers: five minutes
    python benchmarks/map_projection.py --images 2000 --methods pca      does it run?

Made-up vectors in 40 groups. Printed for each method: seconds of wall time and of processor time, and the peak memory
of a process of its own, of which the vectors take 4 bytes a number. "measure" is how well the map keeps what is near,
which is computed for either.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from headstart.maps.neighbour_map import neighbour_map
from headstart.maps.neighbourhoods import similar_images
from headstart.maps.principal import principal_components

GROUPS = 40
METHODS = {
    "pca": lambda vectors: principal_components(vectors, 2)[0],
    "tsne": neighbour_map,
    "measure": lambda vectors: similar_images(vectors, 0).nearest,
}


def made_up(images: int, width: int) -> np.ndarray:
    """Return vectors float32 [n, d] in groups."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((GROUPS, width), dtype=np.float32)
    vectors = generator.standard_normal((images, width), dtype=np.float32)
    vectors += centres[generator.integers(0, GROUPS, images)]
    return vectors


def measured(method: str, images: int, width: int) -> dict[str, Any]:
    """Return what one method takes, in this process."""
    vectors = made_up(images, width)
    wall, processor = time.perf_counter(), time.process_time()
    found = METHODS[method](vectors)
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - processor}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB: Linux counts kB
    return {"method": method, "images": images, "width": width, "rows": len(found), **took, "peak_gb": peak}


def main() -> None:
    """Measure each method in a process of its own, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--here", action="store_true", help="measure one method in this process")
    asked = parser.parse_args()
    if asked.here:
        found = measured(asked.methods[0], asked.images, asked.width)
        print(
            json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()})
        )
        return
    sizes = ["--images", str(asked.images), "--width", str(asked.width)]
    for method in asked.methods:
        subprocess.run([sys.executable, __file__, "--here", *sizes, "--methods", method], check=True)


if __name__ == "__main__":
    main()
