"""The notebooks of examples/: kept without outputs, and each runs to its end in a real kernel."""

from pathlib import Path

import pytest

from conftest import need

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


@pytest.mark.weights  # BlazePose's, for the group photo
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, blazepose, monkeypatch):
    for library in ("ipykernel", "nbclient", "torch" if name.startswith("train") else "nbclient"):
        need(library)
    if name == "group_photo":
        blazepose("full")
    import nbclient
    import nbformat

    book = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    monkeypatch.setenv("VITRUVIAN_OFFLINE", "1")  # what is not here is left out, and said
    monkeypatch.chdir(EXAMPLES)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert shown & {"image/png", "image/jpeg"}


def test_there_are_five():
    assert len(NOTEBOOKS) == 5
