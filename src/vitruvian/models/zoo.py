"""Model catalogue: files, download sources and licences. To add a model, add a row."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vitruvian.errors import unknown
from vitruvian.weights.download import File, WeightSource
from vitruvian.weights.packages import Package

_WHEEL = Package("pypi", "mediapipe", "0.10.21", 35_622_638)
_NPM = Package("npm", "@mediapipe/pose", "0.5.1675469404", 40_985_403)


def _task(size: str) -> Package:
    """MediaPipe's bundle, the last resort: no published hash of its contents."""
    bucket = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
    address = f"{bucket}/pose_landmarker_{size}/float16/1/pose_landmarker_{size}.task"
    return Package("url", address, "", None)


def _landmarks(size: str, sha256: str, size_bytes: int) -> File:
    name = f"pose_landmark_{size}.tflite"
    wheel = (
        [WeightSource(_WHEEL, f"mediapipe/modules/pose_landmark/{name}")] if size == "full" else []
    )
    npm = WeightSource(_NPM, f"package/{name}")
    task = WeightSource(_task(size), "pose_landmarks_detector.tflite", checked=False)
    return File(name, sha256, size_bytes, (*wheel, npm, task))


DETECTOR = File(
    "pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    2_959_046,
    (
        WeightSource(_WHEEL, "mediapipe/modules/pose_detection/pose_detection.tflite"),
        WeightSource(_task("full"), "pose_detector.tflite", checked=False),
    ),
)


def _holistic_file(name: str, sha256: str, size_bytes: int) -> File:
    """A network of the hands or the face; its name begins with that of its module."""
    folder, file = name.split("/")
    return File(
        file, sha256, size_bytes, (WeightSource(_WHEEL, f"mediapipe/modules/{folder}/{file}"),)
    )


# Networks of MediaPipe Holistic: of the hands, of faces, with and without refined eyes and lips.
HAND_FILES = (
    _holistic_file(
        "holistic_landmark/hand_recrop.tflite",
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        123_792,
    ),
    _holistic_file(
        "hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        5_478_917,
    ),
)
FACE_DETECTOR = _holistic_file(
    "face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    229_714,
)
FACE_MESH = _holistic_file(
    "face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    1_242_398,
)
REFINED_FACE_MESH = _holistic_file(
    "face_landmark/face_landmark_with_attention.tflite",
    "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    2_495_106,
)


_OBJECTRON = Package("npm", "@mediapipe/objectron", "0.4.1675468480", 32_667_233)
_SSD = "object_detection_ssd_mobilenetv2_oidv4_fp16.tflite"
# Several files packed into one; its loader.js has the table of contents.
_PACKED = "package/objectron_solution_packed_assets.data"


_RESEARCH = "AlphaPose non-commercial research licence"
_NON_COMMERCIAL = "non-commercial use only"
# Licence terms to be shown before the weights are used.
TERMS = {
    _RESEARCH: (
        "for academic, non-profit, non-commercial internal research only; not to be "
        "redistributed, sublicensed or sold; full text: https://github.com/MVIG-SJTU/AlphaPose, "
        "LICENSE"
    ),
    _NON_COMMERCIAL: (
        "stated by the authors for all their weights, because of the training data: "
        "https://github.com/isarandi/metrabs"
    ),
}


@dataclass(frozen=True)
class Entry:
    """A model."""

    name: str
    family: str
    skeleton: str
    gives: str  # contents of its poses
    # BlazePose: detector, landmarks, those of hands and face if any. AlphaPose: detector, heat
    # maps, refinement if any. MeTRAbs: detector, network.
    files: tuple[File, ...]
    licence: str  # of the weights
    about: str
    decode: str | None = None  # heat map decoder, if the checkpoint does not tell: AlphaPose

    @property
    def notice(self) -> str:
        """Licence notice to show on download; empty for Apache-2.0."""
        if self.licence == "Apache-2.0":
            return ""
        terms = TERMS.get(self.licence, "see the terms of their authors")
        return f"the weights of {self.name} have the licence {self.licence}: {terms}"


def _blazepose(size: str, landmarks: File, about: str) -> Entry:
    files = (DETECTOR, landmarks)
    gives = "2D pixels, 3D metres from the hips, masks"
    return Entry(f"blazepose-{size}", "blazepose", "blazepose33", gives, files, "Apache-2.0", about)


def _holistic(name: str, body: Entry, about: str) -> Entry:
    """Body, hands and face: MediaPipe Holistic."""
    files = (*body.files, *HAND_FILES, FACE_DETECTOR, FACE_MESH, REFINED_FACE_MESH)
    gives = f"{body.gives}; hands and faces"
    return replace(body, name=name, skeleton="holistic543", gives=gives, files=files, about=about)


