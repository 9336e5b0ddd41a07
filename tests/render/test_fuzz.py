"""Broken files of every format: each is rendered or refused with a reason; no crash, no hang, no unbounded memory."""

import collections
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tests.render.files import write_specimens

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0  # for one file, by the clock, in which other processes have a share; the script has a limit of its own
KINDS = ("cut", "flip", "flip text", "delete", "double", "swap", "digits", "numbers")
ODD_NUMBERS = (
    b"0",
    b"-1",
    b"3",
    b"1e308",
    b"-1e-320",
    b"nan",
    b"4294967295",
    b"99999999999999999999",
    b"1.5",
    b"null",
    b"[]",
)


def damaged(content: bytes, kind: str, generator: np.random.Generator) -> bytes:
    """The content, broken in one way."""
    data = bytearray(content)
    first, last = sorted(int(place) for place in generator.integers(0, len(data) + 1, 2))
    last = min(last, first + int(2 ** generator.uniform(0, 9)))
    if kind == "cut":
        return content[:first]
    if kind == "delete":
        return content[:first] + content[last:]
    if kind == "double":
        return content[:last] + content[first:last] * int(generator.integers(1, 4)) + content[last:]
    if kind == "swap":
        other = int(generator.integers(0, len(data)))
        return content[:other] + content[first:last] + content[other:]
    numbers = list(re.finditer(rb"\d+", content))
    if kind in ("digits", "numbers") and numbers:
        number = numbers[int(generator.integers(len(numbers)))]
        odd = ODD_NUMBERS[int(generator.integers(len(ODD_NUMBERS)))]
        if kind == "digits":  # as many, so that a .glb keeps its parts
            odd = bytes(generator.choice(list(b"0123456789"), len(number.group())).astype(np.uint8))
        return content[: number.start()] + odd + content[number.end() :]
    digits = b'0123456789-+.eE \n/{}[],"#'
    for place in generator.integers(0, len(data), int(generator.integers(1, 4))).tolist():
        data[place] = (
            digits[int(generator.integers(len(digits)))] if kind == "flip text" else int(generator.integers(256))
        )
    return bytes(data)


def write_broken(folder: Path, count: int, seed: int) -> list[str]:
    """Names of damaged files below ``folder``, each beside its good .mtl and picture; every tenth has one of those damaged."""
    (folder / "good").mkdir()
    specimens = write_specimens(folder / "good")
    generator = np.random.default_rng(seed)
    names = []
    for number in range(count):
        specimen = specimens[number % len(specimens)]
        own = folder / f"{number:04d}"
        own.mkdir()
        target = specimen
        for companion in ("square.mtl", "square.png"):
            (own / companion).write_bytes((folder / "good" / companion).read_bytes())
            if specimen.name == "square.obj" and generator.random() < 0.4:
                target = folder / "good" / companion
        (own / specimen.name).write_bytes(specimen.read_bytes())
        kind = KINDS[int(generator.integers(len(KINDS)))]
        (own / target.name).write_bytes(damaged(target.read_bytes(), kind, generator))
        names.append(f"{number:04d}/{specimen.name}")
    return names


def put_lines(stream: IO[str], lines: "queue.Queue[str]") -> None:
    """Every line of a stream as it comes, and an empty one at its end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def outcomes(folder: Path, names: list[str]) -> list[list[str]]:
    """The script's lines for all files; whatever stops it or takes too long fails the test and names the file."""
    command = [sys.executable, "-m", "tests.render.fuzz_script", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    lines: queue.Queue[str] = queue.Queue()
    found: list[list[str]] = []
    asked = "the first file, with compiling,"
    with (
        (folder / "errors.txt").open("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=put_lines, args=(process.stdout, lines), daemon=True).start()
        try:
            found.append([lines.get(timeout=300).strip()])
            for asked in names if found == [["ready"]] else ():
                process.stdin.write(f"{asked}\n")
                process.stdin.flush()
                found.append(lines.get(timeout=SECONDS).rstrip("\n").split("\t"))
                if found[-1] == [""]:
                    break
            else:
                process.stdin.close()
                found.append(lines.get(timeout=SECONDS).rstrip("\n").split("\t"))
        except queue.Empty:
            process.send_signal(signal.SIGUSR1)
            time.sleep(1)
            process.kill()
            errors.seek(0)
            pytest.fail(f"{asked} took too long: {errors.read()}")
        errors.seek(0)
        assert [""] not in found, f"{asked} ended the process: {errors.read()}"
    return found[1:]


def check(folder: Path, count: int, seed: int) -> None:
    names = write_broken(folder, count, seed)
    *found, (_, peak) = outcomes(folder, names)
    assert len(found) == count
    counts = collections.Counter((name.rsplit(".", 1)[1], outcome) for name, outcome, _, _ in found)
    slowest = max(float(milliseconds) for _, _, milliseconds, _ in found)
    print(f"\n{dict(sorted(counts.items()))}, slowest {slowest:.0f} ms, peak {int(peak) / 1024:.0f} MiB")
    assert {outcome for _, outcome, _, _ in found} == {"rendered", "refused"}


def test_the_specimens_are_good(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    specimens = write_specimens(tmp_path / "good")
    *found, _ = outcomes(tmp_path, [f"good/{path.name}" for path in specimens])
    assert {outcome for _, outcome, _, _ in found} == {"rendered"}
    assert {path.suffix for path in specimens} == {".off", ".obj", ".ply", ".stl", ".glb", ".gltf"}


def test_sixty_broken_files_are_rendered_or_refused(tmp_path: Path) -> None:
    check(tmp_path, 60, 0)


@pytest.mark.slow
def test_a_thousand_broken_files_are_rendered_or_refused(tmp_path: Path) -> None:
    check(tmp_path, 1000, 1)
