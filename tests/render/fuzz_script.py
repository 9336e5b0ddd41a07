"""Reads and renders files in a process of its own, for the fuzz: python -m tests.render.fuzz_script FOLDER < names.

Writes a line for each file as soon as it is done: its name, ``rendered`` or ``refused``, milliseconds, and the reason. Any
other outcome ends the process: an exception that is no RenderError, a warning, a signal, too much time or memory, a reason
that does not name the file or has several lines.
"""

import faulthandler
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

from render.config import RenderConfig
from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, read_mesh
from render.rendering import render_mesh
from render.shading.shade_config import ShadeConfig

MEMORY = 2 << 30
SECONDS = 10  # of this process's own time for one file


def main(folder: Path) -> None:
    look = ShadeConfig(appearance="material", normals="smooth")
    config = RenderConfig(image_size=64, num_points=128, channels=("depth", "normal"), shade=look)
    # All code is compiled and loaded before time and memory are limited and warnings are errors.
    for path in sorted((folder / "good").iterdir()):
        if path.suffix in MESH_SUFFIXES:
            render_mesh(read_mesh(path, appearance=True), config)
    warnings.simplefilter("error")
    faulthandler.register(signal.SIGUSR1)  # tells the test where a file hangs
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        path = folder / line.strip()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
        started_at = time.perf_counter()
        outcome, reason = "rendered", ""
        try:
            render_mesh(read_mesh(path, appearance=True), config, where=str(path))
        except RenderError as error:
            outcome, reason = "refused", str(error)
            if str(path) not in reason or len(reason.splitlines()) != 1:
                raise
            reason = reason.replace(str(path), path.suffix)
        print(path.name, outcome, f"{1000 * (time.perf_counter() - started_at):.1f}", reason, sep="\t", flush=True)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sep="\t", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
