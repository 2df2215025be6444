"""Small networks of MeTRAbs, and archives as its authors pack them."""

import gzip
import io
import pickle
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = """\
# as the authors write it
defaults:
  - _self_
backbone: 'efficientnetv2-s'   # informational
efficientnet_size: s
proc_side: 256
centered_stride: true
legacy_centered_stride_bug: false
stride_train: 32
stride_test: 32
depth: 8
box_size_mm: 2200
weak_perspective: false
mix_3d_inside_fov: 0.5
affine_weights: null
transform_coords: false
predict_all_and_latents: false
paths:
  proc_side: 7
"""


def small(metrabs: Any, kind: str, points: int = 3, centered: bool = True) -> Any:
    """A narrow network; its shape."""
    from vitruvian.exports.networks.backbones import ResNet, Vit
    from vitruvian.exports.networks.efficientnet import EfficientNetV2

    backbone = {
        "efficientnetv2": EfficientNetV2((8, 8, 8, 16, 16, 16, 24), (1, 2, 1, 2, 1, 2), 32),
        "efficientnetv2 of 7 stages": EfficientNetV2((8,) * 8, (2, 1, 1, 1, 1, 1, 1), 16),
        "resnet": ResNet((1, 1, 2, 2), 8),
        "vit of 16": Vit(16, 64, 2),
        "vit of 32": Vit(32, 64, 1),
    }[kind]
    return metrabs.MetrabsShape(backbone, points, 4, centered)


def made(torch: Any, metrabs: Any, kind: str, **shape: Any) -> Any:
    """A narrow network whose norms have seen something, so that folding them is no matter of 1."""
    torch.manual_seed(0)
    network = metrabs.Metrabs(small(metrabs, kind, **shape))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def arrays(network: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def authors(metrabs_golden: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The logits of the file, as our heads give them."""
    logits = metrabs_golden["logits"]
    deep = logits[:, 24:].reshape(2, 8, 24, 8, 8)
    return logits[:, :24], np.ascontiguousarray(np.moveaxis(deep, 1, 2))


POINTS = ("pelv_a", "lhip_a", "rhip_a")


EDGES = np.array([[0, 1], [0, 2]])


# All joints: the three points, and the middle of the hips.
TRANSFORM = np.array([[1, 0, 0, 0], [0, 1, 0, 0.5], [0, 0, 1, 0.5]], np.float32)


ROOT = "metrabs_eff2s_pytorch/"


def npy(value: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, value, **options)
    return out.getvalue()


def npz(**values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=True, **values)
    return out.getvalue()


def tensors_file(torch: Any, tensors: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    torch.save({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}, out)
    return out.getvalue()


def files(ckpt: bytes, **other: bytes | None) -> dict[str, bytes]:
    """The members of an archive; `config=` and so on replaces one, None leaves it out."""
    given: dict[str, bytes | None] = {
        "config": CONFIG.encode(),
        "info": npz(joint_names=np.array(POINTS), joint_edges=EDGES),
        "transform": npy(TRANSFORM),
        "skeletons": pickle.dumps(INFOS),
        "weights": ckpt,
    } | other
    names = {
        "config": "config.yaml",
        "info": "joint_info.npz",
        "transform": "joint_transform_matrix.npy",
        "skeletons": "skeleton_infos.pkl",
        "weights": "ckpt.pt",
    }
    return {ROOT + names[key]: value for key, value in given.items() if value is not None}


def pack(file: Path, members: dict[str, bytes], *more: tarfile.TarInfo, **options: Any) -> Path:
    """A .tar.gz as `tar czf` makes one."""
    with (
        gzip.open(file, "wb", compresslevel=1) as stream,
        tarfile.open(fileobj=stream, mode="w", **options) as out,
    ):
        folder = tarfile.TarInfo(ROOT.rstrip("/"))
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), time.time()  # a fraction: an extended header
            out.addfile(info, io.BytesIO(data))
        for info in more:
            out.addfile(info)
    return file


INFOS: dict[str, Any] = {
    "": {"indices": [0, 1, 2, 3], "names": [*POINTS, "pelv_k"], "edges": [(0, 1), (0, 2)]},
    "toy_3": {
        "indices": np.array([3, 2, 1]),
        "names": np.array(["pelv", "rhip", "lhip"]),
        "edges": np.array([[0, 1], [0, 2]]),
    },
}
