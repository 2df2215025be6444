"""Render a body mesh by ray casting, with `warp`, on the CPU.

Clothes are colours and patterns on the body's skin, slightly inflated and uneven; light is
directional plus ambient, with self-shadowing.
"""

# Warp kernels are written in a language of their own that looks like Python.
# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import warp as wp

from vitruvian.training.synth.bodies import PARTS

FAR = 100.0  # maximum ray length, metres


@wp.kernel
def _cast(
    mesh: wp.uint64,
    start: wp.array(dtype=wp.vec3f),
    toward: wp.array(dtype=wp.vec3f),
    face: wp.array(dtype=wp.int32),
    far: wp.array(dtype=wp.float32),
):
    i = wp.tid()
    hit = wp.mesh_query_ray(mesh, start[i], toward[i], FAR)
    face[i] = -1
    far[i] = FAR
    if hit.result:
        face[i] = hit.face
        far[i] = hit.t


class Mesh:
    """A triangle mesh for ray casting."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """(V, 3) float32 and (F, 3) int32."""
        self.vertices, self.faces = vertices, faces
        points = wp.array(vertices, dtype=wp.vec3f, device="cpu")
        corners = wp.array(faces.ravel(), dtype=wp.int32, device="cpu")
        self.mesh = wp.Mesh(points=points, indices=corners)

    def cast(self, start: np.ndarray, toward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the first intersection of rays with the mesh.

        Args:
            start: (R, 3) ray origins.
            toward: (R, 3) unit direction vectors.

        Returns:
            (R,) face index, -1 for none; (R,) distance, 100 m for none.
        """
        face = wp.zeros(len(start), dtype=wp.int32, device="cpu")
        far = wp.zeros(len(start), dtype=wp.float32, device="cpu")
        rays = [
            wp.array(np.ascontiguousarray(part, np.float32), dtype=wp.vec3f, device="cpu")
            for part in (start, toward)
        ]
        wp.launch(_cast, len(start), inputs=[self.mesh.id, *rays, face, far], device="cpu")
        return face.numpy(), far.numpy()

    def normals(self) -> np.ndarray:
        """(V, 3) outward unit normals, averaged over the faces of each vertex."""
        corners = self.vertices[self.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        total = np.zeros((3, len(self.vertices)))
        for axis in range(3):
            for corner in range(3):
                total[axis] += np.bincount(
                    self.faces[:, corner], across[:, axis], len(self.vertices)
                )
        size = np.maximum(np.linalg.norm(total, axis=0), 1e-12)
        return (total / size).T.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Appearance:
    """Clothes, hair and lighting."""

    colour: np.ndarray  # (V, 3) float32 0..1, linear light
    offset: np.ndarray  # (V,) float32 metres from the skin to the surface of clothes and hair
    light: np.ndarray  # (3,) unit vector toward the light, camera axes
    ambient: float  # 0..1 share of ambient light
    strength: float


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) RGB 0..1."""
    colour = np.array([[[hue * 360, saturation, value]]], np.float32)
    return cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0]


def _noise(at: np.ndarray, waves: float, rng: np.random.Generator) -> np.ndarray:
    """(V,) about -1..1, smooth in space: a few waves of about this many radians per metre."""
    total = np.zeros(len(at), np.float32)
    for _ in range(4):
        wave = rng.normal(0, waves, 3)
        total += np.sin(at @ wave + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    return total / 2.5


def _pattern(at: np.ndarray, colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(V, 3) colours of one cloth: plain, striped, checked, or spotted."""
    kind, period = rng.random(), rng.uniform(0.02, 0.12)
    if kind < 0.55:
        mix = np.zeros(len(at))
    elif kind < 0.7:
        mix = (np.sin(at[:, 2] * 2 * np.pi / period) > rng.uniform(-0.5, 0.5)).astype(float)
    elif kind < 0.8:
        mix = (np.sin(at[:, 0] * 2 * np.pi / period) > rng.uniform(-0.5, 0.5)).astype(float)
    elif kind < 0.88:
        waves = np.sin(at[:, [0, 2]] * 2 * np.pi / period) > 0
        mix = waves.mean(axis=1)
    else:
        mix = (_noise(at, 60, rng) > 0.3).astype(float)
    return colours[0] + (colours[1] - colours[0]) * mix[:, None]


