"""How many frames a second the map draws with many points, in headless Chromium.

    python benchmarks/map_frames.py                    100,000 points, WebGL2 and canvas: about half a minute
    python benchmarks/map_frames.py --points 1000      does it run?

Needs selenium, chromium and chromedriver. Made-up points in 40 groups on a page of 1,280 × 900 px; for some seconds,
each frame moves and zooms the map and waits for the next one, as a hand does. Headless Chromium has no graphics card:
WebGL2 is computed in software (SwiftShader, named in the output), so that a real card is faster.

frames    frames a second: all frames by all seconds, and the slowest twentieth of the frames; milliseconds of CPU time
          per frame of all of the browser's processes, which other work on the machine hardly changes (Linux)
pick      microseconds to find the point under the pointer, on average
lasso     milliseconds to find the points in a lasso around a quarter of the map
recolour  milliseconds to colour all points again
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from headstart.maps.page import map_page
from headstart.maps.points import Colouring, encoded, quantised

GROUPS = 40
FRAMES = """
const done = arguments[arguments.length - 1], seconds = arguments[0], times = [];
let last = performance.now(), angle = 0;
const until = last + 1000 * seconds;
function step(now) {
  times.push(now - last); last = now; angle += 0.1;
  if (now > until) { done(times.slice(1)); return; }
  map.pan(9 * Math.cos(angle), 9 * Math.sin(angle)); map.zoom(1 + 0.04 * Math.sin(angle / 3));
  map.paint();
  const gl = map.drawing.gl;  // what is read back has been drawn
  if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  requestAnimationFrame(step);
}
map.whole();
requestAnimationFrame((now) => { last = now; requestAnimationFrame(step); });
"""
ONCE = """
map.whole(); map.paint();
const clock = (times, work) => {
  const start = performance.now();
  for (let k = 0; k < times; k++) work(k);
  return (performance.now() - start) / times;
};
const quarter = [[16384, 16384], [49151, 16384], [49151, 49151], [16384, 49151]];
return {
  pick: 1000 * clock(2000, (k) => map.points.nearest((k * 7919) % 65536, (k * 104729) % 65536, 400)),
  lasso: clock(10, () => map.points.inside(quarter)),
  recolour: clock(10, () => map.recolour()),
};
"""
RENDERER = """
const gl = map.drawing.gl, more = gl && gl.getExtension('WEBGL_debug_renderer_info');
return gl ? gl.getParameter(more ? more.UNMASKED_RENDERER_WEBGL : gl.RENDERER) : 'pixels in memory';
"""


def page_of(points: int) -> str:
    """Return a page of made-up points."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, GROUPS, points)
    centres = 4 * generator.standard_normal((GROUPS, 2))
    positions = (centres[codes] + 0.8 * generator.standard_normal((points, 2))).astype(np.float32)
    classes = Colouring("class", [f"class {k}" for k in range(GROUPS)], codes)
    data = {"positions": encoded(quantised(positions), "<u2"), "colours": [classes.plain], "table": []}
    return map_page("made up", f"{points:,} points", [], data)


def browser(size: tuple[int, int]) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    width, height = size
    for flag in ("--headless=new", "--no-sandbox", "--enable-unsafe-swiftshader", f"--window-size={width},{height}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it."""
    parents, spent = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            parents[int(place.parent.name)] = int(fields[1])
            spent[int(place.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(spent.get(each, 0.0) for each in below)


def measured(points: int, seconds: float) -> list[dict[str, Any]]:
    """Return what was measured, for WebGL2 and for the canvas."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "map.html"
        page.write_text(page_of(points), encoding="utf-8")
        for kind in ("webgl", "canvas"):
            driver = browser((1280, 900))
            try:
                driver.set_script_timeout(60 + 2 * seconds)
                driver.get(f"{page.as_uri()}#{kind}")
                driver.execute_async_script(FRAMES, 1)  # the first frames compile
                before = cpu_seconds(driver.service.process.pid)
                times = np.array(driver.execute_async_script(FRAMES, seconds))
                cpu = 1000 * (cpu_seconds(driver.service.process.pid) - before) / len(times)
                kind = driver.execute_script("return map.drawing.kind")
                slowest = float(np.sort(times)[-max(1, len(times) // 20) :].mean())
                row = {"drawing": kind, "by": driver.execute_script(RENDERER), "points": points, "frames": len(times)}
                row |= {
                    "cpu_ms_per_frame": cpu,
                    "frames_per_second": 1000 / float(times.mean()),
                    "slowest_twentieth": 1000 / slowest,
                }
                found.append(row | driver.execute_script(ONCE))
            finally:
                driver.quit()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8)
    asked = parser.parse_args()
    for line in measured(asked.points, asked.seconds):
        print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in line.items()}))
