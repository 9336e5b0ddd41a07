"""Numbers are those that Python reads, bit for bit, or an error that names the line."""

import numpy as np
import numpy.typing as npt
import pytest

from render.errors import RenderError
from render.reading.scan_numbers import line_number, put_float, scan_int, scan_rows, settle, text_of


def numbers(content: bytes, count: int, width: int = 1) -> npt.NDArray[np.float64]:
    values, pending, words = np.zeros(count * width), np.zeros(count * width, np.bool_), np.zeros(count, np.int64)
    found, _ = scan_rows(text_of(content), 0, count, width, values, pending, words)
    assert found == count
    settle(content, values, pending)
    return values


def test_random_decimals_are_the_nearest_doubles() -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**63, 3000, np.uint64).view(np.float64)
    bits = bits[np.isfinite(bits)]
    plain = generator.normal(size=3000) * 10.0 ** generator.integers(-9, 9, 3000)
    words = [repr(value) for value in (*bits.tolist(), *plain.tolist())]
    words += (
        [f"{value:.6f}" for value in plain] + [f"{value:.17e}" for value in plain] + [f"{value:.9g}" for value in plain]
    )
    read = numbers("\n".join(words).encode(), len(words))
    np.testing.assert_array_equal(read.view(np.uint64), np.array([float(word) for word in words]).view(np.uint64))


@pytest.mark.parametrize(
    "word",
    ["0", "-0", "-0.0", "1", "+1", "1.", ".5", "-.5e3", "1e22", "1e23", "1E-22", "9007199254740993", "90071992547409930",
     "0.1", "123456789012345678901234567890", "1e400", "1e-400", "5e-324", "1.7976931348623157e308", "nan", "-inf",
     "0.000000000000000000000000000001", "Infinity", "00000000000000000000000000001.5"],
)  # fmt: skip
def test_numbers_at_the_edges(word: str) -> None:
    read = numbers(word.encode(), 1)
    np.testing.assert_array_equal(read.view(np.uint64), np.array([float(word)]).view(np.uint64))


@pytest.mark.parametrize("word", ["1.#IND", "-1.#QNAN", "1.#INF000"])
def test_old_names_of_what_is_not_finite(word: str) -> None:
    assert not np.isfinite(numbers(word.encode(), 1)[0])


@pytest.mark.parametrize(
    "word", ["-", ".", "e5", "1e", "1e+", "--1", "1,5", "1_0", "0x10", "1.2.3", "1e5.5", "\x00", "1#2", "é"]
)
def test_what_is_no_number_is_told_with_its_line(word: str) -> None:
    with pytest.raises(RenderError, match=r"line 3: .* is not a number"):
        numbers(f"# one\n1\n{word} 2\n".encode(), 2)


def test_rows_skip_comments_and_empty_lines_and_count_words() -> None:
    content = b"# head\r\n\r\n 1\t2 3 # tail\r\n\f4 5\n\n6 7 8 9"
    values, pending, words = np.full(9, -1.0), np.zeros(9, np.bool_), np.zeros(3, np.int64)
    found, end = scan_rows(text_of(content), 0, 3, 3, values, pending, words)
    assert (found, end) == (3, len(content))
    assert words.tolist() == [3, 2, 4]
    assert values.tolist() == [1, 2, 3, 4, 5, -1, 6, 7, 8]
    assert scan_rows(text_of(b"1\n# no more\n"), 0, 3, 1, values, pending, words)[0] == 1


def test_whole_numbers() -> None:
    def whole(word: bytes) -> tuple[int, int, bool]:
        value, end, fits = scan_int(text_of(word), 0)
        return int(value), int(end), bool(fits)

    assert whole(b"-12/3") == (-12, 3, True)
    assert whole(b"+7 ") == (7, 2, True)
    assert whole(b"999999999999999999") == (10**18 - 1, 18, True)
    assert not whole(b"1000000000000000000")[2]
    assert not whole(b"-")[2]
    assert not whole(b"")[2]


def test_a_number_ends_with_its_word() -> None:
    values, pending = np.full(2, -1.0), np.zeros(2, np.bool_)
    assert put_float(text_of(b"1.5e2\t3"), 0, values, pending, 1) == 5
    assert values.tolist() == [-1, 150]
    assert put_float(text_of(b"7 x12 3"), 2, values, pending, 0) == 5
    assert (values[0], pending.tolist()) == (2, [True, False])  # left to `settle`, with the place where it begins


def test_lines_are_counted_as_editors_do() -> None:
    content = b"a\r\nb\rc\nd"
    assert [line_number(content, content.index(letter)) for letter in (b"a", b"b", b"c", b"d")] == [1, 2, 3, 4]
