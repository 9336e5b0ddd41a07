"""Equal positions and repeated faces, against a count by sets."""

import numpy as np

from render.duplicates import equal_positions, first_copies

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])


def test_equal_positions_name_the_first_vertex() -> None:
    vertices = np.array([[0, 0, 0], [1, 2, 3], [-0.0, 0, -0.0], [1, 2, 3], [1, 2, np.nextafter(3, 4)]])
    assert equal_positions(vertices).tolist() == [0, 1, 0, 1, 4]


def test_a_face_counts_once_in_any_order_and_orientation() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 3], [0, 1, 3], [3, 2, 0]])
    assert first_copies(SQUARE, faces).tolist() == [True, False, False, True, True, False]


def test_copies_by_other_vertices_at_the_same_positions_are_found() -> None:
    vertices = np.concatenate([SQUARE, SQUARE[::-1]])
    faces = np.array([[0, 1, 2], [5, 6, 7], [4, 5, 6], [0, 1, 3]])
    assert first_copies(vertices, faces).tolist() == [True, False, True, True]


def test_corners_that_meet_are_no_reason_to_confuse_faces() -> None:
    faces = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [2, 2, 2]])
    assert first_copies(SQUARE, faces).tolist() == [True, True, False, True]


def test_a_large_random_mesh_agrees_with_a_set() -> None:
    generator = np.random.default_rng(0)
    vertices = generator.integers(0, 6, (2000, 3)).astype(np.float64)
    faces = generator.integers(0, 2000, (5000, 3))
    seen: set[tuple[tuple[float, ...], ...]] = set()
    expected = []
    for corners in vertices[faces].tolist():
        key = tuple(sorted(map(tuple, corners)))
        expected.append(key not in seen)
        seen.add(key)
    assert not all(expected)
    np.testing.assert_array_equal(first_copies(vertices, faces), expected)


def test_nothing_is_nothing() -> None:
    assert equal_positions(np.zeros((0, 3))).shape == (0,)
    assert first_copies(np.zeros((0, 3)), np.zeros((0, 3), np.int64)).shape == (0,)
