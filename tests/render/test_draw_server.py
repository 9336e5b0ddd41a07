"""The draw server, with the CPU rasterizer in the place of a device."""

import dataclasses
import functools
import json
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Client
from pathlib import Path

import numpy as np
import pytest

from render.backends.batch_drawing import DrawBatch, drawn, gathered
from render.backends.draw_channel import DrawServerDied, RemoteRasterizer, Request
from render.backends.draw_process import DrawStatistics
from render.backends.draw_server import DrawServer
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, look_at
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.rasterizers import load_batch_drawing

ROOT = Path(__file__).resolve().parent.parent.parent
make_cpu = functools.partial(load_batch_drawing, "cpu")
# Drawing functions for the server's process, which imports them.
FAULTS = """
import os, time
from render.backends.rasterize_cpu import rasterize_cpu

def make_slow():
    return draw_slowly

def draw_slowly(requests):
    time.sleep(60)

def make_late():
    return draw_late

def draw_late(requests):
    time.sleep(0.5)
    return [rasterize_cpu(*request) for request in requests]

def make_buggy():
    return draw_wrongly

def draw_wrongly(requests):
    raise ZeroDivisionError("a bug of the device")

def make_crashing():
    return lambda requests: os._exit(7)

def make_nothing():
    os._exit(9)
"""


def cameras_of(num_views: int, size: int, projection: str = "parallel") -> Cameras:
    """Views of the unit sphere from directions all around."""
    angles = np.arange(num_views) * 0.7
    ways = np.stack([np.cos(angles), np.sin(angles), 0.3 + 0 * angles], axis=1) * 3
    poses = np.stack([look_at(way, np.zeros(3)) for way in ways]).astype(np.float32)
    focal = size * (0.4 if projection == "parallel" else 1.2)
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    return Cameras(poses, np.tile(intrinsics, (num_views, 1, 1)), projection, size)  # type: ignore[arg-type]


def assert_equal(ours: Fragments, theirs: Fragments) -> None:
    assert ours.face.dtype == theirs.face.dtype
    assert ours.depth.dtype == theirs.depth.dtype
    np.testing.assert_array_equal(ours.face, theirs.face)
    np.testing.assert_array_equal(ours.depth, theirs.depth)


