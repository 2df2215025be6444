"""Synthetic people: what is written of them is what is drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vitruvian.body.skeletons import BLAZEPOSE33, HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load
from vitruvian.models.ready import pull
from vitruvian.network.openvino import OpenVino

torch = pytest.importorskip("torch")
pytest.importorskip("anny")

from vitruvian.training.data import labelled, people3d, teacher  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.synth import postures, render, synth  # noqa: E402
from vitruvian.training.synth.bodies import PARTS, BodyModel  # noqa: E402
from vitruvian.training.tasks import vitruvian3d  # noqa: E402

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def studio():
    return synth.Studio()


@pytest.fixture(scope="module")
def bodies(studio) -> BodyModel:
    return studio.bodies


def is_rotation(matrix):
    return np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9) and np.linalg.det(matrix) > 0


def angle(a, b):
    cos = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def test_the_shortest_turn_between_two_directions_gets_there():
    rng = RNG(0)
    for _ in range(50):
        a, b = postures.normalize(rng.normal(size=(2, 3)))
        turn = postures.rotation_between(a, b)
        assert is_rotation(turn)
        np.testing.assert_allclose(turn @ a, b, atol=1e-9)
        assert np.trace(turn) == pytest.approx(1 + 2 * a @ b)
    up = np.array([0, 0, 1.0])
    np.testing.assert_allclose(postures.rotation_between(up, -up) @ up, -up, atol=1e-9)


def test_halfway_twice_is_the_whole_way():
    rng = RNG(1)
    a, b = (
        postures.rotation_between(*postures.normalize(rng.normal(size=(2, 3)))) for _ in range(2)
    )
    half = postures.interpolate_rotation(a, b, 0.5)
    np.testing.assert_allclose(half @ a.T @ half, b, atol=1e-9)


def test_postures_by_chance_are_postures():
    for seed in range(60):
        posture = postures.random_posture(RNG(seed))
        assert all(is_rotation(part) for part in (posture.hips, posture.chest, posture.head))
        np.testing.assert_allclose(np.linalg.norm(posture.limbs, axis=-1), 1, atol=1e-6)


def test_mirroring_a_posture_twice_is_the_same():
    posture = postures.random_posture(RNG(4))
    twice = postures.mirror_posture(postures.mirror_posture(posture))
    np.testing.assert_allclose(twice.limbs, posture.limbs)
    np.testing.assert_allclose(twice.head, posture.head)


def test_a_body_holds_its_limbs_as_it_is_told(bodies):
    rng = RNG(5)
    ends = {
        0: ("shoulder", "elbow"),
        1: ("elbow", "wrist"),
        3: ("hip", "knee"),
        4: ("knee", "ankle"),
    }
    off = []
    for _ in range(12):
        posture = postures.random_posture(rng)
        body = bodies.posed(posture, bodies.shape(rng)[1])
        for limb, (start, end) in ends.items():
            for side, name in enumerate(("left", "right")):
                at = [body.keypoints[HALPE26[f"{name}_{joint}"]] for joint in (start, end)]
                off.append(angle(at[1] - at[0], posture.limbs[limb, side]))
    # The model's joints are not where annotators see them: some degrees are right.
    assert np.median(off) < 6
    assert max(off) < 30


def test_a_posture_read_from_landmarks_is_the_one_they_were_made_of(bodies):
    posture = postures.random_posture(RNG(6)).turned(postures.rotation_about(postures.UP, 0.7))
    body = bodies.posed(posture, bodies.shape(RNG(6))[1])
    xyz = np.full((33, 3), 1.0)
    names = {name: name for name in HALPE26.keypoints if name in BLAZEPOSE33.keypoints}
    names |= {f"{side}_foot_index": f"{side}_big_toe" for side in ("left", "right")}
    for blaze, halpe in names.items():
        xyz[BLAZEPOSE33[blaze]] = postures.TO_CAMERA @ body.keypoints[HALPE26[halpe]]
    for side in (0, 1):
        wrist = BLAZEPOSE33["left_wrist" if side == 0 else "right_wrist"]
        hand = postures.TO_CAMERA @ posture.limbs[2, side] * 0.1
        xyz[BLAZEPOSE33["left_index" if side == 0 else "right_index"]] = xyz[wrist] + hand
    found = postures.posture_from_landmarks(xyz)
    assert found is not None
    assert angle(found.limbs[:5], posture.limbs[:5]).max() < 30
    assert np.median(angle(found.limbs, posture.limbs)) < 6
    for part in ("hips", "chest", "head"):
        turn = getattr(found, part) @ getattr(posture, part).T
        assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 30


def test_landmarks_without_length_are_no_posture():
    assert postures.posture_from_landmarks(np.zeros((33, 3))) is None
    assert postures.posture_from_landmarks(np.full((33, 3), np.nan)) is None


def test_adults_are_as_tall_as_adults(bodies):
    rng = RNG(7)
    heights = [
        bodies.posed(postures.random_posture(rng), shape).height
        for age, shape in (bodies.shape(rng) for _ in range(40))
        if age >= 18
    ]
    assert 1.55 < np.median(heights) < 1.8
    assert min(heights) > 1.3
    assert max(heights) < 2.1


def test_every_part_of_the_body_has_some_of_it(bodies):
    assert (np.bincount(bodies.part, minlength=len(PARTS)) > 100).all()


def test_a_square_is_drawn_where_it_is_projected():
    # Two triangles, 0.96 m wide, 4 m away: at 100 px of focal length 24 pixels.
    corners = 0.48 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    corners[:, 2] = 4
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    matrix = Camera.with_focal((64, 48), 100.0).matrix
    plain = render.Appearance(
        np.full((4, 3), 0.5, np.float32), np.zeros(4, np.float32), np.array([0, 0, -1.0]), 0.5, 1.0
    )
    rgb, covers, _ = render.render_body(corners, faces, plain, matrix, (64, 48))
    rows, columns = np.nonzero(covers)
    assert (rows.min(), rows.max()) == (12, 35)
    assert (columns.min(), columns.max()) == (20, 43)
    assert rgb[24, 32].min() > 0.2
    assert rgb[0, 0].max() == 0


def test_what_is_written_is_what_is_seen(studio):
    made = studio.make(RNG([3, 1]))
    np.testing.assert_allclose(made.camera.project(made.xyz), made.xy, atol=1e-3)
    assert (made.xyz[:, 2] > 0.3).all()
    assert made.rgb.shape == (synth.SIZE, synth.SIZE, 3)
    inside = np.all((made.xy >= 0) & (made.xy < synth.SIZE), axis=-1)
    assert not (made.seen & ~inside).any()
    again = studio.make(RNG([3, 1]))
    np.testing.assert_array_equal(made.rgb, again.rgb)
    np.testing.assert_array_equal(made.xyz, again.xyz)


def test_a_joint_behind_the_body_is_hidden(studio):
    seen = [studio.make(RNG([5, i])).seen for i in range(8)]
    share = np.mean(seen)
    assert 0.4 < share < 0.98


def test_a_set_goes_on_where_it_stopped(tmp_path, studio, monkeypatch):
    monkeypatch.setattr(synth, "Studio", lambda *_: studio)
    table = synth.make_people(2, tmp_path / "a b", seed=9)
    first = table.read_text()
    synth.make_people(3, tmp_path / "a b", seed=9)
    lines = table.read_text().splitlines()
    assert len(lines) == 3
    assert table.read_text().startswith(first)
    row = json.loads(lines[2])
    assert row["skeleton"] == "halpe26"
    picture = Frame.read(tmp_path / "a b" / "crops" / row["file"])
    assert picture.size == tuple(row["size"])
    camera = Camera(np.array(row["camera"]), picture.size)
    xy = camera.project(np.array(row["xyz"]))
    np.testing.assert_allclose(xy, np.array(row["keypoints"])[:, :2], atol=0.1)


def test_a_set_of_another_seed_is_left_alone(tmp_path, studio, monkeypatch):
    monkeypatch.setattr(synth, "Studio", lambda *_: studio)
    table = synth.make_people(1, tmp_path, seed=1)
    before = table.read_bytes()
    with pytest.raises(VitruvianError, match="another --seed"):
        synth.make_people(2, tmp_path, seed=2)
    assert table.read_bytes() == before


def test_a_line_that_was_cut_short_is_written_anew(tmp_path, studio, monkeypatch):
    monkeypatch.setattr(synth, "Studio", lambda *_: studio)
    table = synth.make_people(2, tmp_path, seed=9)
    whole = table.read_text()
    table.write_text(whole[:-40])
    assert synth.make_people(2, tmp_path, seed=9).read_text() == whole


def test_an_empty_folder_is_nothing_to_stand_before(tmp_path):
    with pytest.raises(VitruvianError, match="to use as backgrounds"):
        synth.background_pictures(tmp_path)


def test_only_postures_that_the_teacher_was_right_about_are_taken(tmp_path):
    xyz = RNG(0).normal(size=(3, 33, 3)).astype(np.float32)
    agrees = np.array([True, False, True])
    teacher.write(
        teacher.TeacherPoses(xyz, np.ones((3, 33), np.float32), agrees), tmp_path / "a.npz"
    )
    np.testing.assert_array_equal(synth.read_postures(tmp_path / "a.npz"), xyz[agrees])
    with pytest.raises(VitruvianError, match="has 3 people, want 4"):
        teacher.read(tmp_path / "a.npz", 4)
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    with pytest.raises(VitruvianError, match="cannot read"):
        teacher.read(tmp_path / "b.npz")


def test_nobody_cannot_be_made(tmp_path):
    with pytest.raises(VitruvianError, match="--people is 0, want 1 or more"):
        synth.make_people(0, tmp_path)


@pytest.fixture(scope="module")
def made(studio, tmp_path_factory):
    """A folder of three synthetic people."""
    folder, rows = tmp_path_factory.mktemp("people"), []
    (folder / "crops").mkdir()
    import cv2

    for i, split in enumerate(("train", "train", "val")):
        one = studio.make(RNG([11, i]))
        rows.append(json.dumps(synth.people_row(one, f"{i}.jpg", split)))
        cv2.imwrite(str(folder / "crops" / f"{i}.jpg"), one.rgb[..., ::-1])
    (folder / "people.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def person(made):
    return people3d.read_synthetic(made, "train")[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_look_at_somebody_keeps_metres_and_pixels_together(person, seed):
    image, matrix, xy, xyz, crop = people3d.training_sample_3d(
        person, 192, people3d.Augment3D(), RNG(seed)
    )
    assert image.shape == (192, 192, 3)
    projected = xyz[:, :2] / xyz[:, 2:] @ matrix[:2, :2].T + matrix[:2, 2]
    np.testing.assert_allclose(projected, xy, atol=0.2)
    # Metres from the camera stay as many, whichever way it is turned.
    reach = np.sort(np.linalg.norm(person.xyz, axis=-1))
    np.testing.assert_allclose(np.sort(np.linalg.norm(xyz, axis=-1)), reach, rtol=1e-4)
    assert crop.size == (192, 192)


def test_someone_of_whom_only_2d_is_known_is_rolled_and_mirrored(person):
    taught = np.zeros((26, 3), np.float32)
    taught[HALPE26["left_wrist"]] = 1, 0, 0.5
    real = people3d.Person3D(person.jpeg, person.box, person.xy, taught, None)
    for seed in range(6):
        _, _, xy, xyz, crop = people3d.training_sample_3d(
            real, 192, people3d.Augment3D(), RNG(seed)
        )
        straight = crop.from_frame(person.xy)
        if np.allclose(xy, straight):
            arm = xyz[HALPE26["left_wrist"]]
        else:
            np.testing.assert_allclose(xy, straight[HALPE26.mirror])
            arm = xyz[HALPE26["right_wrist"]]
        assert arm[2] == pytest.approx(0.5)
        assert np.hypot(*arm[:2]) == pytest.approx(1)
        # What the crop shows to the right is to the right in metres too.
        middle = crop.from_frame(np.array([[160.0, 160.0], [170.0, 160.0]]))
        along = middle[1] - middle[0]
        np.testing.assert_allclose(arm[:2], along / np.linalg.norm(along), atol=0.02)


def test_a_step_of_training_makes_the_loss_smaller(person):
    recipe = vitruvian3d.Recipe3D()
    real = people3d.Person3D(person.jpeg, person.box, person.xy, person.xyz * 0 + 0.1, None)
    samples = [
        vitruvian3d.Sample3D(
            *people3d.training_sample_3d(each, 64, None, RNG(0))[:4], each is person, True
        )
        for each in (person, person, real)
    ]
    batch = vitruvian3d.collate_3d(samples)
    shape = vitruvian3d.metrabs.MetrabsShape.of("blazepose-full", 26)
    torch.manual_seed(0)
    network = vitruvian3d.metrabs.Metrabs(shape)
    volume = replace(vitruvian3d.VOLUME, side=64)
    optimiser = torch.optim.Adam(network.heatmap_heads.parameters(), 1e-2)
    found = []
    for _ in range(8):
        torch.manual_seed(1)
        flat, deep = network(batch["crops"].float() / 255)
        terms = vitruvian3d.training_loss_3d(recipe, flat, deep, batch, volume)
        assert set(terms) == {"shape", "seen", "place", "direct", "heat", "flat", "taught"}
        loss = torch.stack([term.total / term.number for term in terms.values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert np.isfinite(found).all()
    assert found[-1] < found[0]


@pytest.mark.weights
def test_a_run_on_synthetic_people_is_a_model(made, tmp_path, blazepose):
    """Predictions of the loop are about those of the exported model with the same boxes."""
    blazepose("full")
    data = labelled.read_data(made)
    recipe = vitruvian3d.Recipe3D().with_settings(
        [
            *("batch=2", "epochs=2", "steps=2", "head_epochs=1", "absolute_from=1", "real=0"),
            *("precision=f32", "resamples=10", "validate_every=1"),
        ]
    )
    task = vitruvian3d.Vitruvian3DTask(recipe, "vitruvian-3d", data)
    assert len(task.order(0)) == 4
    progress = fit(task, tmp_path / "run", say=lambda _: None)
    assert progress.lines[0]["losses"]["place"] == 0 < progress.lines[1]["losses"]["place"]
    assert 0 < progress.lines[-1]["figures"]["MPJPE"][0] < 3
    assert load(str(tmp_path / "run")).name == "run"


@pytest.mark.weights
def test_validation_looks_at_people_as_inference_does(made):
    """With the released network: the same metres, but for what sampling the crop differs in."""
    (file,) = (file for file in pull("vitruvian-3d") if file.name == "vitruvian-3d.onnx")

    class Released(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.any, self.run = torch.nn.Parameter(torch.zeros(1)), OpenVino(file)

        def forward(self, x):
            return tuple(map(torch.from_numpy, self.run(x.permute(0, 2, 3, 1).numpy())))

    (person,) = people3d.people_in_metres(labelled.read_data(made).validation)
    (found,) = vitruvian3d.predict_people_3d(Released(), [person])
    frame = Frame(person.rgb, camera=person.camera)
    box = Regions.boxes(person.box[None], np.ones(1, np.float32))
    (poses,) = load("vitruvian-3d")([frame], [box])
    assert found.xyz is not None
    off = np.linalg.norm(poses.xyz - found.xyz, axis=-1)
    assert np.median(off) < 0.03
