"""Training of BlazePose's landmark network: regions, labels, losses, a run, and its pipeline."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import vitruvian as vit
from mine import make_mine
from vitruvian.body.mapping import Mapping
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models.load import load, open_model
from vitruvian.models.top_down import TopDown
from vitruvian.sources.open import open_source, sample

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.networks import blazepose as networks  # noqa: E402
from vitruvian.training import losses_landmarks as losses  # noqa: E402
from vitruvian.training.data import aligned  # noqa: E402
from vitruvian.training.data.labelled import read_data  # noqa: E402
from vitruvian.training.data.people import Person2D  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.tasks import blazepose as tasks  # noqa: E402
from vitruvian.verbs.train import train  # noqa: E402

COCO = Mapping.of(COCO17, BLAZEPOSE33)
STILL = aligned.AlignmentAugment(0, 0, 0, 0, 0, 0, 0)
# A standing person, pixels: the right side of the body is on the left of the picture.
STANDING = np.array(
    [
        *[(100, 40), (104, 36), (96, 36), (110, 40), (90, 40)],  # head
        *[(120, 70), (80, 70), (130, 100), (70, 100), (130, 130), (70, 130)],  # arms
        *[(110, 140), (90, 140), (112, 190), (88, 190), (112, 240), (88, 240)],  # legs
    ],
    np.float32,
)


def standing(**changed) -> Person2D:
    """Whose picture holds its own coordinates: red is x, green is y."""
    y, x = np.mgrid[:256, :200].astype(np.uint8)
    rgb = np.stack([x, y, np.full_like(x, 128)], axis=-1)
    box = np.array([65, 25, 135, 250], np.float32)
    person = Person2D(rgb, box, 8000.0, STANDING, np.ones(17, bool), "standing.png")
    return replace(person, **changed)


def without(*names: str) -> np.ndarray:
    seen = np.ones(17, bool)
    seen[[COCO17[name] for name in names]] = False
    return seen


# Regions and labels


def test_the_labels_give_the_region_that_the_pipeline_would_take():
    labels = aligned.landmark_labels(standing(), COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    np.testing.assert_allclose(region.centre, [[100, 140]], atol=1e-4)
    np.testing.assert_allclose(region.angle, 0, atol=1e-6)
    farthest = np.hypot(10, 104)  # an eye is as far from the hips as this at most; the nose is 100
    assert region.size[0, 0] / 2 == pytest.approx(
        aligned.FARTHEST * np.linalg.norm(STANDING - (100, 140), axis=1).max(), rel=1e-5
    )
    assert region.size[0, 0] / 2 > farthest
    crop = aligned.crop_of(region)
    side = aligned.LANDMARK_SIDE
    hips, top = crop.from_frame(labels.xy[[aligned.HIPS, aligned.TOP]])
    np.testing.assert_allclose(hips, side / 2, atol=1e-3)
    np.testing.assert_allclose(top, [side / 2, side / 2 * (1 - 1 / 1.25)], atol=1e-3)


def test_a_lying_person_is_upright_in_the_crop():
    quarter = np.array([[0, -1], [1, 0]])  # clockwise: the head points right
    turned = ((STANDING - (100, 140)) @ quarter.T + (100, 140)).astype(np.float32)
    labels = aligned.landmark_labels(standing(xy=turned), COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    np.testing.assert_allclose(region.angle, np.pi / 2, atol=1e-5)
    crop = aligned.crop_of(region)
    upright = aligned.labelled_region(aligned.landmark_labels(standing(), COCO))
    assert upright is not None
    want = aligned.crop_of(upright).from_frame(STANDING)
    np.testing.assert_allclose(crop.from_frame(turned), want, atol=1e-2)


def test_without_hips_or_shoulders_the_labels_give_no_region():
    for name in ("left_hip", "right_shoulder"):
        labels = aligned.landmark_labels(standing(seen=without(name)), COCO)
        assert aligned.labelled_region(labels) is None
        assert np.isnan(labels.xy[[aligned.HIPS, aligned.TOP]]).all()
    folded = STANDING.copy()
    folded[5:7] = folded[11:13] - np.array([0, 2])  # from above: which way is up is not to be seen
    assert aligned.labelled_region(aligned.landmark_labels(standing(xy=folded), COCO)) is None


def test_keypoints_are_matched_by_name():
    labels = aligned.landmark_labels(standing(seen=without("nose")), COCO)
    known = {BLAZEPOSE33.keypoints[k] for k in np.flatnonzero(np.isfinite(labels.xy[:33, 0]))}
    assert known == set(COCO17.keypoints) - {"nose"}
    np.testing.assert_array_equal(labels.xy[BLAZEPOSE33["left_wrist"]], STANDING[9])
    halpe = Mapping.of(HALPE26, BLAZEPOSE33)
    assert halpe.parts[BLAZEPOSE33["left_foot_index"]] == (HALPE26["left_big_toe"],)
    assert halpe.parts[BLAZEPOSE33["left_heel"]] == (HALPE26["left_heel"],)


def test_a_crop_shows_its_labels_also_mirrored():
    """Red and green at each landmark are where it was in the picture."""
    person = standing(occluded=~without("left_wrist"))
    labels = aligned.landmark_labels(person, COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    for mirror in (0, 1):
        augment = replace(STILL, mirror=mirror)
        plain = aligned.jitter_colours
        try:
            aligned.jitter_colours = lambda rgb, _: rgb
            shown = aligned.aligned_sample(
                person, labels, region, augment, np.random.default_rng(0)
            )
        finally:
            aligned.jitter_colours = plain
        for name in ("left_wrist", "right_ankle", "nose"):
            k = BLAZEPOSE33[name]
            x, y = shown.labels.xy[k].round().astype(int)
            own = k if not mirror else BLAZEPOSE33.mirror[k]
            want = labels.xy[own]
            np.testing.assert_allclose(shown.rgb[y, x, :2], want, atol=2)
        hidden = BLAZEPOSE33["right_wrist" if mirror else "left_wrist"]
        assert shown.labels.visible[hidden] == 0
        assert np.nansum(shown.labels.visible) == 16
        assert np.isnan(shown.labels.visible).sum() == 16


def test_an_erased_landmark_is_not_visible():
    person = standing(occluded=np.zeros(17, bool), rgb=np.full((256, 200, 3), 90, np.uint8))
    labels = aligned.landmark_labels(person, COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    seen = []
    for seed in range(40):
        shown = aligned.aligned_sample(
            person, labels, region, replace(STILL, erase=1.0), np.random.default_rng(seed)
        )
        seen.append(np.nansum(shown.labels.visible))
    assert max(seen) == 17
    assert 3 < min(seen) < 17


def test_metres_are_from_the_hips_and_upright_as_the_crop_is():
    quarter = np.array([[0, -1], [1, 0]])
    turned = ((STANDING - (100, 140)) @ quarter.T + (100, 140)).astype(np.float32)
    xyz = np.column_stack([(turned - (100, 140)) / 100, np.linspace(-0.2, 0.2, 17)])
    xyz += np.array([1, 2, 4])
    person = standing(xy=turned, xyz=xyz)
    labels = aligned.landmark_labels(person, COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    shown = aligned.aligned_sample(person, labels, region, None, np.random.default_rng(0))
    batch = aligned.collate_aligned([shown], 1.5)
    nose = batch["xyz"][0, BLAZEPOSE33["nose"]].numpy()
    depth = xyz[0, 2] - xyz[11:13, 2].mean()
    np.testing.assert_allclose(nose, [0, -1, depth], atol=1e-3)
    assert batch["solid"].sum() == 17


def test_a_region_beside_the_person_has_no_labels():
    labels = aligned.landmark_labels(standing(), COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    beside = replace(STILL, elsewhere=1.0)
    shown = aligned.aligned_sample(standing(), labels, region, beside, np.random.default_rng(0))
    assert not shown.person
    batch = aligned.collate_aligned([shown], 1.5)
    assert not any(batch[name].any() for name in ("known", "seen", "solid", "person", "maps"))


def test_labels_outside_of_the_crop_have_empty_maps():
    person = standing()
    labels = aligned.landmark_labels(person, COCO)
    region = aligned.labelled_region(labels)
    assert region is not None
    near = replace(region, size=region.size / 3)
    shown = aligned.aligned_sample(person, labels, near, None, np.random.default_rng(0))
    batch = aligned.collate_aligned([shown], 1.5)
    nose, hip = BLAZEPOSE33["nose"], BLAZEPOSE33["left_hip"]
    assert batch["known"][0, [nose, hip]].tolist() == [1, 1]
    assert batch["maps"][0, nose].max() == 0
    assert batch["maps"][0, hip].max() > 0.8


# Losses


@pytest.mark.parametrize("size", ["lite", "heavy"])
def test_the_regressor_s_gradient_stops_at_the_features(size):
    torch.manual_seed(0)
    network = networks.LandmarkNetwork(size)
    own = tasks.InTraining(network)
    torch.nn.init.normal_(own.offsets.weight)
    with torch.no_grad():
        early = network.backbone.early(torch.rand(1, 3, 256, 256))
    given = own(early)
    for term, want in (
        (given.landmarks.points, {"network.regressor", "network.landmarks"}),
        (given.landmarks.presence, {"network.regressor", "network.presence"}),
        (given.landmarks.world, {"network.regressor", "network.world"}),
        (given.landmarks.mask, {"network.segmentation"}),
        (given.landmarks.maps, {"network.backbone", "network.maps"}),
        (given.offsets, {"network.backbone", "offsets"}),
    ):
        own.zero_grad(set_to_none=True)
        term.square().sum().backward(retain_graph=True)
        learned = {name for name, p in own.named_parameters() if p.grad is not None}
        assert {".".join(name.split(".")[:-1][:2]) for name in learned} == want


def answers(n: int = 2, seed: int = 0) -> networks.LandmarkOutputs:
    rng = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 39, 5, generator=rng)
    points[..., :3] *= 256
    return networks.LandmarkOutputs(
        points.flatten(1),
        torch.rand(n, 1, generator=rng),
        torch.randn(n, 1, 256, 256, generator=rng),
        torch.randn(n, 39, 64, 64, generator=rng),
        torch.randn(n, 117, generator=rng),
    )


def labels_of(taught: networks.LandmarkOutputs, known) -> dict:
    n = len(known)
    return {
        "xy": taught.points.reshape(n, 39, 5)[..., :2],
        "known": known,
        "maps": torch.sigmoid(taught.maps),
        "visible": torch.zeros(n, 33),
        "seen": torch.zeros(n, 33),
        "xyz": torch.zeros(n, 33, 3),
        "solid": torch.zeros(n, 33),
        "person": torch.ones(n),
    }


def terms_of(own, taught, batch) -> dict[str, float]:
    offsets = torch.zeros(len(batch["xy"]), 78, 64, 64)
    terms = losses.landmark_losses(
        losses.Supervised(own, offsets), taught, batch, losses.LandmarkWeights()
    )
    return {name: float(term.total / max(float(term.number), 1)) for name, term in terms.items()}


def test_the_teacher_s_own_answer_has_no_loss():
    taught = answers()
    got = terms_of(taught, taught, labels_of(taught, torch.zeros(2, 39)))
    assert [got[name] for name in ("points", "depth", "world")] == [0, 0, 0]
    assert got["heat"] == pytest.approx(0, abs=1e-2)
    other = terms_of(answers(seed=1), taught, labels_of(taught, torch.zeros(2, 39)))
    for name in ("heat", "points", "depth", "seen", "world", "mask"):
        assert other[name] > got[name]


def test_labels_come_before_the_teacher():
    taught, known = answers(), torch.zeros(2, 39)
    known[:, :17] = 1
    batch = labels_of(taught, known)
    shifted = batch["xy"].clone()
    shifted[:, :17] += 40.0
    batch["xy"] = shifted
    right = taught.points.reshape(2, 39, 5).clone()
    right[:, :17, :2] += 40.0
    want = taught._replace(points=right.flatten(1))
    assert terms_of(want, taught, batch)["points"] == pytest.approx(0, abs=1e-6)
    assert terms_of(taught, taught, batch)["points"] > 0.1
    # Where the teacher is wrong about the labels, it is hardly asked about the others.
    far = right.clone()
    far[:, 20:, :2] += 10.0
    agreed = labels_of(taught, known)
    same = taught.points.reshape(2, 39, 5).clone()
    same[:, 20:, :2] += 10.0
    wrong = terms_of(want._replace(points=far.flatten(1)), taught, batch)["points"]
    trusted = terms_of(taught._replace(points=same.flatten(1)), taught, agreed)["points"]
    assert wrong < 0.3 * trusted


def test_metres_are_learned_where_there_are_any():
    taught = answers()
    batch = labels_of(taught, torch.zeros(2, 39))
    batch["solid"][0] = 1
    batch["xyz"][0] = 0.5
    metres = taught.world.reshape(2, 39, 3).clone()
    metres[0, :33] = 0.5
    right = terms_of(taught._replace(world=metres.flatten(1)), taught, batch)
    kept = terms_of(taught, taught, batch)
    assert [right["metres"], right["world"]] == [0, 0]
    assert kept["world"] == 0
    assert kept["metres"] > 1


def test_nobody_leaves_only_presence_and_masks_to_learn():
    taught = answers()
    batch = labels_of(taught, torch.zeros(2, 39)) | {"person": torch.zeros(2)}
    got = terms_of(answers(seed=1), taught, batch)
    assert {name for name, value in got.items() if value} == {"there", "mask"}


def test_offsets_lead_from_cells_to_the_landmark():
    xy = torch.tensor([[[100.0, 61.0], [3.0, 250.0], [50.0, 50.0]]])
    known = torch.tensor([[1.0, 1.0, 0.0]])
    cells = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy"))
    right = (xy[0, :, :, None, None] / 4 - cells).reshape(1, 6, 64, 64)
    total, number = losses.offset_loss(right, xy, known)
    assert float(total) == pytest.approx(0, abs=1e-4)
    assert float(number) == 25 + 4 * 4  # of the second, in the corner, some cells are outside
    wrong = right.clone()
    wrong[:, :2] += 1.0
    wrong[:, 4:] += 9.0  # of the unknown one
    assert float(losses.offset_loss(wrong, xy, known)[0]) == pytest.approx(50, abs=1e-3)


# Runs

SHORT = ["epochs=2", "batch=4", "warmup=2", "threads=1", "resamples=0", "ema=0.5"]


@pytest.mark.weights
def test_a_run_that_is_resumed_ends_with_the_same_weights(tmp_path, blazepose, monkeypatch):
    blazepose("lite")
    data = read_data(make_mine(tmp_path, 4) / "labels.json")
    recipe = tasks.BlazePoseRecipe().with_settings(SHORT)

    def task() -> tasks.BlazePoseTask:
        return tasks.BlazePoseTask(recipe, "blazepose-lite", data)

    said: list[str] = []
    whole = fit(task(), tmp_path / "whole", say=said.append)
    assert "3 of 33 landmarks have labels: nose, left_wrist, right_wrist" in "".join(said)
    assert "keypoints that are no landmarks are not learned: hat" in "".join(said)
    broken = task()
    monkeypatch.setattr(broken, "validate", lambda _: 1 / 0)
    part = replace(recipe, checkpoint_every=0.0)
    broken.recipe = part
    with pytest.raises(ZeroDivisionError):
        fit(broken, tmp_path / "part")
    again = fit(task(), tmp_path / "part", resume=True)
    assert again.step == whole.step
    weights = [torch.load(tmp_path / name / "last.pt") for name in ("whole", "part")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    official = task().teacher.state_dict()
    now = {name.removeprefix("network."): value for name, value in weights[0].items()}
    assert torch.equal(now["backbone.stem.weight"], official["backbone.stem.weight"])
    for name in ("backbone.top.weight", "world.weight", "segmentation.mask.weight"):
        assert not torch.equal(now[name], official[name])


@pytest.mark.weights
def test_a_run_is_a_blazepose(tmp_path, blazepose, video):
    """In photos and videos, with masks and metres, as PyTorch has it."""
    official = blazepose("lite")
    mine = make_mine(tmp_path, 3)
    run = tmp_path / "run"
    settings = [*SHORT, "epochs=1", "batch=2", "rate=0.00001", "encoder_rate=0.00001"]
    done = train("blazepose-lite", mine / "labels.json", run, settings=settings)
    assert {"AP", "PCK", "metres apart"} <= set(done.figures)
    assert 0 < done.figures["metres apart"][0] < 1
    card = (run / "README.md").read_text()
    assert "blazepose-lite" in card
    assert (run / "pictures" / "0001.png").is_file()

    frame = Frame.read(sample())
    trained = load(str(run), masks=True)
    assert isinstance(trained, TopDown)
    assert trained.name == "run"
    assert trained.skeleton is BLAZEPOSE33
    (region,) = [found.take(slice(1)) for found in official.find([frame])]
    (poses,) = trained([frame], [region])
    assert poses.xyz is not None
    assert poses.mask is not None
    assert poses.mask.shape == (1, *frame.rgb.shape[:2])
    network, size = tasks.read_start(str(run / "weights.pt"))
    assert size == "lite"
    crop = trained.head.crops(frame, region)
    rows = trained.head.prepare(frame, crop)
    with torch.no_grad():
        points, _, _, _, world = networks.AsInFiles(network)(torch.from_numpy(rows))
    outputs = trained.head.network(rows)
    np.testing.assert_allclose(points, outputs[0], atol=0.05)
    np.testing.assert_allclose(world, outputs[2], atol=1e-3)
    # Two steps at so small a rate change little: somebody is still found, and followed.
    height, width = (2 * (side // 2) for side in frame.rgb.shape[:2])
    pictures = [frame.rgb[:height, :width]] * 3
    clip = video(times=(0.0, 0.1, 0.2), size=(width, height), pictures=pictures)
    seen = [poses for _, poses in vit.run(str(clip), load(str(run), num_poses=2))]
    assert [poses.person.tolist() for poses in seen] == [seen[0].person.tolist()] * 3
    assert len(seen[0]) >= 1
    alone = open_model(str(run), open_source(str(mine / "images")))
    assert alone.options["find"] == "vitruvian-find"  # everybody, as blazepose-full in photos
    assert alone.options["num_poses"] == 100
    also, _ = tasks.read_start(str(run / "model.onnx"))
    for name, value in also.state_dict().items():
        np.testing.assert_array_equal(value, network.state_dict()[name])


def test_data_without_any_landmark_is_refused(tmp_path):
    labels = make_mine(tmp_path) / "labels.json"
    said = json.loads(labels.read_text())
    said["categories"][0]["keypoints"] = ["hat", "shoe", "tie", "bag"]
    labels.write_text(json.dumps(said))
    with pytest.raises(VitruvianError, match="no keypoint in common"):
        train("blazepose-full", labels, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.weights
def test_another_backbone_begins_with_heat_maps_like_the_official_ones(tmp_path, blazepose):
    blazepose("full")
    data = read_data(make_mine(tmp_path, 4) / "labels.json")
    recipe = tasks.BlazePoseRecipe().with_settings([*SHORT, "backbone=vitruvian-2d"])
    task = tasks.BlazePoseTask(recipe, "blazepose-full", data)
    assert not task.shared
    own = tasks.starts2d.teacher_network("vitruvian-2d").backbone.state_dict()
    samples = [task.sample(i, 0) for i in task.order(0)]
    crops = task.collate(samples)["crops"].float() / 255
    with torch.no_grad():
        before = task.start(crops).maps
        trained = task.network()
        assert isinstance(trained, tasks.InTraining)
        network = trained.network
        official, maps = (torch.sigmoid(each(crops).maps) for each in (task.teacher, network))
    now = network.state_dict()
    assert all(
        torch.equal(now[f"backbone.{name}"], own[name]) for name in own if "blocks.3" in name
    )
    off = (torch.sigmoid(before) - official).abs().mean()
    assert (maps - official).abs().mean() < 0.5 * off
    network = task.network().eval()
    assert all(term.total.isfinite() for term in task.loss(network, task.collate(samples)).values())


def test_bf16_is_refused(tmp_path):
    """The official network loses 3 pixels and 0.14 m in it (torch 2.13, autocast of a CPU)."""
    labels = make_mine(tmp_path) / "labels.json"
    with pytest.raises(VitruvianError, match="BlazePose needs f32"):
        train("blazepose-full", labels, tmp_path / "run", settings=["precision=bf16"])
    assert not (tmp_path / "run").exists()


def test_a_backbone_of_another_size_is_refused():
    with pytest.raises(VitruvianError, match="another size than blazepose-lite"):
        tasks.backbone_of("vitruvian-2d", "lite")