def _yolo(size: str, about: str) -> Entry:
    """A checkpoint of Ultralytics' release; no published hashes."""
    scale, _, p6 = size.partition("-")
    name = f"yolov8{scale}-pose{'-' + p6 if p6 else ''}"
    release = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
    package = Package("url", f"{release}/{name}.pt", "", None)
    file = File(f"{name}.pt", None, None, (WeightSource(package, ""),))
    gives = "2D pixels and bounding boxes"
    return Entry(name, "yolopose", "coco17", gives, (file,), "AGPL-3.0", about)


# AlphaPose's model zoo (specs/alphapose.md 1): name, skeleton, decoder, Google Drive id, and AP
# published by its authors, with flip test: on COCO, Halpe, COCO-WholeBody.
_ZOO = """
fastpose-r50                           coco17       argmax   1kQhnMRURFiy7NsdS8EFL-8vtqEXOgECn 72.0
fastpose-dcn-r50                       coco17       argmax   1zUz9YIk6eALCbZrukxD7kQ554nhi1pVv 72.8
fastpose-duc-r152                      coco17       argmax   1kfyedqyn8exjbbNmYq8XGd2EooQjPtF9 73.3
fastpose-duc-shuffle-r50               coco17       argmax   1RlnL_YnnmgOM4L9L2szFdUnTjwptqtL- 72.4
simplepose-r50                         coco17       argmax   1nxyfUbvWDaaT9eDM7Y31ScSVPlGy6gfw 70.6
fastpose-r50-halpe26                   halpe26      argmax   1S-ROA28de-1zvLv-hVfPFJ5tFBYOSITb -
fastpose-r50-multi136                  halpe136     integral 1Bb3kPoFFt-M0Y3ceqNO8DTXi1iNDd4gI 50.1
fastpose-dcn-r50-multi136              halpe136     combined 1wX1Z2ZOoysgSNovlgiEtJKpbR8tUBWYR 49.8
fastpose-dcn-r50-halpe68               halpe68      combined 14Qn9gxm-EVzqFi7v25Y5TqKIvrFLy_BR -
fastpose-dcn-r50-hand21                hand21       integral 1MntndimlUP5Hxef1UN9ZDMBVglfA606J -
fastpose-r50-halpe136-heatmap          halpe136     argmax   1LbKM2TOxKdpIZoDxCo6ldmOf62pw6z8A 41.7
fastpose-r50-halpe136                  halpe136     integral 1_10JYI3O-VbrAiONfL36UxLf9UXMoUYA 44.1
fastpose-dcn-r50-halpe136              halpe136     integral 1S49aDYGVjEJpx4MnFu7TFzzsbp7Si6h_ 46.2
fastpose-dcn-r50-halpe136-combined     halpe136     combined 1jt-V1Zh-eYgX_-2mrBTV9Ip6z7JjApEC 45.4
fastpose-dcn-r50-halpe136-hands        halpe136     combined 1nL2KYqxSnSZH8c7PRr_d9KEFxCEiyjAR 47.2
fastpose-r152-halpe136                 halpe136     integral 1zZotfE3WsBe1BxKimlK56wwJuK9E4EDs 45.1
fastpose-r50-wholebody133              wholebody133 integral 1WQlwRw7KiKBI2Wyb-lvnQX29R29NbhLz 55.4
fastpose-dcn-r50-wholebody133          wholebody133 integral 10MgWM4rMORVaHNPyswal7RtrsehVV79X 57.7
fastpose-r50-wholebody133-combined     wholebody133 combined 14wrc9q96bYqUc2efT8p8XzdTvLm-LwUT 57.8
fastpose-dcn-r50-wholebody133-combined wholebody133 combined 1aP0nYujw32H-VoJBVsXS-DsBBY-UwI8Y 58.2
fastpose-r152-wholebody133             wholebody133 integral 1ktBwkG1KL3_iFbPXAh5gua0zX92p-1KV 56.9
"""


def _alphapose(net: str, skeleton: str, decode: str, drive: str, ap: str) -> Entry:
    """A checkpoint of AlphaPose's model zoo; no published hashes."""
    about = "no AP published" if ap == "-" else f"AP {ap} (authors)"
    name = f"alphapose-{net}"
    file = File(f"{name}.pth", None, None, (WeightSource(Package("gdrive", drive, "", None), ""),))
    files, gives = (DETECTOR, file), "2D pixels"
    return Entry(name, "alphapose", skeleton, gives, files, _RESEARCH, about, decode)


# MeTRAbs' PyTorch archives (specs/metrabs.md 6): name, short URL, authors' name, description.
_BODIES = """
metrabs-s     metrabs_s_pt     eff2s_384px_800k_28ds  small, 384 pixels
metrabs-s-256 metrabs_s_256_pt eff2s_256px_1600k_28ds small, 256 pixels: the fastest
metrabs-l     metrabs_l_pt     eff2l_384px_800k_28ds  large, 384 pixels
"""


