"""Text files as other programs write them, in all their variants."""

# As aniposelib 0.8.0 writes it (CameraGroup.dump): the name inside, no unit, no `fisheye`.
ANIPOSE = "".join(
    f'''[cam_{i}]
name = "{name}"
size = [ 640, 480,]
matrix = [ [ 500.0, 0.0, 320.0,], [ 0.0, 500.0, 240.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.0, 0.0, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.2, 0.0,]
translation = [ {i - 300.0}, 0.0, 2000.0,]

'''
    for i, name in enumerate(("left", "right"))
)


def joined(rows: list[str], end: str = "\n") -> str:
    return end.join(rows) + end


def european(rows: list[str]) -> str:
    return joined(rows).replace(",", ";").replace(".", ",").replace("v,mp4", "v.mp4")


SAVED = {
    "as written": joined,
    "a byte order mark": lambda rows: "\ufeff" + joined(rows),
    "CR LF": lambda rows: joined(rows, "\r\n"),
    "CR alone": lambda rows: joined(rows, "\r"),
    "capitals": lambda rows: joined(rows).replace("True", "TRUE").replace("False", "FALSE"),
    "German": lambda rows: european(rows).replace("True", "WAHR").replace("False", "FALSCH"),
    "semicolons": european,
    "tabs": lambda rows: joined(rows).replace(",", "\t"),
    "sep=": lambda rows: "sep=;\r\n" + european(rows),
    "quotes": lambda rows: joined(
        ['"' + row.replace(",", '","') + '"' for row in rows]
    ),
    "person 1.0": lambda rows: joined(
        [rows[0], *(",".join([*f[:3], f"{f[3]}.0", *f[4:]]) for f in
                    (row.split(",") for row in rows[1:]))]
    ),
    "index column": lambda rows: joined(
        [f",{rows[0]}", *(f"{i},{row}" for i, row in enumerate(rows[1:]))]
    ),
    "sorted by keypoint": lambda rows: joined(
        [rows[0], *sorted(rows[1:], key=lambda row: row.split(",")[4])]
    ),
    "last first": lambda rows: joined([rows[0], *reversed(rows[1:])]),
    "empty rows": lambda rows: joined([*rows, "," * 17, ""]),
    "NaN": lambda rows: joined([row.replace(",,", ",NaN,").replace(",,", ",nan,") for row in rows]),
    "fewer digits": lambda rows: joined(rows).replace("0.0333", "0.03").replace("0.0666", "0.07"),
}  # fmt: skip


KEYS = ("DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate")


ROWS = [[1, 0.0, 1, 2, 3, 4, 5, 6], [2, 0.01, 1.5, 2, 3, "", "", ""], [3, 0.02, 1, 2, 3, 4, 5, 6]]


def trc_text(
    rows=ROWS, names=("RASI", "LASI"), units="m", rate="100", part="\t", end="", x1=True, blank=True
) -> str:
    """A TRC file of two markers, written so or otherwise."""
    k = len(names)
    values = [rate, rate, len(rows), k, units, rate]
    head = [
        part.join(("PathFileType", "4", "(X/Y/Z)", "a.trc")),
        part.join(KEYS) + end,
        part.join(map(str, values)) + end,
        part.join(("Frame#", "Time", *(each for name in names for each in (name, "", "")))) + end,
    ]
    if x1:
        head.append(part * 2 + part.join(f"{a}{i}" for i in range(1, k + 1) for a in "XYZ") + end)
    lines = [part.join(map(str, row)) + end for row in rows]
    return "\n".join([*head, *([""] if blank else []), *lines]) + "\n"


SPACES = trc_text([[1, 0, 1, 2, 3, 4, 5, 6], [2, 0.01, 1.5, 2, 3, "nan", "nan", "nan"],
                   [3, 0.02, 1, 2, 3, 4, 5, 6]], part=" ", blank=False)  # fmt: skip


VARIANTS = {
    "OpenSim": trc_text(end="\t"),
    "Cortex, without the blank line": trc_text(blank=False),
    "without X1 Y1 Z1": trc_text(x1=False),
    "trailing tabs": trc_text(end="\t\t\t"),
    "commas": trc_text(part=","),
    "semicolons": trc_text(part=";"),
    "spaces": SPACES,
    "CRLF": trc_text().replace("\n", "\r\n"),
    "old Macintosh": trc_text().replace("\n", "\r"),
    "a byte order mark": "\ufeff" + trc_text(),
    "decimal commas": trc_text().replace("0.0", "0,0").replace("1.5", "1,5"),
    "no tabs at the end": "\n".join(line.rstrip("\t") for line in trc_text().split("\n")),
    "empty lines between": trc_text().replace("\n3\t", "\n\n3\t"),
    "NaN": trc_text([[*row[:5], *(each or "NaN" for each in row[5:])] for row in ROWS]),
    "units in words": trc_text(units="Meters"),
    "quoted": trc_text().replace("RASI", '"RASI"'),
}


ROTATIONS = "Zrotation Xrotation Yrotation"


ARMS = f"""HIERARCHY
ROOT Hips {{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition {ROTATIONS}
  JOINT Left Arm
  {{
    OFFSET 0.4 0.4 0
    CHANNELS 3 {ROTATIONS}
    End Site
    {{
      OFFSET 0 0.2 0
    }}
  }}
  JOINT\tLeft Leg
  {{
    OFFSET -0.4 0.4 0
    CHANNELS 3 zrotation XROTATION Yrotation
    End Site {{ OFFSET 0 0.2 0 }}
  }}
}}
MOTION
Frames: 1
Frame Time: 0.04
{"0 " * 12}
"""
