"""What ShapeNet's folders leave to tables: synset numbers to class names, model ids to splits."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from render.errors import RenderError
from render.finding.layouts import SPLITS
from render.finding.listing import UNLABELED
from render.finding.table import read_rows, read_text
from render.location import Location

SYNSETS = {
    "02691156": "airplane", "02747177": "trash bin", "02773838": "bag", "02801938": "basket", "02808440": "bathtub",
    "02818832": "bed", "02828884": "bench", "02843684": "birdhouse", "02871439": "bookshelf", "02876657": "bottle",
    "02880940": "bowl", "02924116": "bus", "02933112": "cabinet", "02942699": "camera", "02946921": "can",
    "02954340": "cap", "02958343": "car", "02992529": "cellphone", "03001627": "chair", "03046257": "clock",
    "03085013": "keyboard", "03207941": "dishwasher", "03211117": "display", "03261776": "earphone", "03325088": "faucet",
    "03337140": "file cabinet", "03467517": "guitar", "03513137": "helmet", "03593526": "jar", "03624134": "knife",
    "03636649": "lamp", "03642806": "laptop", "03691459": "loudspeaker", "03710193": "mailbox", "03759954": "microphone",
    "03761084": "microwave", "03790512": "motorbike", "03797390": "mug", "03928116": "piano", "03938244": "pillow",
    "03948459": "pistol", "03991062": "flowerpot", "04004475": "printer", "04074963": "remote control",
    "04090263": "rifle", "04099429": "rocket", "04225987": "skateboard", "04256520": "sofa", "04330267": "stove",
    "04379243": "table", "04401088": "telephone", "04460130": "tower", "04468005": "train", "04530566": "watercraft",
    "04554684": "washer",
}  # fmt: skip
"""WordNet numbers of the 55 classes of ShapeNetCore."""

Labels = tuple[list[tuple[str, str]], tuple[str, ...]]
"""(category, split) of each mesh, and notes."""


def core_labels(folder: Location, meshes: Sequence[re.Match[str]]) -> Labels:
    """Classes and splits of ShapeNetCore: by the synset's folder, and by `all.csv` where it lies in the folder.

    Args:
        folder: where `all.csv` and `taxonomy.json` may lie.
        meshes: paths matched by layout shapenet-v1 or shapenet-v2.

    Returns:
        Labels. A synset without a name keeps its number; a model that `all.csv` lacks is in train.

    Raises:
        RenderError: a damaged table, or a split in it that is none.
        StoreError: the folder is behind a URL, and its store cannot be asked.
    """
    names = _synset_names(folder, {mesh["synset"] for mesh in meshes})
    table = folder / "all.csv"
    if not table.exists():
        return [(names[mesh["synset"]], "train") for mesh in meshes], ()
    splits = {(synset, model): split for synset, model, split in _columns(table, "synsetId", "modelId", "split")}
    labels = [(names[mesh["synset"]], splits.get((mesh["synset"], mesh["model"]), "train")) for mesh in meshes]
    num_missing = sum((mesh["synset"], mesh["model"]) not in splits for mesh in meshes)
    return labels, (f"{num_missing:,} models not in all.csv, taken as train",) if num_missing else ()


def numbered_labels(folder: Location, meshes: Sequence[re.Match[str]]) -> Labels:
    """Classes of ShapeNet55, whose files are numbers: by `<split>.csv`, or by `all.csv`, beside the folders.

    Args:
        folder: where the tables lie, and perhaps `taxonomy.json`.
        meshes: paths matched by layout shapenet55.

    Returns:
        Labels; the split is the folder's. A model that the tables lack is unlabeled.

    Raises:
        RenderError: no table, a damaged one, or tables of other models.
        StoreError: the folder is behind a URL, and its store cannot be asked.
    """
    tables = {split: _numbered_table(folder, split) for split in sorted({mesh["split"] for mesh in meshes})}
    if not any(tables.values()):
        raise RenderError(
            f"{folder}: layout shapenet55 needs {', '.join(f'{split}.csv' for split in tables)} or all.csv beside the "
            "folders, with the columns id,synsetId"
        )
    synsets = [tables[mesh["split"]].get(mesh["model"]) for mesh in meshes]
    if not any(synsets):
        raise RenderError(f"{folder}: the csv files hold none of the models, such as {meshes[0].string}")
    names = _synset_names(folder, {synset for synset in synsets if synset})
    labels = [
        (names[synset] if synset else UNLABELED, mesh["split"]) for synset, mesh in zip(synsets, meshes, strict=True)
    ]
    num_missing = synsets.count(None)
    return labels, (f"{num_missing:,} models not in the csv files, unlabeled",) if num_missing else ()


def _numbered_table(folder: Location, split: str) -> dict[str, str]:
    paths = (folder / f"{split}.csv", folder / "all.csv")
    path = next((path for path in paths if path.exists()), None)
    return {row[0]: row[1] for row in _columns(path, "id", "synsetId")} if path else {}


def _columns(path: Location, *names: str) -> Iterator[tuple[str, ...]]:
    """The named columns of a table, row by row."""
    rows = read_rows(path)
    _, header = next(rows, (0, []))
    header = [name.strip() for name in header]
    missing = [name for name in names if name not in header]
    if missing:
        raise RenderError(f"{path}: lacks the column {missing[0]}; its columns are {', '.join(header) or '(none)'}")
    places = [header.index(name) for name in names]
    for line, row in rows:
        values = tuple(row[place].strip() for place in places)
        if "split" in names and values[names.index("split")] not in SPLITS:
            raise RenderError(
                f"{path}, line {line}: split {values[names.index('split')]!r} is none of {', '.join(SPLITS)}"
            )
        yield values


def _synset_names(folder: Location, synsets: set[str]) -> dict[str, str]:
    """Synset to class name. Two synsets that share a name keep their numbers, so that no two classes become one."""
    known = SYNSETS | _taxonomy(folder / "taxonomy.json")
    names = {synset: known.get(synset, synset) for synset in synsets}
    counts = Counter(names.values())
    return {synset: name if counts[name] == 1 else synset for synset, name in names.items()}


def _taxonomy(path: Location) -> dict[str, str]:
    """The first of a synset's names in ShapeNet's own file; it exists in two forms, a list and a tree."""
    if not path.exists():
        return {}
    try:
        waiting: list[Any] = [json.loads(read_text(path))]
    except (ValueError, RecursionError) as error:
        raise RenderError(f"{path}: not valid JSON: {error}") from error
    names: dict[str, str] = {}
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            inner = item.get("metadata")
            number, name = item.get("synsetId"), item.get("name")
            if isinstance(inner, dict):
                number, name = inner.get("name"), inner.get("label")
            if isinstance(number, str) and isinstance(name, str) and name:
                names[number] = name.partition(",")[0].strip()
            waiting.append(item.get("children"))
    if not names:
        raise RenderError(f"{path}: names no synset; expected entries with synsetId and name, or remove the file")
    return names
