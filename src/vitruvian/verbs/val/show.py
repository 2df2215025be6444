"""Results of a validation: printed lines, JSON, CSV, an HTML report, and the worst images."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import amount
from vitruvian.formats.atomic_file import write_whole
from vitruvian.verbs.val import page
from vitruvian.verbs.val.sheet import jpeg, sheet
from vitruvian.verbs.val.val import Validation


def validation_lines(result: Validation) -> list[str]:
    """The printed lines: the images, a table of the models, and notes."""
    people = max((each.groups[0].people for each in result.scores), default=0)
    images = amount(len(result.truth.pictures), "image")
    first = f"{result.truth.source}: {images}, {amount(people, 'person', 'people')}"
    head, rows = page.validation_table(result, brief=True)
    cells = [head, *rows]
    wide = [max(len(row[i]) for row in cells) for i in range(len(head))]
    said = [first, ""]
    for row in cells:
        padded = [
            row[0].ljust(wide[0]),
            *(c.rjust(w) for c, w in zip(row[1:], wide[1:], strict=True)),
        ]
        said.append("  ".join(padded).rstrip())
    return [*said, "", *(f"note: {note}" for note in result.notes)]


def write_validation(result: Validation, out: Path) -> list[Path]:
    """Write val.json, pictures.csv, report.html, and worst_MODEL.jpg for each model.

    Returns:
        Their paths.
    """
    sheets = {each.name: sheet(result.truth, each) for each in result.scores}
    paths = [out / "val.json", out / "pictures.csv", out / "report.html"]
    write_whole(paths[0], json.dumps(validation_to_dict(result), indent=1, allow_nan=False))
    write_whole(paths[1], rows_of_pictures(result))
    page.validation_report(result, sheets).write(paths[2])
    for name, picture in sheets.items():
        if picture is not None:
            paths.append(out / f"worst_{name}.jpg")
            write_whole(paths[-1], jpeg(picture))
    return paths


def validation_to_dict(result: Validation) -> dict[str, Any]:
    """All results, ready for JSON; metres, 0..1, and null where undefined."""
    return _plain(
        {
            "data": result.truth.source,
            "labels_sha256": result.truth.sha256,
            "skeleton": result.truth.skeleton.name,
            "keypoints": result.truth.skeleton.keypoints,
            "pictures": len(result.truth.pictures),
            "notes": result.notes,
            "models": [
                {
                    "name": each.name,
                    "options": result.options.get(each.name),
                    "keypoints": each.keypoints,
                    "lacks": each.lacks,
                    "pictures": len(each.pictures),
                    "groups": [
                        {
                            "of": group.of,
                            "name": group.name,
                            "people": group.people,
                            "pictures": group.pictures,
                            "numbers": {k: n._asdict() for k, n in group.numbers.items()},
                        }
                        for group in each.groups
                    ],
                    "joints": each.joints,
                    "curves": {k: {"x": x, "y": y} for k, (x, y) in each.curves.items()},
                }
                for each in result.scores
            ],
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def rows_of_pictures(result: Validation) -> str:
    """One CSV row for each image and model."""
    names = ["model"]
    for each in result.scores:
        names += [name for name in each.pictures[0] if name not in names]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    for each in result.scores:
        for row in each.pictures:
            known = {k: v for k, v in row.items() if v == v}
            writer.writerow({"model": each.name, **known})
    return text.getvalue()
