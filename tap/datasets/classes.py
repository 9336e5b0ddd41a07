"""Which class index a class of a data set has: by name, never by place."""

import difflib
from collections.abc import Mapping, Sequence

from tap.errors import TapError, some

MOST_TOLD = 8


def match_classes(
    where: str, found: Sequence[str], label_map: Mapping[str, str], wanted: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names, and the index of each class that a data set has.

    Args:
        where: the data set, for messages.
        found: its classes, in its order.
        label_map: a name in it to the name that counts; several may become one.
        wanted: classes of a trained model in the order of their indices; None for those of the data set.

    Returns:
        The class names in the order of their indices, and found name to index.

    Raises:
        TapError: the map names a class that is not there, or a class is not among the wanted ones.
    """
    for name in label_map:
        if name not in found:
            nearest = difflib.get_close_matches(name, found, n=1, cutoff=0.0)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise TapError(f"{where}: --label-map names the class {name!r}, which is not there{hint}")
    counted = [label_map.get(name, name) for name in found]
    classes = tuple(dict.fromkeys(counted)) if wanted is None else tuple(wanted)
    unknown = [(name, meant) for name, meant in zip(found, counted, strict=True) if meant not in classes]
    if unknown:
        # What an unknown class is called in the model is likely a name that the set lacks.
        missing = [name for name in classes if name not in counted] or classes
        name, meant = unknown[0]
        alike = difflib.get_close_matches(meant, missing, n=1, cutoff=0.0)[0]
        told = some([repr(meant) for _, meant in unknown], most=MOST_TOLD)
        raise TapError(
            f"{where}: {f'the class {told} is' if len(unknown) == 1 else f'the classes {told} are'} unknown to the "
            f"model; say what each is with --label-map, for example --label-map {name}={alike}"
        )
    return classes, {name: classes.index(meant) for name, meant in zip(found, counted, strict=True)}
