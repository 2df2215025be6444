"""The commands `models ...`: list, download and verify models.

They are no functions of `vitruvian`: there `vit.load` downloads what is missing, and the table is
`vitruvian.models.zoo.CATALOGUE`.
"""

from __future__ import annotations

from dataclasses import replace

import typer

from vitruvian.cli.command import Commands, TitledHelp, command, complain, failed
from vitruvian.cli.words import INPUT, Word
from vitruvian.errors import VitruvianError

models_app = typer.Typer(cls=Commands, help="List, download and verify models.")
NAME = Word(str, INPUT, "Model name, see `vitruvian models list`.", argument="NAME")
NAMES = Word(
    list[str], INPUT, "Model names, see `vitruvian models list`; or all.", argument="NAMES"
)


@models_app.command("list", cls=TitledHelp)
@command(offline=False)
def models_list() -> None:
    """List all models, those already downloaded first."""
    from vitruvian.models.zoo import CATALOGUE, FINDERS
    from vitruvian.weights import download

    rows = [*CATALOGUE.values(), *FINDERS.values()]
    here = [row for row in rows if all(map(download.here, row.files))]
    widest = max((len(row.name) for row in here), default=0)
    for row in here:
        print(f"{row.name:{widest}} {row.gives}; {row.licence}; here")
    rest: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row not in here:
            rest.setdefault((row.gives, row.licence), []).append(row.name)
    for (gives, licence), names in rest.items():
        print(
            f"not downloaded; the first run downloads them: {', '.join(names)}: {gives}; {licence}"
        )


@models_app.command("info", cls=TitledHelp)
@command(offline=False, name=NAME)
def models_info(name: str) -> None:
    """Show the files, hashes, download sources and licence of a model."""
    from vitruvian.models.zoo import entry

    row = entry(name)
    print(f"{row.name}: {row.about}\nfamily: {row.family}")
    if row.skeleton:
        print(f"skeleton: {row.skeleton}")
    print(f"gives: {row.gives}\nlicence of the weights: {row.licence}")
    if row.decode is not None:
        print(f"heat map decoding: {row.decode}")
    if row.notice:
        print(row.notice)
    for file in row.files:
        print(f"file: {file.name}, sha256 {file.sha256 or 'not published'}")
        for source in file.sources:
            unchecked = "" if source.checked else " (no published hash)"
            inside = f": {source.member}" if source.member else ""
            print(f"  from: {source.package}{inside}{unchecked}")


@models_app.command("pull", cls=TitledHelp)
@command(names=NAMES)
def models_pull(names: list[str]) -> None:
    """Download the weights of models, to run them offline later."""
    from vitruvian.models.ready import pull
    from vitruvian.models.zoo import CATALOGUE, FINDERS, entry

    bad, every = 0, [*CATALOGUE.values(), *FINDERS.values()]
    for row in every if names == ["all"] else [entry(name) for name in names]:
        try:
            for path in pull(row.name):
                print(f"{row.name}: {path}")
        except VitruvianError as error:
            complain(error)
            bad += 1
    failed(bad)


@models_app.command("verify", cls=TitledHelp)
@command(offline=False, names=replace(NAMES, type=list[str] | None, default="all downloaded"))
def models_verify(names: list[str] | None = None) -> None:
    """Verify downloaded weights against their published hashes."""
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
            print(f"{file.name}: not downloaded")
            bad += names is not None
        elif path.name == file.name and file.sha256:
            print(f"{file.name}: verified")
        else:
            print(f"{path.name}: no published hash; sha256 {download.sha256(path)}")
    failed(bad)


@models_app.command("path", cls=TitledHelp)
@command(offline=False, name=replace(NAME, type=str | None))
def models_path(name: str | None = None) -> None:
    """Show the cache folder of weights, or the files of a model."""
    from vitruvian.models.zoo import entry
    from vitruvian.weights import download

    if name is None:
        print(download.cache_folder())
        return
    for file in entry(name).files:
        print(download.find(file) or download.cache_folder() / file.name)
