"""Generate docs/models.md, docs/angles.md, docs/decoding.md, the tables of docs/files.md, figures, and the stub.

python docs/generate.py          writes them
python docs/generate.py --check  fails if a page is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import decoding
import view3d
from stub import stub

from vitruvian.analysis.angles import TABLE, available_angles
from vitruvian.analysis.points import POINTS
from vitruvian.analysis.view import DECIDED
from vitruvian.body.skeletons import SKELETONS
from vitruvian.body.state import SEEN
from vitruvian.formats.table import FORMATS, HOLDS, lost, refusal
from vitruvian.models.zoo import CATALOGUE, DEFAULT, FINDERS
from vitruvian.verbs.outputs import SAVED
from vitruvian.weights.download import SHIPPED

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by docs/generate.py -->", "<!-- until here -->"
ANGLES = f"""\
# Angles

Made by `python docs/generate.py` from `src/vitruvian/analysis/angles.py`.

```sh
vitruvian analyze squat.mp4 --angles --out out/
vitruvian analyze squat.mp4 --angle knee,hip,trunk_lean --space 2d --save video,plot,parquet --out out/
vitruvian analyze out/match.jsonl --angles --rules arms_raised --out again/
```

writes a copy of the source with the angles drawn at their joints (a wedge from where the angle
is 0 to where it is), and:

- `angles.csv` (and `.parquet`): a row for each frame and person, `space` (`2d` or `3d`, see below), and a column
  `..._deg` for each angle of the table below; empty where it is unknown. Of a video person by person, in order of
  time.
- `motion.csv`: a row for each person and angle (`deg`): frames, minimum, maximum, range, mean, mean and
  peak speed (degrees a second), standard deviation `sd`, and `space`; and for each keypoint (`px`
  or `m`) its speeds, a second. Metres are relative to the origin of the poses: mostly the hips. Not for
  images.
