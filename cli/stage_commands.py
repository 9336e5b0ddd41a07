"""The commands of the rendering stage as a terminal sees them: render, rigs, show; the work is done elsewhere."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.options import Config, RenderSet, Shards, finite, on_this_machine

drawn = functools.partial(typer.Option, rich_help_panel="What is drawn")


@reported
def render(
    src: Annotated[
        str,
        typer.Argument(
            help="Folder of meshes (.off .obj .ply .stl .glb .gltf), or a .csv or .jsonl manifest; or its URL (s3://...).",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None, typer.Option(help="Folder for the shards, or its URL (s3://...).", show_default=False)
    ] = None,
    layout: Annotated[
        str,
        typer.Option(help="auto, modelnet, class, flat, shapenet-v1, shapenet-v2, shapenet55 or manifest; see README."),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes; each takes whole shards. 0: in this one.  (default: 1; with --engine ray as many as CPUs)",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray: Ray on this machine or, with --address, on a cluster. The same bytes.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster: host:port, or auto on a machine of it.  (default: RAY_ADDRESS, if set)"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do only what no valid record proves done; failed meshes count as done.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and try failed meshes again; what is done is kept.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Classes, splits, estimated time and size; nothing is written.")
    ] = False,
    max_failures: Annotated[
        int | None, typer.Option(min=0, help="Stop when more meshes than this have failed.", show_default=False)
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Seconds a mesh may take; then it counts as failed. 0: no limit.  (default: 600)",
        ),
    ] = None,
    memory_limit: Annotated[
        float,
        typer.Option(min=0, callback=finite, help="GB a worker may take; then its mesh counts as failed. 0: no limit."),
    ] = 0,
    up: Annotated[str | None, drawn(help="Up axis of the files: y or z.  (default: y)")] = None,
    normalize: Annotated[
        str | None,
        drawn(help="sphere (unit sphere about the centroid) or none.  (default: sphere)"),
    ] = None,
    rig: Annotated[
        str | None,
        drawn(
            help="A rig that `tap rigs` lists, a .toml or .json file, or package.module:function.  (default: mvcnn12)"
        ),
    ] = None,
    projection: Annotated[
        str | None,
        drawn(help="parallel or perspective.  (default: parallel)"),
    ] = None,
    fit: Annotated[
        str | None,
        drawn(help="sphere (one scale for all) or object (its largest view spans the frame).  (default: sphere)"),
    ] = None,
    jitter: Annotated[
        float | None,
        drawn(help="Degrees by which a view's direction moves at most, at random."),
    ] = None,
    roll: Annotated[
        float | None,
        drawn(help="Degrees by which a camera is rolled at most, at random."),
    ] = None,
    appearance: Annotated[
        str | None,
        drawn(help="clay, or material: the meshes' own colours.  (default: clay)"),
    ] = None,
    channels: Annotated[
        str | None,
        drawn(
            help="Further images of each view, e.g. depth,normal,part.",
            show_default=False,
        ),
    ] = None,
    points: Annotated[
        str | None,
        drawn(help="area (uniform), poisson (blue noise) or farthest (FPS of 4x).  (default: area)"),
    ] = None,
    antialias: Annotated[
        bool,
        drawn("--antialias", help="Average the colour of 9 samples a pixel."),
    ] = False,
    backend: Annotated[
        str | None,
        drawn(
            help="auto (pytorch3d where it and a GPU are there, else cpu), cpu, open3d, pytorch3d or package.module:function."
            "  (default: cpu)"
        ),
    ] = None,
    config: Config = None,
    settings: RenderSet = None,
) -> None:
    """Render posed views of every mesh below SRC into webdataset shards.

    Each sample holds its views, surface points with normals, and camera matrices. A mesh that cannot be rendered, that takes
    its worker down or outlasts the limits is recorded with its reason and the run goes on; quality.html in --out shows what
    is worth a look. The bytes do not depend on --workers or --engine. After meshes changed, use --overwrite.

    Further settings for --set: image_size=224, num_points=8192, seed=0, samples_per_shard=128,
    min_silhouette=0.002, shade.normals=smooth, shade.ambient=0.3, shade.diffuse=0.6, shade.background, shade.lights.
    """
    from cli.render_command import render_folder
    from shards import BuildOptions

    chosen = {
        "up": up, "normalize": normalize, "rig": rig, "projection": projection, "fit": fit,
        "jitter": jitter, "roll": roll, "shade.appearance": appearance, "points": points,
        "antialias": antialias or None, "backend": backend,
        "channels": None if channels is None else [name for name in channels.replace(" ", "").split(",") if name],
    }  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    if out is None and not dry_run:
        raise typer.BadParameter("name a folder for the shards (only --dry-run goes without)", param_hint="--out")
    options = BuildOptions(
        num_workers=workers, engine=engine, address=address, resume=resume, retry_failed=retry_failed, overwrite=overwrite,
        max_failures=max_failures,
        time_limit=(600.0 if workers != 0 and time_limit is None else time_limit) or None,
        memory_limit=memory_limit or None,
    )  # fmt: skip
    render_folder(
        src,
        out,
        layout=layout,
        given=given,
        config_file=config,
        overrides=settings or [],
        options=options,
        try_only=dry_run,
    )


@functools.partial(reported, stopped="stopped")
def rigs(
    rig: Annotated[
        str | None,
        typer.Argument(help="A rig as `tap render --rig` takes it; without it, the list.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the cameras around an object into this .png.", show_default=False)
    ] = None,
    mesh: Annotated[Path | None, typer.Option(help="The object, a mesh file.  (default: a chair)")] = None,
    up: Annotated[str | None, typer.Option(help="Up axis of --mesh: y or z.  (default: y)")] = None,
    projection: Annotated[str | None, typer.Option(help="parallel or perspective.  (default: parallel)")] = None,
    fit: Annotated[
        str | None,
        typer.Option(help="sphere (one scale for all objects) or object (its largest view spans the frame)."),
    ] = None,
    jitter: Annotated[float | None, typer.Option(help="Degrees by which a view's direction moves at most.")] = None,
    roll: Annotated[float | None, typer.Option(help="Degrees by which a camera is rolled at most.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the views in pixels.  (default: 224)")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of what is drawn at random.  (default: 0)")] = None,
    key: Annotated[str, typer.Option(help="Key of the sample that random cameras are drawn for.")] = "",
) -> None:
    """List the rigs; or tell where the cameras of RIG stand, and draw them."""
    from cli.rigs_command import draw_rig, list_rigs

    options = {
        "rig": rig, "up": up, "projection": projection, "fit": fit, "jitter": jitter, "roll": roll,
        "image_size": image_size, "seed": seed,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if rig is not None:
        draw_rig(given, out, mesh, key)
    elif given or out or mesh or key:
        raise typer.BadParameter("options of `tap rigs` need a RIG to apply to", param_hint="RIG")
    else:
        list_rigs()


@functools.partial(reported, stopped="stopped; run it again for the rest")
def show(
    shards: Shards,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine,
            help="Folder for the pages.  (default: NAME-show in this folder)",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default=False)] = None,
    num_samples: Annotated[int, typer.Option(min=1, help="Samples in the gallery at most.")] = 200,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the gallery in the browser.")] = False,
) -> None:
    """Look at a set: a contact sheet (PNG), a gallery and a page about quality, which open offline."""
    from cli.show_command import show_shards

    show_shards(shards, out, split, num_samples, open_browser)