def _metrabs(name: str, short: str, net: str, about: str) -> Entry:
    """An archive of MeTRAbs' authors; no published hashes."""
    package = Package("url", f"https://bit.ly/{short}", "", None)
    file = File(f"metrabs_{net}_pytorch.tar.gz", None, None, (WeightSource(package, ""),))
    gives = "2D pixels, 3D metres from the camera"
    return Entry(name, "metrabs", "smpl_24", gives, (DETECTOR, file), _NON_COMMERCIAL, about)


# Shipped with vitruvian, in `weights/shipped`.
_OURS_3D = File(
    "vitruvian-3d.onnx",
    "3e5233014849c593e282238b235e8d085888961ae1dc208a1bfbebf0fd068b1c",
    5_852_120,
    (),
)
_OURS = (
    File(
        "vitruvian-2d.onnx",
        "f97a8a96a13ce8c78cc91f8076ce89d299898e95f9e4c73251cec87e0d55a66c",
        5_139_713,
        (),
    ),
    File(
        "vitruvian-2d-pga.onnx",
        "248720cce355ec6f4e598151b20710cb5c2c07db1bafa3b6ce7a85716dc7373a",
        141_492,
        (),
    ),
)

# Shipped as well.
_OURS_FIND = File(
    "vitruvian-find.onnx",
    "252394d8c618907dbbeb2a789a278b5a9be31d57f56baa5cc24c337d4a3d44d2",
    9_209_709,
    (),
)

# Person detectors that give no poses, for `find`.
FINDERS = {
    entry.name: entry
    for entry in (
        Entry(
            "vitruvian-find",
            "objectron",
            "",
            "bounding boxes of people, for --find",
            (_OURS_FIND,),
            "Apache-2.0",
            "our own, included:  docs/vitruvian-find.md",
        ),
        Entry(
            "objectron",
            "objectron",
            "",
            "bounding boxes of people, for --find",
            (
                File(
                    _SSD,
                    "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
                    9_987_728,
                    (WeightSource(_OBJECTRON, _PACKED, start=184),),
                ),
            ),
            "Apache-2.0",
            "MediaPipe Objectron's object detector",
        ),
    )
}
_BLAZEPOSE = (
    _blazepose(
        "lite",
        _landmarks(
            "lite",
            "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            2_819_824,
        ),
        "the fastest",
    ),
    _blazepose(
        "full",
        _landmarks(
            "full",
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            6_440_512,
        ),
        "the default",
    ),
    _blazepose(
        "heavy",
        _landmarks(
            "heavy",
            "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            27_709_200,
        ),
        "the most accurate",
    ),
)
CATALOGUE = {
    entry.name: entry
    for entry in (
        *_BLAZEPOSE,
        *(
            _holistic(name, body, f"MediaPipe Holistic, with the body of {body.name}")
            for name, body in zip(
                ("holistic-lite", "holistic", "holistic-heavy"), _BLAZEPOSE, strict=True
            )
        ),
        _yolo("n", "the smallest"),
        _yolo("s", "small"),
        _yolo("m", "middle"),
        _yolo("l", "large"),
        _yolo("x", "the largest for 640 pixels"),
        _yolo("x-p6", "the largest, for 1280 pixels"),
        Entry(
            "vitruvian-2d",
            "alphapose",
            "coco17",
            "2D pixels",
            (DETECTOR, *_OURS),
            "Apache-2.0",
            "our own, included:  docs/vitruvian-2d.md",
        ),
        Entry(
            "vitruvian-3d",
            "metrabs",
            "halpe26",
            "2D pixels, 3D metres from the camera",
            (DETECTOR, _OURS_3D),
            "Apache-2.0",
            "our own, included:  docs/vitruvian-3d.md",
        ),
        *(_alphapose(*row.split()) for row in _ZOO.strip().splitlines()),
        *(_metrabs(*row.split(maxsplit=3)) for row in _BODIES.strip().splitlines()),
    )
}
DEFAULT = "blazepose-full"
WHOLE = "holistic"  # the model of bodies, hands and faces
EVERYBODY = "vitruvian-find"  # the person detector that finds people at any distance


def entry(name: str) -> Entry:
    """The entry of a model or finder; `VitruvianError` suggests the nearest name if unknown."""
    rows = {**CATALOGUE, **FINDERS}
    if name not in rows:
        raise unknown("model", name, rows)
    return rows[name]


def shelf() -> list[File]:
    """All files of all models and finders, without duplicates."""
    rows = [*CATALOGUE.values(), *FINDERS.values()]
    return list({file.name: file for row in rows for file in row.files}.values())
