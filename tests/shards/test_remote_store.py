"""Sets behind URLs: what a store takes and shows, what is tried again, and what is told in one line."""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import ForkContext, SpawnContext

import pytest

from shards.errors import ShardError
from shards.stores import remote_system, transfer
from shards.stores.remote_store import GAP_BYTES, RemoteStore
from shards.stores.store import open_store
from tests.shards.flaky import CUT_AFTER, CUT_BEFORE, PASSING, STALL, TRUNCATE, Proxy, at_first, at_random

s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
CONTEXTS = (multiprocessing.get_context("fork"), multiprocessing.get_context("spawn"))


@pytest.fixture
def store(proxy: Proxy, s3_url: str) -> RemoteStore:
    return RemoteStore(f"{s3_url}/runs/set")


@pytest.fixture(params=["memory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RemoteStore:
    if request.param == "memory":
        return RemoteStore(f"memory://{tmp_path_factory.mktemp('set').name}/")
    return RemoteStore(f"{request.getfixturevalue('s3_url')}/runs/set/")


def test_what_is_put_is_there(any_store: RemoteStore) -> None:
    assert any_store.sizes() == {}
    with any_store.claimed():
        any_store.put("b.json", b"12345")
        any_store.put("a.tar", b"")
        any_store.put("a.idx", b"9")
        any_store.put("b.json", b"123")  # replaces
    assert any_store.sizes() == {"a.idx": 1, "a.tar": 0, "b.json": 3}
    assert (any_store.size("b.json"), any_store.size("a.tar"), any_store.size("none")) == (3, 0, None)
    assert (any_store.read("b.json"), any_store.read("a.tar")) == (b"123", b"")
    assert any_store.read_many(["b.json", "none", "a.tar"]) == {"b.json": b"123", "a.tar": b""}
    assert any_store.read_many(["none"]) == {}
    any_store.remove("b.json")
    any_store.remove("b.json")
    assert list(any_store.sizes()) == ["a.idx", "a.tar"]
    assert any_store.unfinished() == []


def test_pieces_of_a_file(any_store: RemoteStore) -> None:
    any_store.put("a.tar", bytes(range(100)))
    file = any_store.open("a.tar")
    assert (file.size, file.gap_bytes) == (100, GAP_BYTES)
    assert (file.pread(10, 3), file.pread(98, 10), file.pread(100, 5)) == (b"\n\x0b\x0c", b"bc", b"")
    file.close()
    for action in (any_store.open, any_store.read):
        with pytest.raises(ShardError, match=r"/set.*/none\.tar: cannot be (opened|read): no such file"):
            action("none.tar")


def test_locations(s3_url: str) -> None:
    store = open_store(f"{s3_url}/runs/set//")
    assert isinstance(store, RemoteStore)
    assert (store.location, store.path("a.tar")) == (f"{s3_url}/runs/set", f"{s3_url}/runs/set/a.tar")
    RemoteStore(s3_url).put("a.tar", b"1")
    RemoteStore("memory://").put("at-the-root.tar", b"1")
    assert RemoteStore(s3_url).sizes() == {"a.tar": 1}
    assert RemoteStore("memory://").read("at-the-root.tar") == b"1"
    for location, message in {
        "s3://": "names no bucket; expected s3://BUCKET/FOLDER",
        "nosuch://bucket/set": r"no way to open nosuch:// here \(Protocol not known: nosuch\)",
        "sftp://me:secret@host/set": "^sftp://...: a password in a URL",
    }.items():
        with pytest.raises(ShardError, match=message):
            RemoteStore(location)


def test_a_listing_has_the_folders_own_files_alone(
    store: RemoteStore, s3_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "100")  # S3 has pages of 1000
    system, folder = s3fs.S3FileSystem(), f"{s3_url}/runs/set"
    names = [f"train-{number:06d}.json" for number in range(103)]
    system.pipe({f"{folder}/{name}": b"{}" for name in names})
    system.pipe({f"{folder}/deeper/a.tar": b"123", f"{s3_url}/runs/set-2/a.tar": b"123"})
    system.call_s3("put_object", Bucket=s3_url[5:], Key="runs/set/", Body=b"")  # the mark of a folder
    proxy.requests.clear()
    assert store.sizes() == dict.fromkeys(names, 2)
    assert proxy.count() == 2, "both pages"
    proxy.requests.clear()
    assert store.read_many([*names, "none"]) == dict.fromkeys(names, b"{}")
    assert proxy.count("GET", "/runs/set/") == 103, "one request a file"
    assert store.size("deeper") is None
    assert RemoteStore(f"{folder}/train-000000.json").sizes() == {}, "a file is no folder"


def test_files_of_others_are_seen_at_once(store: RemoteStore, s3_url: str) -> None:
    assert (store.sizes(), store.size("a.tar")) == ({}, None)
    s3fs.S3FileSystem().pipe(f"{s3_url}/runs/set/a.tar", b"123")
    assert (store.sizes(), store.size("a.tar")) == ({"a.tar": 3}, 3)


def test_nothing_appears_without_commit(any_store: RemoteStore) -> None:
    any_store.put("a.tar", b"old")
    with pytest.raises(ZeroDivisionError), any_store.draft("a.tar") as draft:  # noqa: PT012
        draft.write(bytes(1000))
        raise ZeroDivisionError
    with any_store.draft("b.tar") as draft:
        draft.write(b"1")
    assert (any_store.read("a.tar"), list(any_store.sizes())) == (b"old", ["a.tar"])


def test_a_large_file_goes_in_parts(store: RemoteStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(17_000_000)
    with store.draft("a.tar") as draft:
        for begin in range(0, len(content), 1_000_001):
            draft.write(content[begin : begin + 1_000_001])
        assert proxy.count("PUT") == 0
        draft.commit()
    assert [proxy.count("POST", "uploads"), proxy.count("PUT", "partNumber"), proxy.count("POST", "uploadId")] == [
        1,
        3,
        1,
    ]
    parts = [request for request in proxy.requests if request.method == "PUT"]
    assert all("x-amz-checksum-crc32" in request.headers for request in parts), "the server compares what it gets"
    assert store.read("a.tar") == content
    monkeypatch.setattr(transfer, "LARGEST_NUM_PARTS", 2)
    store.put("b.tar", content)
    assert proxy.count("PUT", "partNumber=3") == 1, "no more parts than S3 takes"


def test_a_bucket_is_not_made(proxy: Proxy) -> None:
    store = RemoteStore("s3://not-there/set")
    assert (store.sizes(), store.size("a")) == ({}, None)
    with pytest.raises(
        ShardError, match=r"^s3://not-there/set: cannot be written: there is no bucket not-there; make it"
    ):
        store.claimed().__enter__()
    proxy.requests.clear()
    for num_bytes in (1, 20_000_000):
        with pytest.raises(ShardError, match=r"^s3://not-there/set/a: cannot be written: .* does not exist; what was"):
            store.put("a", bytes(num_bytes))
    assert proxy.count() == 2, "no second try, and no bucket made"


def test_a_refusal_is_told_at_once(store: RemoteStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"1")
    proxy.plan = at_first(1000, "403")
    for action in (store.sizes, lambda: store.read("a"), lambda: store.put("a", b"2"), lambda: store.remove("a")):
        proxy.requests.clear()
        with pytest.raises(
            ShardError, match=r"^s3://bucket-\d+/runs/set(/a)?: cannot be \w+: (Access Denied|Forbidden) "
        ):
            action()
        assert proxy.count() == 1
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ShardError, match=r"cannot be listed: Unable to locate credentials$"):
        store.sizes()


@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_tried_again(store: RemoteStore, proxy: Proxy, fault: str) -> None:
    content = os.urandom(17_000_000)
    for action in (
        lambda: store.put("a.tar", content),
        lambda: store.size("a.tar") == len(content) or pytest.fail("size"),
        lambda: store.read("a.tar") == content or pytest.fail("content"),
        lambda: store.read_many(["a.tar"]) == {"a.tar": content} or pytest.fail("contents"),
        lambda: store.sizes() == {"a.tar": len(content)} or pytest.fail("sizes"),
        lambda: store.remove("a.tar"),
    ):
        proxy.plan = at_first(2, fault)
        action()


@pytest.mark.parametrize("fault", [CUT_AFTER, "500", TRUNCATE])
@pytest.mark.parametrize(
    ("method", "part"), [("POST", "uploads"), ("PUT", "partNumber=2"), ("POST", "uploadId"), ("HEAD", "")]
)
def test_each_request_of_an_upload_may_be_lost(
    store: RemoteStore, proxy: Proxy, fault: str, method: str, part: str
) -> None:
    content = os.urandom(17_000_000)
    proxy.plan = at_first(2, fault, method, part)
    store.put("a.tar", content)
    assert [request.fault for request in proxy.requests].count(fault) == 2
    assert store.read("a.tar") == content


@pytest.mark.parametrize("fault", ["500", "503", CUT_BEFORE])
def test_what_does_not_pass_is_one_line(store: RemoteStore, proxy: Proxy, fault: str) -> None:
    store.put("a.tar", b"1")
    proxy.plan = at_first(1000, fault)
    proxy.requests.clear()
    with pytest.raises(
        ShardError, match=r"^s3://bucket-\d+/runs/set/a\.tar: cannot be read: .* \(5 tries\)$"
    ) as caught:
        store.read("a.tar")
    assert "\n" not in str(caught.value)
    # A connection that is reset before the first byte of an answer is opened anew once by aiohttp.
    assert proxy.count() == (10 if fault == CUT_BEFORE else 5)


def test_a_store_that_says_nothing_does_not_hold_up_a_run(
    store: RemoteStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a.tar", b"1")
    monkeypatch.setattr(remote_system, "REQUEST_SECONDS", 0.4)
    proxy.plan = at_first(1000, STALL)
    actions: dict[str, Callable[[], object]] = {
        "read": lambda: store.read("a.tar"),
        "listed": store.sizes,
        "written": lambda: store.put("a.tar", bytes(10)),
    }
    for what, action in actions.items():
        with pytest.raises(ShardError, match=rf"cannot be {what}: no answer within \d seconds \(\d tries\)"):
            action()
    # An upload of which the server takes nothing: sockets hold some megabytes.
    monkeypatch.setattr(remote_system, "SLOWEST_BYTES_PER_SECOND", 1 << 26)
    with pytest.raises(ShardError, match="cannot be written: no answer within"):
        store.put("a.tar", bytes(30_000_000))
    proxy.plan = at_first(1, STALL)
    assert store.read("a.tar") == b"1"


def read_in_child(store: RemoteStore, answers: "multiprocessing.Queue[bytes]") -> None:
    answers.put(store.read("a.tar"))


@pytest.mark.parametrize("context", CONTEXTS, ids=["fork", "spawn"])
def test_a_store_works_in_a_child_process(store: RemoteStore, context: ForkContext | SpawnContext) -> None:
    store.put("a.tar", b"123")
    gc.collect()  # file systems of other tests: a forked child would take a second to close each
    answers = context.Queue()
    for _ in range(2):  # one after the other: a forked child also holds the sockets of the server in this process
        child = context.Process(target=read_in_child, args=(store, answers))
        child.start()
        assert answers.get(timeout=60) == b"123"
        child.join(60)
        assert child.exitcode == 0
        assert store.read("a.tar") == b"123"


@pytest.mark.parametrize("seed", [0, pytest.param(range(1, 40), marks=pytest.mark.slow)])
def test_faults_at_random(store: RemoteStore, proxy: Proxy, seed: int | range, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request in eight fails; whatever does not raise has done all that it says."""
    num_raised = 0
    for number in [seed] if isinstance(seed, int) else seed:
        proxy.plan = at_random(number, 0.12)
        kept: dict[str, set[bytes]] = {}
        for turn in range(12):
            name, content = f"{number}-{turn % 4}", os.urandom(17_000_000 if turn % 6 == 5 else 1000)
            try:
                store.put(name, content)
                kept[name] = {content}
            except ShardError:
                num_raised += 1
                kept.setdefault(name, set()).add(content)  # it may have come, and the answer not
            if name in kept:
                try:
                    found = store.read(name)
                except ShardError:
                    num_raised += 1
                else:
                    assert found in kept[name]
    print(f"{num_raised} actions were given up")


def test_tries_are_counted_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other try is begun after twice the time of one."""
    monkeypatch.setattr(remote_system, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(remote_system, "FIRST_PAUSE_SECONDS", 0.0)
    tries = 0

    def slow(remote: remote_system.RemoteSystem) -> None:
        nonlocal tries
        tries += 1
        time.sleep(0.06)
        raise TimeoutError("too slow")

    with pytest.raises(ConnectionError, match=r"too slow \(2 tries\)"):
        remote_system.asked("memory://set", slow)
    assert tries == 2