def random_appearance(rest: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> Appearance:
    """Random clothes and lighting.

    Args:
        rest: (V, 3) metres, the body at rest, so that patterns and folds follow the cloth.
        part: (V,) indices in `bodies.PARTS`.
        rng: random number generator.
    """
    tone = rng.beta(2, 1.6)  # of the skin: 1 is light
    skin = np.array([0.07, 0.035, 0.02]) * (1 - tone) + np.array([0.75, 0.5, 0.38]) * tone
    skin = skin * rng.uniform(0.85, 1.15, 3)

    def cloth() -> np.ndarray:
        grey = rng.random() < 0.35
        pick = [
            _hsv(rng.random(), 0 if grey else rng.beta(2, 2), rng.beta(1.3, 1.3)) for _ in range(2)
        ]
        return _pattern(rest, np.array(pick) ** 2.2 * 0.9, rng)

    shirt, trousers, shoe = cloth(), cloth(), cloth()
    if rng.random() < 0.12:
        trousers = shirt  # overall, dress, swimsuit
    hair = _hsv(rng.uniform(0.03, 0.12), rng.uniform(0.1, 0.8), rng.beta(1, 2.5)) ** 2.2
    bare = {
        "sleeve": rng.random() < 0.12,
        "cuff": rng.random() < 0.55,
        "shirt": rng.random() < 0.04,
        "leg": rng.random() < 0.3,
        "trousers": rng.random() < 0.02,
        "shoe": rng.random() < 0.12,
        "hair": rng.random() < 0.08,
    }
    bare["cuff"] |= bare["sleeve"]
    bare["sleeve"] |= bare["shirt"]
    worn = {"shirt": shirt, "sleeve": shirt, "cuff": shirt}
    worn |= {"trousers": trousers, "leg": trousers, "shoe": shoe}
    loose = {name: rng.uniform(0.003, 0.02) for name in ("shirt", "trousers")}
    loose |= {"sleeve": loose["shirt"], "cuff": loose["shirt"], "leg": loose["trousers"]}
    loose |= {"shoe": 0.008, "hair": rng.uniform(0.005, 0.045)}
    colour = np.tile(skin, (len(rest), 1))
    offset = np.zeros(len(rest))
    for number, name in enumerate(PARTS):
        if name == "skin" or bare[name]:
            continue
        here = part == number
        colour[here] = worn[name][here] if name in worn else hair
        offset[here] = loose[name]
    offset *= 1 + 0.5 * _noise(rest, 25, rng)
    # One light, more often from above; up is -y.
    light = rng.normal(0, 1, 3) + np.array([0, -1.0, -0.8])
    return Appearance(
        np.clip(colour, 0.005, 1).astype(np.float32),
        np.maximum(offset, 0).astype(np.float32),
        (light / np.linalg.norm(light)).astype(np.float32),
        float(rng.uniform(0.25, 0.8)),
        float(rng.uniform(0.7, 1.4)),
    )


def render_body(
    vertices: np.ndarray,
    faces: np.ndarray,
    look: Appearance,
    matrix: np.ndarray,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, Mesh]:
    """Render a body without background.

    Args:
        vertices: (V, 3) float32 metres from the camera.
        faces: (F, 3) int32.
        look: clothes and lighting.
        matrix: (3, 3) intrinsics; the centre of the top-left pixel is (0.5, 0.5).
        size: width and height, pixels.

    Returns:
        (H, W, 3) float32 linear light, (H, W) float32 coverage of each pixel (alpha), and the
        mesh that was rendered.
    """
    bare = Mesh(vertices, faces)
    mesh = Mesh(vertices + bare.normals() * look.offset[:, None], faces)
    width, height = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixel = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    toward = pixel @ np.linalg.inv(matrix).T
    toward = (toward / np.linalg.norm(toward, axis=-1, keepdims=True)).astype(np.float32)
    face, far = mesh.cast(np.zeros_like(toward), toward)
    hit = np.flatnonzero(face >= 0)
    rgb = np.zeros((height * width, 3), np.float32)
    if len(hit):
        point = toward[hit] * far[hit, None]
        corner = faces[face[hit]]
        share = _shares(mesh.vertices[corner], point)[..., None]
        normal = (mesh.normals()[corner] * share).sum(axis=1)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
        lit = np.maximum(normal @ look.light, 0)
        # Shadow rays start a centimetre out, past the body's own folds.
        shadow, _ = mesh.cast(point + 0.012 * normal, np.tile(look.light, (len(point), 1)))
        lit = lit * (shadow < 0)
        sky = 0.75 - 0.25 * normal[:, 1]  # more from above
        bright = look.strength * (look.ambient * sky + (1 - look.ambient) * 1.4 * lit)
        rgb[hit] = (look.colour[corner] * share).sum(axis=1) * bright[:, None]
    covers = (face >= 0).astype(np.float32).reshape(height, width)
    return rgb.reshape(height, width, 3), covers, mesh


def _shares(corners: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(R, 3) barycentric coordinates of (R, 3) points on triangles of (R, 3, 3) corners."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, point - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    below = np.maximum(d00 * d11 - d01 * d01, 1e-20)
    v = (d11 * d20 - d01 * d21) / below
    w = (d00 * d21 - d01 * d20) / below
    return np.clip(np.stack([1 - v - w, v, w], axis=-1), 0, 1).astype(np.float32)