def open_descriptors() -> list[str]:
    """What this process has open, sockets and mapped memory among it."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("no /proc here")
    return sorted(str(path.readlink()) for path in folder.iterdir() if path.is_symlink())


@pytest.fixture(scope="module")
def server() -> Iterator[DrawServer]:
    """One that draws as the CPU does, for the tests that do not end it."""
    with DrawServer(make_cpu) as running:
        yield running


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A module of faulty drawing functions that the server's process can import too."""
    (tmp_path / "drawing_faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "drawing_faults", raising=False)
    import drawing_faults  # type: ignore[import-not-found]

    return drawing_faults


def test_what_it_draws_is_what_its_backend_draws(shapes: list[Mesh]) -> None:
    """From several threads at once, in views of any number and size and both projections, byte for byte."""
    wishes = [
        (mesh, cameras_of(views, size, projection))
        for projection in PROJECTIONS
        for mesh, views, size in zip(shapes[:4], (3, 1, 2, 4), (32, 65, 16, 48), strict=True)
    ]
    got: dict[int, list[Fragments]] = {}
    with DrawServer(make_cpu, max_batch=2) as server:
        rasterize = server.rasterizer

        def draw_all(name: int) -> None:
            got[name] = [rasterize(*wish) for wish in wishes]

        threads = [threading.Thread(target=draw_all, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [rasterize_cpu(*wish) for wish in wishes]
    assert len(got) == 3
    for drawn_there in got.values():
        for ours, theirs in zip(drawn_there, expected, strict=True):
            assert_equal(ours, theirs)
    statistics = server.statistics
    assert statistics.num_meshes == 3 * len(wishes)
    assert len(wishes) * 3 / 2 <= statistics.num_batches <= len(wishes) * 3
    assert 1 <= statistics.mean_batch <= 2
    assert statistics.busy_seconds > 0
    assert 0 <= statistics.idle_share < 1


def test_worker_processes_carry_its_rasterizer(server: DrawServer, tmp_path: Path, shapes: list[Mesh]) -> None:
    """A spawned process that knows nothing of the server but the rasterizer it is handed."""
    (tmp_path / "wish.json").write_text(json.dumps([array.tolist() for array in (shapes[0].vertices, shapes[0].faces)]))
    script = (
        "import sys, pickle, json, numpy as np\n"
        "rasterize, cameras = pickle.loads(sys.stdin.buffer.read())\n"
        "vertices, faces = json.load(open('wish.json'))\n"
        "from render.mesh import Mesh\n"
        "got = rasterize(Mesh(np.array(vertices), np.array(faces)), cameras)\n"
        "np.savez('got.npz', face=got.face, depth=got.depth)\n"
        "assert not {'torch', 'open3d', 'numba'} & set(sys.modules)\n"  # a worker that lets others draw stays small
    )
    cameras = cameras_of(2, 40)
    subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps((server.rasterizer, cameras)), cwd=tmp_path, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    with np.load(tmp_path / "got.npz") as got:
        assert_equal(Fragments(got["face"], got["depth"]), rasterize_cpu(shapes[0], cameras))


def test_a_mesh_that_cannot_be_drawn_fails_alone(shapes: list[Mesh]) -> None:
    cameras, spoiled = cameras_of(1, 24), Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with DrawServer(make_cpu) as server:
        for _ in range(2):
            with pytest.raises(RenderError, match="a vertex in use is not finite"):
                server.rasterizer(spoiled, cameras)
            assert_equal(server.rasterizer(shapes[0], cameras), rasterize_cpu(shapes[0], cameras))
        skewed = cameras_of(1, 24)
        skewed.world_to_camera[0, 0, 0] = 5  # made wrong after it was checked: the server checks what it is sent
        with pytest.raises(RenderError, match="must be a rotation"):
            server.rasterizer(shapes[0], skewed)
    assert server.statistics.num_meshes == 4


def test_an_empty_mesh_and_a_larger_one_after_it(server: DrawServer, shapes: list[Mesh]) -> None:
    cameras, rasterize = cameras_of(1, 8), server.rasterizer
    assert (rasterize(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)), cameras).face == -1).all()
    for size in (8, 300, 8):  # the memory grows, and is used again
        cameras = cameras_of(2, size)
        assert_equal(rasterize(shapes[1], cameras), rasterize_cpu(shapes[1], cameras))


def test_nothing_is_left_of_it(shapes: list[Mesh]) -> None:
    cameras = cameras_of(1, 24)
    before, others = open_descriptors(), set(multiprocessing.active_children())
    with DrawServer(make_cpu) as server:
        rasterize = server.rasterizer
        folder = Path(rasterize._address).parent
        assert folder.stat().st_mode & 0o077 == 0  # of nobody else's concern
        (process,) = set(multiprocessing.active_children()) - others
        rasterize(shapes[0], cameras)
    assert not folder.exists()
    assert process not in multiprocessing.active_children()
    with pytest.raises(DrawServerDied, match="died"):
        rasterize(shapes[0], cameras)
    with pytest.raises(DrawServerDied, match="is gone"):
        rasterize(shapes[0], cameras)
    assert not any("memfd:draw" in name for name in set(open_descriptors()) - set(before))
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.rasterizer
    assert server.stop() == server.statistics


def test_its_secret_is_not_told_and_is_asked_for(server: DrawServer, shapes: list[Mesh]) -> None:
    rasterize = server.rasterizer
    for text in (repr(rasterize), str(rasterize), repr(server), repr(vars(server))):
        assert repr(rasterize._authkey) not in text
    with pytest.raises(multiprocessing.AuthenticationError):
        Client(rasterize._address, "AF_UNIX", authkey=b"guess")
    rasterize(shapes[0], cameras_of(1, 8))  # and the server still listens


def test_a_backend_that_cannot_be_loaded_is_told_at_once() -> None:
    others = multiprocessing.active_children()
    with (
        pytest.raises(RenderError, match="backend 'nowhere:draw': ModuleNotFoundError"),
        DrawServer(functools.partial(load_batch_drawing, "nowhere:draw")),
    ):
        pass
    assert set(multiprocessing.active_children()) <= set(others)
    with pytest.raises(RenderError, match="a batch of 0 meshes"):
        DrawServer(make_cpu, max_batch=0)


def test_a_server_that_dies_over_its_start_is_told(faults: object) -> None:
    with pytest.raises(DrawServerDied, match="exit code 9"), DrawServer(faults.make_nothing):  # type: ignore[attr-defined]
        pass


def test_a_bug_in_the_drawing_ends_the_run_and_says_which(faults: object, shapes: list[Mesh]) -> None:
    """Not as a RenderError: that would be recorded for each of a million meshes in turn."""
    server = DrawServer(faults.make_buggy)  # type: ignore[attr-defined]
    with pytest.raises(DrawServerDied, match="ZeroDivisionError: a bug of the device"), server:
        server.rasterizer(shapes[0], cameras_of(1, 8))
    assert not issubclass(DrawServerDied, RenderError)


def test_a_crash_in_native_code_ends_the_run(faults: object, shapes: list[Mesh]) -> None:
    server = DrawServer(faults.make_crashing)  # type: ignore[attr-defined]
    with pytest.raises(DrawServerDied, match="died without a word"), server:
        server.rasterizer(shapes[0], cameras_of(1, 8))
    server = DrawServer(faults.make_crashing)  # type: ignore[attr-defined]
    with pytest.raises(DrawServerDied, match="exit code 7"), server, pytest.raises(DrawServerDied):
        server.rasterizer(shapes[0], cameras_of(1, 8))


def test_a_killed_server_releases_who_waits_for_it(faults: object, shapes: list[Mesh]) -> None:
    released: list[BaseException] = []
    others = set(multiprocessing.active_children())

    def wait_for_it(rasterize: RemoteRasterizer) -> None:
        try:
            rasterize(shapes[0], cameras_of(1, 8))
        except DrawServerDied as error:
            released.append(error)

    with DrawServer(faults.make_slow) as slow:  # type: ignore[attr-defined]
        threads = [threading.Thread(target=wait_for_it, args=(slow.rasterizer,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        (process,) = set(multiprocessing.active_children()) - others
        process.kill()
        for thread in threads:
            thread.join(20)
        assert len(released) == 2
        with pytest.raises(DrawServerDied, match="exit code -9"):
            slow.stop()


def test_a_worker_that_dies_does_not_disturb_the_others(server: DrawServer, shapes: list[Mesh]) -> None:
    cameras, rasterize = cameras_of(1, 24), server.rasterizer
    half = Client(rasterize._address, "AF_UNIX", authkey=rasterize._authkey)
    half.send_bytes(b"M")  # announces memory, and is gone
    half.close()
    asker = Client(rasterize._address, "AF_UNIX", authkey=rasterize._authkey)
    asker.send_bytes(b"D" + Request(1, 1, 1, 8, True).to_bytes())  # asks without memory
    with pytest.raises(EOFError):
        asker.recv_bytes()
    asker.close()
    assert_equal(rasterize(shapes[0], cameras), rasterize_cpu(shapes[0], cameras))


def test_an_answer_that_was_not_waited_for_is_not_taken_for_the_next(faults: object, shapes: list[Mesh]) -> None:
    """Ctrl-C in a run without workers, caught by whoever called: the next mesh still gets its own picture."""
    cameras = cameras_of(1, 24)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with DrawServer(faults.make_late) as late:  # type: ignore[attr-defined]
        rasterize = late.rasterizer
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                rasterize(shapes[0], cameras)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert_equal(rasterize(shapes[1], cameras), rasterize_cpu(shapes[1], cameras))


SCRIPT = """
import functools, sys, time
from multiprocessing import active_children
from pathlib import Path
from render.backends.draw_server import DrawServer
from render.rasterizers import load_batch_drawing

if __name__ == "__main__":
    with DrawServer(functools.partial(load_batch_drawing, "cpu")) as server:
        try:  # from here on, since the signal may come while the line is still being printed
            print(active_children()[0].pid, Path(server.rasterizer._address).parent, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            raise SystemExit(130)
"""


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_dies_with_its_parent(tmp_path: Path, with_signal: signal.Signals) -> None:
    (tmp_path / "parent.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    if with_signal == signal.SIGINT:
        os.killpg(parent.pid, with_signal)  # as a terminal does
    else:
        parent.send_signal(with_signal)
    output, errors = parent.communicate(timeout=30)
    assert output == ("interrupted\n" if with_signal == signal.SIGINT else "")
    assert "Traceback" not in errors
    until = time.monotonic() + 20
    while (is_running(int(pid)) or Path(folder).exists()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(int(pid))
    assert not Path(folder).exists()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # an orphan's remains are its new parent's to bury


def counting(fail_beyond: int, broken: set[int]) -> tuple[DrawBatch, list[int]]:
    """A device with memory for so many meshes at a time, which refuses those of so many vertices; and its batch sizes."""
    sizes: list[int] = []

    def draw(requests: Sequence[tuple[Mesh, Cameras]]) -> list[Fragments]:
        sizes.append(len(requests))
        if len(requests) > fail_beyond:
            raise MemoryError
        for mesh, _ in requests:
            if len(mesh.vertices) in broken:
                raise RenderError(f"{len(mesh.vertices)} vertices")
        return [
            Fragments(np.full((1, 8, 8), len(mesh.vertices), np.int32), np.ones((1, 8, 8), np.float32))
            for mesh, _ in requests
        ]

    return draw, sizes


def numbered(count: int) -> list[tuple[Mesh, Cameras]]:
    return [(Mesh(np.zeros((number, 3)), np.zeros((0, 3), np.int64)), cameras_of(1, 8)) for number in range(count)]


def test_a_batch_that_lacks_memory_is_drawn_in_halves() -> None:
    draw, sizes = counting(2, set())
    outcomes = drawn(draw, numbered(8))
    assert [int(outcome.face[0, 0, 0]) for outcome in outcomes if isinstance(outcome, Fragments)] == list(range(8))
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    (outcome,) = drawn(counting(0, set())[0], numbered(1))
    assert isinstance(outcome, RenderError)
    assert "out of memory, even with this mesh alone" in str(outcome)


def test_a_mesh_that_is_refused_does_not_take_its_batch_along() -> None:
    outcomes = drawn(counting(99, {1, 6})[0], numbered(7))
    assert [str(outcome) for outcome in outcomes if isinstance(outcome, RenderError)] == ["1 vertices", "6 vertices"]
    assert [isinstance(outcome, Fragments) for outcome in outcomes] == [True, False, True, True, True, True, False]


def test_what_are_no_fragments_of_the_requests_is_a_bug() -> None:
    with pytest.raises(TypeError, match="0 results for 2 requests"):
        drawn(lambda requests: [], numbered(2))
    double = Fragments(np.zeros((1, 8, 8), np.int32), np.zeros((1, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float64"):
        drawn(lambda requests: [double], numbered(1))


def test_what_waits_is_one_batch_and_the_end_comes_last() -> None:
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for item in (1, 2, 3, 4, 5, None):
        waiting.put(item)
    assert gathered(waiting, 3) == [1, 2, 3]
    assert gathered(waiting, 3) == [4, 5]
    assert gathered(waiting, 3) == []


def test_statistics_by_hand() -> None:
    statistics = DrawStatistics(num_batches=4, num_meshes=10, busy_seconds=3.0, idle_seconds=1.0)
    assert (statistics.mean_batch, statistics.idle_share) == (2.5, 0.25)
    assert (DrawStatistics().mean_batch, DrawStatistics().idle_share) == (0.0, 0.0)
    assert dataclasses.asdict(DrawStatistics())["num_batches"] == 0


def test_the_arrays_of_a_request_do_not_overlap() -> None:
    request = Request(num_vertices=5, num_faces=3, num_views=2, image_size=7, parallel=False)
    assert Request.from_bytes(request.to_bytes()) == request
    taken = np.zeros(request.num_bytes(), int)
    for offset, shape, dtype in request.layout().values():
        assert offset % np.dtype(dtype).itemsize == 0
        taken[offset : offset + int(np.prod(shape)) * np.dtype(dtype).itemsize] += 1
    assert taken.max() == 1
