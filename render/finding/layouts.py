"""How folders of meshes are arranged: one pattern a layout, and which of them a set of paths follows.

Works on relative paths alone; what a ShapeNet number means is told by `shapenet.py`.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from render.errors import RenderError
from render.location import Location

Layout = Literal["auto", "modelnet", "class", "flat", "shapenet-v1", "shapenet-v2", "shapenet55", "manifest"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class FolderLayout:
    """Where meshes lie below a folder.

    Attributes:
        form: the place of a mesh, for people.
        mesh: matches the whole relative path of a mesh; its groups (category, split, synset, model) say what it is.
        companion: matches meshes that belong to a model without being it, such as copies and collision hulls.
        model_folder: matches folders of which each should hold one mesh.
    """

    form: str
    mesh: re.Pattern[str]
    companion: re.Pattern[str] | None = None
    model_folder: re.Pattern[str] | None = None

    def misfit(self, meshes: Sequence[str]) -> str | None:
        """The first path that is neither a mesh at its place nor a companion of one; None where all fit."""
        companion = self.companion
        for path in meshes:
            if not self.mesh.fullmatch(path) and not (companion and companion.fullmatch(path)):
                return path
        return None

    def holds(self, meshes: Sequence[str]) -> bool:
        """Whether all paths fit, and at least one of them is a mesh at its place."""
        return self.misfit(meshes) is None and any(self.mesh.fullmatch(path) for path in meshes)


_SPLIT = f"(?P<split>{'|'.join(SPLITS)})"
_MODEL = "(?P<synset>[0-9]{8})/(?P<model>[^/]+)"
_COMPANION, _MODEL_FOLDER = re.compile("[0-9]{8}/[^/]+/.+", re.DOTALL), re.compile("[0-9]{8}/[^/]+")
FOLDER_LAYOUTS = {
    "modelnet": FolderLayout("<class>/<split>/<name>", re.compile(f"(?P<category>[^/]+)/{_SPLIT}/[^/]+")),
    "shapenet-v1": FolderLayout(
        "<synset>/<id>/model.obj", re.compile(f"{_MODEL}/model\\.obj"), _COMPANION, _MODEL_FOLDER
    ),
    "shapenet-v2": FolderLayout(
        "<synset>/<id>/models/model_normalized.obj",
        re.compile(f"{_MODEL}/models/model_normalized\\.obj"),
        _COMPANION,
        _MODEL_FOLDER,
    ),
    "shapenet55": FolderLayout(
        "<split>/model_<number>.off",
        re.compile(f"{_SPLIT}/(?:model_)?(?P<model>[0-9]{{6}})\\.(?:off|obj)"),
    ),
    "class": FolderLayout("<class>/<name>", re.compile("(?P<category>[^/]+)/[^/]+")),
    "flat": FolderLayout("<name>", re.compile("[^/]+")),
}
"""Name of a layout to its pattern; ``auto`` and ``manifest`` are none."""
FORMS = {name: layout.form for name, layout in FOLDER_LAYOUTS.items()} | {
    "manifest": "rows of path,category,split,part_labels"
}


def guess_layout(folder: Location, meshes: Sequence[str]) -> str:
    """The one layout that all the paths fit.

    Args:
        folder: for the message.
        meshes: relative paths with forward slashes, at least one.

    Raises:
        RenderError: no layout fits, or more than one does; the message tells what was found.
    """
    fitting = _fitting(meshes)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RenderError(f"{folder}: fits the layouts {' and '.join(fitting)}; choose one with --layout")
    depths = Counter(path.count("/") + 1 for path in meshes)
    found = ", ".join(f"{count:,} at depth {depth}" for depth, count in sorted(depths.items()))
    raise RenderError(f"{folder}: cannot tell the layout ({found}), such as {meshes[0]}; {_advice(folder, meshes)}")


def _fitting(meshes: Sequence[str]) -> list[str]:
    fitting = [name for name, layout in FOLDER_LAYOUTS.items() if layout.holds(meshes)]
    if "shapenet55" in fitting or _tops(meshes) <= set(SPLITS):
        # Folders train and test are hardly classes: taking splits for labels would show only after the training.
        fitting = [name for name in fitting if name != "class"]
    return fitting


def _tops(meshes: Sequence[str]) -> set[str]:
    return {path.partition("/")[0] for path in meshes}


def _advice(folder: Location, meshes: Sequence[str]) -> str:
    tops = _tops(meshes)
    inner = [path.partition("/")[2] for path in meshes]
    if len(tops) == 1 and all(inner) and len(fitting := _fitting(inner)) == 1:
        return f"all of it lies below {folder / tops.pop()}, which fits layout {fitting[0]}: name that folder"
    if tops <= set(SPLITS):
        return (
            f"arrange the meshes as {FORMS['modelnet']}, list them in a .csv or .jsonl manifest, "
            "or say --layout class if the classes have these names"
        )
    forms = ", ".join(layout.form for layout in FOLDER_LAYOUTS.values())
    return f"arrange the meshes as one of {forms}, or list them in a .csv or .jsonl manifest"