- `cycles.csv`: a row for each repetition (`cycle`) and angle of `--angle`: `start`, `end` (seconds), minimum,
  maximum, range; see [Repetitions](#repetitions). Not for images.
- `angles.png`: of a video, the angles of `--angle` over time, a panel for each person who was there for a second or
  longer (of the twelve who were there longest), below it the posture events, beside it the mean of the
  repetitions. 300 dpi, as wide as two columns of a journal, left blue and right vermilion (safe for the
  colour-blind), gaps are gaps; `--save pdf,svg` writes the same as vector graphics, with text as text.

For noisy poses add `--smooth butterworth --cutoff-hz 6`, and `--repair` where left and right are swapped; of
a record, too.

## Repetitions

A cycle goes from one maximum of an angle to the next: a stride of a knee, a squat, a jumping jack. The angle is
the one of `--angle` with the largest range of motion that repeats (`reference`); the others are
cut at the same times, so that their phases can be compared. After a median filter of 0.2 s a maximum
counts that rises above the minima beside it by 0.4 of the range between the 2nd and the
98th percentile, which is at least 10 degrees. Cycles last 0.4 s or more, and from 2/3 to 3/2 of the median duration:
pauses are left out, and so are those of which a fifth or more is unknown. Fewer than three are none, and
the plot says so. Mean and standard deviation are at 0, 1, ... 100 % of the cycle, of the frames as they are.

In `../shared/data/videos/sports2d_demo.mp4` the walking woman has three strides of the left knee of 1.17 to 1.30 s
with `blazepose-full`, flexed by 64 ± 2 degrees more at the maximum than at the minimum.

## In 2D or in 3D

| people | angles are in |
|---|---|
| without metres (YOLOv8, AlphaPose, COCO files, ...) | 2D, the image |
| with metres from the camera or in the world: markers (.trc, .c3d), several cameras, MeTRAbs | 3D |
| with metres from the hips, estimated from one image (BlazePose), seen from the side | 2D |
| the same, seen from the front or from behind | 3D |

A model's depth is least certain along the line of sight. For a walk seen from the side, that is
where the legs are apart from each other and not where they swing: in BlazePose's metres a walker's
knee went from 24 to 82 degrees (5 % to 95 % of the frames), and was never straight, in the image
from 9 to 74. Seen from the front the legs swing along the line of sight, and only 3D has it.

A person is seen from the side in a frame where the shoulders are less than half as far apart,
across the trunk, as the trunk is long (from the front they are 0.7). It is decided for each person of a
video once, by half of the frames of the first {DECIDED:g} seconds in which that person is seen, and
for each in an image. Somebody who faces the camera first and walks by later is mixed: split the video with
`--start` and `--end`. What was chosen, and for how many frames it holds, is printed at the
end, and is in the column `space`. `--space 2d` and `--space 3d` choose one for all; so does
`--angle` with an angle that 2D does not have, such as `left_hip_abduction`. Posture rules use metres where
there are any, whatever is chosen here.

`--angle` takes names, or how they begin: `left_knee` is `left_knee_flexion`, `knee` that of both
sides. Speeds are differences between frames, so noise counts: smooth poses first. In a video the
side that a person faces is the majority within half a second before and after. What is drawn into the
copy of a file is what the table has; for a live camera, only the half second before is known.

Angles whose range is -180 to 180 wrap around. Their range of motion is the shortest arc that holds all of
their values (an arm that goes from 172 over 180 to -172 has moved by 16 degrees, from 172 to 188),
so it is never more than 360, and gaps do not matter. Their
mean and standard deviation are circular (Fisher 1993, *Statistical Analysis of Circular
Data*); of values spread all round there is no mean.

## Table of angles

Degrees. A point is a keypoint, or one of those below. Two points are a direction, from the first
to the second; three a joint, at the middle one; four two directions, such as foot and shank. NaN
where a point is missing, or its score is below {SEEN:g}.

Forward is where the person faces, so that left, right and both walking directions have the same signs.
In 3D it follows from hips, shoulders and trunk. In 2D, angles marked *side* need the person to be
seen from the side: the shoulders are less than half as far apart, across the trunk, as the trunk is
long. The feet tell which side, from heel to toe, or, where there are none, the head, from ears to
nose. Those marked *front* need the opposite. Others are as the image shows them. Up is up in
the image, in 3D against the camera's y axis, or as given. In mirrored images left and right
change places and the values stay, except for those marked ±, which change sign.

Flexion of knees, elbows and wrists has no sign: 5 degrees of hyperextension are 5. An angle that is
measured in a plane is NaN where its limb is within 12 degrees of perpendicular to it: the flexion of an
arm held straight out.

Angles of fingers and of the face have columns only if the skeleton has such keypoints (`holistic`, `--hands`, `--face`), or `--angle` names them. Those of
fingers are in metres of the hand in 3D; in 2D they are of the image, and mean something only where a finger moves in its plane. The flexion of an MCP joint
is from the line of wrist and knuckle, so it holds the few degrees by which fingers fan out. `face_yaw`, `face_pitch` and `face_roll` are in the camera's
frame, from the line of sight to the face, in that order (turned last), in 2D and in 3D from keypoints in pixels. A face mesh is pulled towards the
camera: heads that are turned by 70 degrees and more have a `face_yaw` of 45 to 55, or no face. `head_pitch` and `head_turn` are from the trunk.

| angle | points | from | 0 | positive | range | 2D | 3D | convention |
|---|---|---|---|---|---|---|---|---|
"""
ISB = """\
ISB is Wu et al. 2002 and 2005, Journal of Biomechanics 35 and 38, as far as a skeleton of points
allows: it has no rotation of a segment about itself. Sports2D refers to its documentation.
"""


def models() -> str:
    """The page of models."""
    lines = [
        "# Models",
        "",
        "Made by `python docs/generate.py` from `src/vitruvian/models/zoo.py`.",
        "",
        "| name | | skeleton | gives | licence of the weights |",
        "|---|---|---|---|---|",
    ]
    for row in CATALOGUE.values():
        lines.append(
            f"| `{row.name}` | {row.about} | {row.skeleton} | {row.gives} | {row.licence} |"
        )
    lines += ["", f"`{DEFAULT}` is the default.", "", "## Person detectors", ""]
    lines += ["For `find`; they give no poses.", "", "| name | | licence of the weights |"]
    lines += ["|---|---|---|"]
    for row in FINDERS.values():
        lines.append(f"| `{row.name}` | {row.about} | {row.licence} |")
    lines += ["", "## Files", ""]
    lines += ["| file | bytes | SHA-256 | from, in this order |", "|---|---|---|---|"]
    rows = [*CATALOGUE.values(), *FINDERS.values()]
    files = {file.name: file for row in rows for file in row.files}
    for file in files.values():
        places = [
            f"{source.package}" + ("" if source.checked else " (no published hash: not checked)")
            for source in file.sources
        ]
        if (SHIPPED / file.name).is_file():
            places = ["comes with vitruvian", *places]
        known = f"{file.bytes} | `{file.sha256}`" if file.sha256 else "| not published"
        lines.append(f"| {file.name} | {known} | {'; '.join(places)} |")
    lines += [
        "",
        "The wheel and the npm packages are used as containers only: none of MediaPipe's code is",
        "installed or run. Checkpoints (.pt, .pth) are read without executing anything in them, and",
        "converted once, which needs the `train` extra; those of AlphaPose are downloaded from Google",
        "Drive, which needs the `alphapose` extra: see [AlphaPose](alphapose.md). Archives of",
        "MeTRAbs (.tar.gz) are read and converted like checkpoints: see [MeTRAbs](metrabs.md).",
        "AGPL-3.0 has stronger conditions for products that use the weights than Apache-2.0.",
        "`vitruvian models info NAME` shows the path inside each.",
    ]
    return "\n".join(lines) + "\n"


def angles() -> str:
    """The page of angles."""
    lines = [*ANGLES.splitlines()]
    for row in (row for row in TABLE if not row.name.startswith("right_")):
        name = row.name.replace("left_", "SIDE_", 1) if row.name.startswith("left_") else row.name
        points = ", ".join(point.replace("left_", "SIDE_") for point in row.points)
        if name == row.name:  # of the middle of the body: left is left
            points = ", ".join(row.points)
        start = f"{row.to}, {'down' if row.down else 'up'}" if row.to else "each other"
        start = row.to if row.part == "face" else start
        points = "the face" if row.part == "face" else points
        low, high = row.range_deg
        flat = (row.view or "yes") if "2d" in row.spaces else "no"
        lines.append(
            f"| `{name}`{' ±' if row.odd else ''} | {points} | {start} | {row.zero} | "
            f"{row.positive} | {low} to {high} | {flat} | yes | {row.source} |"
        )
    lines += ["", *ISB.splitlines(), "", "| point | is |", "|---|---|"]
    for name, ways in POINTS.items():
        said = ", or ".join(" and ".join(f"`{part}`" for part in way) for way in ways)
        lines.append(f"| `{name}` | {'the middle of ' * (len(ways[0]) > 1)}{said} |")
    lines += ["", "| skeleton | 2D angles | 3D angles |", "|---|---|---|"]
    for table in SKELETONS.values():
        lines.append(
            f"| {table.name} | {len(available_angles(table, '2d'))} | {len(available_angles(table, '3d'))} |"
        )
    return "\n".join(lines) + "\n"


def files() -> str:
    """The page of files: as it is, but for its tables."""
    forms = list(FORMATS.values())
    kept = ["| file | holds | units and axes |", "|---|---|---|"]
    for form in forms:
        name = f"`{form.suffix}`" if form.suffix else "a folder"
        kept.append(f"| {name} | {form.about} | {form.units} |")
    saved = ["| `--save` | writes | name |", "|---|---|---|"]
    for row in SAVED.values():
        ends = dict.fromkeys((row.ends[0], (row.of_picture or row.ends)[0]))
        saved.append(f"| `{row.name}` | {row.about} | {' or '.join(f'`NAME{e}`' for e in ends)} |")
    head = ["| | " + " | ".join(f"`{f.suffix}`" if f.suffix else "folder" for f in forms) + " |"]
    held = [*head, "|---|" + "---|" * len(forms)]
    for part, words in HOLDS.items():
        cells = ["yes" if part in form.holds else "" for form in forms]
        held.append(f"| {words} | {' | '.join(cells)} |")
    ways = ["| from | to | is lost |", "|---|---|---|"]
    for source in forms:
        groups: dict[str, list[str]] = {}
        for target in forms:
            why = refusal(source, target).partition(";")[0].partition(" needs ")[2]
            gone = ", ".join(HOLDS[part] for part in lost(source, target)) or "nothing"
            said = f"not possible: needs {why.partition(',')[0]}" if why else gone
            groups.setdefault(said, []).append(f"`{target.name}`")
        for said, names in groups.items():
            ways.append(f"| `{source.name}` | {', '.join(names)} | {said} |")
    before, _, rest = (HERE / "files.md").read_text().partition(BEGIN)
    parts = [*saved, "", *kept, "", *held, "", *ways]
    return "\n".join([before + BEGIN, "", *parts, "", END + rest.partition(END)[2]])


def study() -> bool:
    """Whether the study's page has the words of its template, whatever its numbers."""
    words = re.split(r"\{\w+\}", (HERE / "study_template.txt").read_text())
    pattern = r"[\s\S]*?".join(map(re.escape, words))
    return re.fullmatch(pattern, (HERE / "study.md").read_text()) is not None


def figure(path: Path) -> None:
    """Axes of the image on the left, of the metres on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(drawing)
    pixels, metres = drawing.subplots(1, 2)
    for i in range(4):
        for j in range(3):
            pixels.add_patch(_square(i, j))
            pixels.plot(i + 0.5, j + 0.5, ".", color="0.6", markersize=3)
    pixels.annotate("(0, 0): corner of the picture", (0, 0), (0.3, -0.55), arrowprops=_arrow())
    pixels.annotate(
        "(0.5, 0.5): centre of its\nfirst pixel", (0.5, 0.5), (1.3, 1.7), arrowprops=_arrow()
    )
    pixels.set(xlim=(-0.6, 5.2), ylim=(3.4, -1), title="pixels: x right, y down")
    arrows = {"x right": (1, 0), "y down": (0, -1), "z away from\nthe camera": (0.6, 0.5)}
    for name, (x, y) in arrows.items():
        metres.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "linewidth": 2})
        metres.annotate(name, (x * 1.12, y * 1.12), ha="left", va="center")
    metres.plot(0, 0, "o", color="#D55E00")
    metres.annotate("middle of the hips", (0, 0), (-1.25, 0.1))
    metres.set(xlim=(-1.4, 1.9), ylim=(-1.3, 0.9), title="metres from the hips", aspect="equal")
    for axes in (pixels, metres):
        axes.set_axis_off()
    drawing.savefig(path, dpi=110)


def _square(column: int, row: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((column, row), 1, 1, fill=False, edgecolor="0.6")


def _arrow() -> dict[str, object]:
    return {"arrowstyle": "->", "color": "#0072B2"}


PAGES = {"models.md": models, "angles.md": angles, "decoding.md": decoding.page}
PAGES |= {"files.md": files, "../src/vitruvian/__init__.pyi": stub}
FIGURES = {"conventions.png": figure, "decoding.png": decoding.figure}
FIGURES |= {"view3d.png": view3d.picture, "view3d.gif": view3d.moving}

if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        for name, page in PAGES.items():
            file = (HERE / name).resolve()
            if not file.is_file() or file.read_text() != page():
                sys.exit(
                    f"{file.relative_to(HERE.parent)} is out of date; run: python docs/generate.py"
                )
        if not study():
            sys.exit(
                "docs/study.md differs from docs/study_template.txt; change both, or docs/study.py"
            )
    else:
        for name, page in PAGES.items():
            (HERE / name).write_text(page())
        for name, draw in FIGURES.items():
            draw(HERE / name)
