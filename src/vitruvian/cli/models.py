"""The command line's part about models: what there is, their weights, and other forms of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import Offline, complain, go_offline
from vitruvian.errors import VitruvianError

models_app = typer.Typer(help="The models: what there is, and their weights.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A name from `vitruvian models list`.")]


@models_app.command("list")
def models_list() -> None:
    """All models: those whose weights are here, then the others."""
    from vitruvian.models.zoo import CATALOGUE
    from vitruvian.weights import download

    rows = CATALOGUE.values()
    here = [row for row in rows if all(map(download.here, row.files))]
    widest = max((len(row.name) for row in here), default=0)
    for row in here:
        print(f"{row.name:{widest}} {row.gives}; {row.licence}; here")
    rest: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row not in here:
            rest.setdefault((row.gives, row.licence), []).append(row.name)
    for (gives, licence), names in rest.items():
        print(f"not fetched, the first run does it: {', '.join(names)}: {gives}; {licence}")


@models_app.command("info")
def models_info(name: Name) -> None:
    """All about one model: files, hashes, where they come from, licence."""
    from vitruvian.models.zoo import entry

    row = entry(name)
    print(f"{row.name}: {row.about}\nfamily: {row.family}\nskeleton: {row.skeleton}")
    print(f"gives: {row.gives}\nlicence of the weights: {row.licence}")
    if row.decode is not None:
        print(f"maps are read by: {row.decode}")
    if row.notice:
        print(row.notice)
    for file in row.files:
        print(f"file: {file.name}, sha256 {file.sha256 or 'not published'}")
        for source in file.sources:
            unchecked = "" if source.checked else " (no published hash)"
            inside = f": {source.member}" if source.member else ""
            print(f"  from: {source.package}{inside}{unchecked}")


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str], typer.Argument(help="Names from `models list`, or all.")],
    offline: Offline = False,
) -> None:
    """Fetch the weights of models, so that they run offline later."""
    go_offline(offline)
    from vitruvian.models.ready import pull
    from vitruvian.models.zoo import CATALOGUE, entry

    bad = 0
    for row in list(CATALOGUE.values()) if names == ["all"] else [entry(name) for name in names]:
        try:
            for path in pull(row.name):
                print(f"{row.name}: {path}")
        except VitruvianError as error:
            complain(error)
            bad += 1
    if bad:
        raise typer.Exit(1)


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all that are here.")] = None,
) -> None:
    """Check the weights that are here against their published hashes."""
    from vitruvian.models.zoo import entry, shelf
    from vitruvian.weights import download

    bad = 0
    for file in [file for name in names for file in entry(name).files] if names else shelf():
        try:
            path = download.find(file)
        except VitruvianError as error:
            complain(error)
            bad += 1
            continue
        if path is None:
            print(f"{file.name}: not fetched")
            bad += names is not None
        elif path.name == file.name and file.sha256:
            print(f"{file.name}: as published")
        else:
            print(f"{path.name}: no published hash; sha256 {download.sha256(path)}")
    if bad:
        raise typer.Exit(1)


@models_app.command("path")
def models_path(
    name: Annotated[str | None, typer.Argument(help="A name from `models list`.")] = None,
) -> None:
    """Where the weights are kept: the cache folder, or the files of one model."""
    from vitruvian.models.zoo import entry
    from vitruvian.weights import download

    if name is None:
        print(download.cache_folder())
        return
    for file in entry(name).files:
        print(download.find(file) or download.cache_folder() / file.name)


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="yolov8n-pose and so on, or a checkpoint: .pt, .pth or MeTRAbs' .tar.gz."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A name that ends with .onnx or .xml.")],
    weights_file: Annotated[
        Path | None, typer.Option("--weights", help="The checkpoint, instead of the released one.")
    ] = None,
    imgsz: Annotated[
        int | None, typer.Option(help="Pixels, the side it runs at by default.", show_default=False)
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the weights: f32, f16, int8.")] = "f32",
    calibrate: Annotated[
        Path | None, typer.Option(help="For int8: a folder of pictures like yours, some hundreds.")
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Of its keypoints: a name, or a .toml file.")
    ] = None,
    decode: Annotated[
        str | None,
        typer.Option(
            help="For AlphaPose, how its maps are read: argmax, integral or combined.  "
            "[default: argmax for 17 and 26 keypoints]",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    offline: Offline = False,
) -> None:
    """Write a checkpoint as ONNX or OpenVINO IR, checked against torch.

    It may be of YOLOv8-pose, AlphaPose, MeTRAbs or, for re-identification, OSNet.
    """
    go_offline(offline)
    from vitruvian.verbs.export import export_file
    from vitruvian.verbs.outputs import refuse_existing

    refuse_existing([out], overwrite)
    done = export_file(
        model if weights_file is None else str(weights_file),
        out,
        imgsz=imgsz,
        precision=precision,
        skeleton=skeleton,
        decode=decode,
        calibrate=calibrate,
    )
    apart = ", ".join(f"{name} {far:.2g} {done.unit}" for name, far in done.apart.items())
    print(f"{out}: {precision}, apart from torch: {apart}")


def synth(
    people: Annotated[int, typer.Option(help="How many.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder; a set in it goes on.")],
    seed: Annotated[int, typer.Option(help="Of chance: the same people for the same number.")] = 0,
    backgrounds: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures to stand before.", show_default=False),
    ] = None,
    postures: Annotated[
        Path | None,
        typer.Option(
            help="Of real people, beside those by chance: .npz of vitruvian.train.data.teacher.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make pictures of synthetic people, and people.jsonl: their joints in pixels and metres."""
    try:
        from vitruvian.train.synth import synth as studio
    except ImportError as error:
        raise VitruvianError(
            f"synthetic people need {error.name}; install it with: pip install 'vitruvian[synth]'"
        ) from None
    behind = studio.background_pictures(backgrounds) if backgrounds else []
    real = studio.read_postures(postures) if postures else None
    print("loading the body model; the first time takes a minute", file=sys.stderr, flush=True)

    def tell(number: int) -> None:
        if number % 100 == 0:
            print(f"{number} of {people} people", file=sys.stderr, flush=True)

    table = studio.make_people(people, out, seed=seed, backgrounds=behind, postures=real, tell=tell)
    print(table)
