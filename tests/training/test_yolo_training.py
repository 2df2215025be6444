"""Training of YOLOv8-pose: the reference's losses, cells, views and their labels, a whole run."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import SHARED, TOY, absent
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.evaluate.oks import oks_sigmas
from vitruvian.frame import Frame
from vitruvian.geometry.letterbox import Letterbox, letterboxed
from vitruvian.weights import checkpoint

torch = pytest.importorskip("torch", reason="needs torch: pip install 'vitruvian[train]'")
from vitruvian.exports.networks import yolo  # noqa: E402
from vitruvian.models import yolopose  # noqa: E402
from vitruvian.training.data.labelled import Data  # noqa: E402
from vitruvian.training.fit import fit  # noqa: E402
from vitruvian.training.tasks.yolopose import YoloRecipe, YoloTask  # noqa: E402
from vitruvian.training.yolo import loss, network, views  # noqa: E402

WEIGHTS = SHARED / "weights" / "yolov8n-pose.pt"
GOLDEN = SHARED / "golden" / "yolo_pose_loss.npz"
NO_COLOURS = {"hue": 0.0, "saturation": 0.0, "brightness": 0.0}
EIGHT = Skeleton(
    "eight",
    "tests/training/test_yolo_training.py",
    ("right_knee", *COCO17.keypoints[5:11], "belly"),
    (),
    np.full(8, np.nan, np.float32),
)


def official() -> checkpoint.Checkpoint:
    if not WEIGHTS.exists():
        absent(f"there is no {WEIGHTS}")
    return checkpoint.read(WEIGHTS)


def tiny(seed: int = 0) -> yolo.Yolo:
    torch.manual_seed(seed)
    return yolo.Yolo(yolo.YoloShape((8, 8, 16, 16, 16), (1, 1)))


# The loss


def golden_people(golden) -> loss.TargetPeople:
    size = golden["images"].shape[1]
    xywh, points = golden["boxes_xywh"] * size, golden["keypoints"] * (size, size, 1)
    box = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2], axis=1)
    return loss.TargetPeople(
        torch.from_numpy(golden["batch_idx"]),
        torch.zeros(len(box), dtype=torch.int64),
        torch.from_numpy(box).float(),
        torch.from_numpy(points).float().clamp(max=torch.tensor([torch.inf, torch.inf, 1])),
    )


def test_losses_and_gradients_are_the_references():
    """Five terms on four pictures, and the norms of seven gradients, to four decimals."""
    own = yolo.load(official().tensors).requires_grad_(True)
    if not GOLDEN.exists():
        absent(f"there is no {GOLDEN}")
    golden = np.load(GOLDEN)
    images = torch.from_numpy(golden["images"]).permute(0, 3, 1, 2).float() / 255
    sigmas = torch.from_numpy(oks_sigmas(COCO17)).float()
    terms = loss.pose_losses(own.raw(images), golden_people(golden), sigmas, loss.Gains())
    assert list(terms) == ["box", "pose", "kobj", "cls", "dfl"]
    items = torch.stack([total / number.clamp_min(1) for total, number in terms.values()])
    assert items.tolist() == pytest.approx(golden["items"], abs=5e-5)
    total = items.sum() * len(images)
    assert total.item() == pytest.approx(float(golden["total"]), abs=1e-3)
    total.backward()
    named = dict(own.named_parameters())
    for name, norm in zip(golden["gradient_names"], golden["gradient_norms"], strict=True):
        gradient = named[name].grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4)


def test_nobody_in_a_batch_leaves_the_scores_to_learn():
    own = tiny()
    nobody = loss.TargetPeople(
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, 4),
        torch.zeros(0, 17, 3),
    )
    terms = loss.pose_losses(
        own.raw(torch.rand(2, 3, 64, 64)), nobody, torch.ones(17), loss.Gains()
    )
    assert [total.item() for total, _ in terms.values()][:3] == [0, 0, 0]
    assert terms["cls"][0].item() > 0
    torch.stack([total for total, _ in terms.values()]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in own.parameters() if p.grad is not None)


def test_cells_go_to_the_person_whom_they_detect_best():
    """Two people, one inside the other; boxes that are exactly right everywhere."""
    people = loss.TargetPeople(
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2, dtype=torch.int64),
        torch.tensor([[0.0, 0, 64, 64], [20, 20, 44, 44]]),
        torch.zeros(2, 17, 3),
    )
    cells = yolo.grid(torch.zeros(1, 1, 8, 8), 8)
    x, y = (cells[:2] + 0.5) * 8
    inner = (x > 20) & (x < 44) & (y > 20) & (y < 44)
    boxes = torch.where(inner, people.box[1][:, None], people.box[0][:, None])[None]
    own = loss.assign_cells(torch.zeros(1, 1, 64), boxes, cells, people)
    assert len(set(own.cell.tolist())) == len(own.cell)
    assert sorted(own.cell[own.person == 1].tolist()) == inner.nonzero()[:, 0].tolist()
    assert (own.person == 0).sum() == loss.CELLS_EACH
    assert own.score.tolist() == pytest.approx([1.0] * len(own.score), abs=1e-3)


def test_small_people_get_cells():
    """Of 4 pixels, between the centres of cells."""
    people = loss.TargetPeople(
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, dtype=torch.int64),
        torch.tensor([[30.0, 30, 34, 34]]),
        torch.zeros(1, 17, 3),
    )
    cells = yolo.grid(torch.zeros(1, 1, 8, 8), 8)
    boxes = people.box.T[None].expand(1, 4, 64) + 0.5
    assert len(loss.assign_cells(torch.zeros(1, 1, 64), boxes, cells, people).cell) == 4


# Networks


def test_known_keypoints_keep_their_weights():
    """Eight keypoints, seven of them COCO's; the other begins in the middle of all."""
    read = official()
    before, image = yolo.load(read.tensors), torch.rand(1, 3, 64, 64)
    own = network.pretrained_network(read.tensors, COCO17, EIGHT).eval()
    with torch.no_grad():
        want, rows = before(image), own(image)
    assert rows.shape[1] == 4 + 1 + 3 * 8
    torch.testing.assert_close(rows[:, :5], want[:, :5])
    points, known = (each[:, 5:].unflatten(1, (-1, 3)) for each in (rows, want))
    torch.testing.assert_close(points[:, 1:7], known[:, 5:11], atol=2e-3, rtol=1e-5)
    torch.testing.assert_close(points[:, 0], known[:, COCO17["right_knee"]], atol=2e-3, rtol=1e-5)
    torch.testing.assert_close(points[:, 7, :2], known[..., :2, :].mean(1), atol=2e-3, rtol=1e-5)
    named = {name: value.numpy() for name, value in own.state_dict().items()}
    assert yolo.YoloShape.infer(named) == own.shape


def test_folded_norms_come_back_with_the_statistics_of_data():
    """Evaluation gives the same as before; training gives the same as evaluation."""
    before = tiny().eval()
    for module in before.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.running_mean)
    images = torch.rand(8, 3, 64, 64)
    own = copy.deepcopy(before).fold()
    network.unfold(own)
    assert network.are_folded(own)
    assert not network.are_folded(before)
    assert own.state_dict().keys() == before.state_dict().keys()
    network.restore_norms(own, images)
    assert not network.are_folded(own)
    with torch.no_grad():
        want = before.raw(images)
        for mode in (False, True):
            for a, b in zip(own.train(mode).raw(images), want, strict=True):
                torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_norms_that_save_memory_learn_the_same(precision):
    one = tiny().train()
    other = copy.deepcopy(one)
    network.save_memory(other)
    images = torch.rand(2, 3, 64, 64)
    for each in (one, other):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            raw = each.raw(images)
        torch.stack([part.float().square().mean() for part in raw]).sum().backward()
    near = {"atol": 0.02, "rtol": 0.1} if precision == "bf16" else {}
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, **near)
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, **near)
    torch.testing.assert_close(one.eval()(images), other.eval()(images), **near)


# Views


@pytest.fixture
def ramps(tmp_path) -> list[LabelledPicture]:
    """Four pictures whose red and green are 2 x and 2 y, and whose blue says which one it is."""
    rng, labelled = np.random.default_rng(0), []
    for i, (width, height) in enumerate([(120, 80), (80, 120), (120, 120), (120, 60)]):
        y, x = np.mgrid[:height, :width] + 0.5
        rgb = np.stack([2 * x, 2 * y, np.full_like(x, 60 * i + 20)], axis=-1).astype(np.uint8)
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), rgb[..., ::-1])
        low = rng.uniform(5, 20, (3, 2))
        size = rng.uniform(20, 35, (3, 2))
        xy = low[:, None] + size[:, None] * rng.random((3, 3, 2))
        seen = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
        crowd = np.array([False, False, True])
        box = np.concatenate([low, size], axis=1)
        nan = np.full(3, np.nan)
        labelled.append(
            LabelledPicture(
                i, path, xy, seen, box, size.prod(axis=1), crowd, nan, size=(width, height)
            )
        )
    return labelled


@pytest.mark.parametrize("turn", [0.0, 25.0])
@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_labels_lie_where_the_pixels_say(ramps, mosaic, turn):
    """The colour of a view at a keypoint is its place in its own picture, to 1.5 pixels."""
    pictures = views.CachedPictures(ramps, 120, 1.0)
    augment = views.ViewAugment(mosaic, turn_deg=turn, scale=0.3, **NO_COLOURS)
    rng, points, wide = np.random.default_rng(0), 0, 0
    for i in range(80):
        view = views.augmented_view(pictures, i % 4, augment, TOY.mirror, rng)
        assert view.rgb.shape == (120, 120, 3)
        for box, person in zip(view.box, view.points, strict=True):
            assert (box[2:] - box[:2] > views.LEAST_SIDE).all()
            for k in np.flatnonzero(person[:, 2]):
                x, y = np.clip(person[k, :2], 3, 117)
                if (abs(person[k, :2] - (x, y)) > 0).any():
                    continue
                red, green, blue = view.rgb[int(y), int(x)].astype(float)
                own = ramps[round((blue - 20) / 60)]
                where = np.hypot(*(own.xy[:2] - np.array([red, green]) / 2).reshape(-1, 2).T)
                flat = own.xy[:2].reshape(-1, 2)[where.argmin()]
                assert where.min() < 1.5, (person[k], flat)
                if turn == 0:
                    assert (person[k, :2] >= box[:2] - 1e-3).all()
                    assert (person[k, :2] <= box[2:] + 1e-3).all()
                points += 1
        wide += len({round((c - 20) / 60) for c in view.rgb[::4, ::4, 2].ravel() if c != 114}) > 1
    assert points > 150
    assert wide > 40 if mosaic else not wide


def test_weights_of_keypoints_reach_the_loss(ramps):
    """The pose term is in proportion to them, the others do not change."""
    weight = np.array([[0.5, 0.25, 1], [0.5, 0.25, 1], [1, 1, 1]], np.float32)
    pictures = views.CachedPictures([replace(p, weight=weight) for p in ramps], 128, 1.0)
    view = views.letterboxed_view(pictures, 0)
    assert view.points[..., 2].tolist() == [[0.5, 0.25, 1], [0.5, 0, 1]]
    network = tiny()
    raw = network.raw(torch.from_numpy(view.rgb[None]).permute(0, 3, 1, 2).float() / 255)
    sigmas = torch.full((3,), 0.1)
    terms = []
    for points in (view.points, view.points * (1, 1, 0.5)):
        picture = torch.zeros(len(view.box), dtype=torch.int64)
        people = loss.TargetPeople(
            picture, picture, torch.from_numpy(view.box), torch.from_numpy(points).float()
        )
        terms.append(loss.pose_losses(raw, people, sigmas, loss.Gains()))
    assert terms[0]["pose"][0] > 0
    torch.testing.assert_close(terms[1]["pose"][0], terms[0]["pose"][0] / 2)
    for name in ("box", "kobj", "cls", "dfl"):
        torch.testing.assert_close(terms[1][name][0], terms[0][name][0])


def test_a_mirrored_view_swaps_left_and_right(ramps):
    pictures = views.CachedPictures(ramps, 120, 1.0)
    plain = views.ViewAugment(0, 0, 0, 0, 0, **NO_COLOURS)
    rng = np.random.default_rng(0)
    one = views.augmented_view(pictures, 0, plain, TOY.mirror, rng)
    other = views.augmented_view(pictures, 0, replace(plain, mirror=1), TOY.mirror, rng)
    np.testing.assert_array_equal(other.rgb, one.rgb[:, ::-1])
    np.testing.assert_allclose(
        other.box[:, [2, 1, 0, 3]], one.box * (-1, 1, -1, 1) + (120, 0, 120, 0)
    )
    there = other.points[..., 2:] > 0
    swapped = (one.points * (-1, 1, 1) + (120, 0, 0))[:, TOY.mirror]
    np.testing.assert_allclose(
        np.where(there, other.points, 0), np.where(there, swapped, 0), atol=1e-4
    )
    np.testing.assert_array_equal(other.points[..., 2], one.points[:, TOY.mirror, 2])


def test_a_plain_view_is_what_inference_sees(ramps):
    """The letterbox of `YoloPose`, also of a picture that is made smaller."""
    for side in (120, 96):
        pictures = views.CachedPictures(ramps, side, 1.0)
        for i, picture in enumerate(ramps):
            frame = Frame.read(picture.path)
            box = Letterbox.fit(frame.size, (side, side), 32, rect=False)
            want = letterboxed(frame.rgb, box.inner, box.corner, (side, side), views.FILL)
            view = views.letterboxed_view(pictures, i)
            np.testing.assert_array_equal(view.rgb, want)
            at = view.points[view.points[..., 2] > 0][:, :2]
            np.testing.assert_allclose(
                box.back.to_frame(at), picture.xy[:2][picture.labelled[:2]], atol=0.1
            )
            assert len(view.box) == 2  # the third is a crowd


def test_colours_change_and_the_rest_of_memory_is_decoded_again(ramps, monkeypatch):
    pictures = views.CachedPictures(ramps, 120, 120 * 80 * 3 / 1e9)  # the first picture alone
    read = list[str]()
    before = Frame.read
    monkeypatch.setattr(Frame, "read", lambda path: read.append(Path(path).name) or before(path))
    for _ in range(2):
        for i in range(4):
            pictures[i]
    assert read == ["0.png", "1.png", "2.png", "3.png", "1.png", "2.png", "3.png"]
    view = views.letterboxed_view(pictures, 0)
    again = views.jitter_hsv(view.rgb, views.ViewAugment(), np.random.default_rng(0))
    assert (again != view.rgb).any()
    grey = np.full((4, 4, 3), 100, np.uint8)
    bright = views.jitter_hsv(
        grey, views.ViewAugment(hue=0, saturation=0), np.random.default_rng(1)
    )
    assert (bright == bright[0, 0, 0]).all()
    assert bright[0, 0, 0] != 100


# Runs


def toy_data(labelled: list[LabelledPicture]) -> Data:
    truth = GroundTruth("ramps", TOY, labelled, "0" * 64)
    return Data(truth, truth)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_run_from_scratch_learns_and_is_a_model(ramps, tmp_path, precision):
    """Three keypoints; what it writes opens in the family of YOLOv8-pose."""
    settings = ["start=scratch", "imgsz=64", "epochs=8", "close_mosaic=2", "resamples=0"]
    settings.append(f"precision={precision}")
    task = YoloTask(YoloRecipe().with_settings(settings), "yolov8n-pose", toy_data(ramps))
    assert (task.recipe.batch, task.recipe.accumulate) == (4, 1)
    progress = fit(task, tmp_path / "run", say=lambda _: None)
    losses = [line["losses"] for line in progress.lines]
    assert losses[0].keys() == {"loss", "box", "pose", "kobj", "cls", "dfl"}
    assert losses[-1]["cls"] < losses[0]["cls"]
    assert progress.lines[0]["figures"].keys() == {"AP", "AP50", "AR"}
    model = yolopose.load(tmp_path / "run" / "model.onnx", yolopose.Options(conf=0.0))
    assert model.skeleton == TOY
    assert model.size == (64, 64)
    (poses,) = model([Frame.read(ramps[0].path)])
    assert poses.xy.shape[1:] == (3, 2)
    # It can be trained further: from the exported network, and from its weights.
    for name in ("model.onnx", "weights.pt"):
        weights, known = network.pretrained_weights(str(tmp_path / "run" / name), TOY)
        assert known == TOY
        again = network.pretrained_network(weights, known, TOY).eval()
        with torch.no_grad():
            rows = again(torch.full((1, 3, 64, 64), 0.5)).numpy()
        (want,) = model.network(np.full((1, 3, 64, 64), 0.5, np.float32))
        np.testing.assert_allclose(rows, want, atol=2e-2)


def test_a_checkpoint_starts_with_other_keypoints(ramps):
    """The batch norms of the shared checkpoint are folded, and get the statistics of the data."""
    official()
    recipe = YoloRecipe(imgsz=64)
    own = YoloTask(recipe, str(WEIGHTS), toy_data(ramps)).network()
    assert isinstance(own, yolo.Yolo)
    assert own.shape.keypoints == 3
    assert not network.are_folded(own)
    groups = YoloTask(recipe, str(WEIGHTS), toy_data(ramps)).groups(own)
    counted = sum(p.numel() for group in groups for p in group.parameters)
    assert counted == sum(p.numel() for p in own.parameters()) - yolo.BINS
    assert groups[0].decay == pytest.approx(5e-4 * 4 / 64)


def test_the_gradient_is_of_the_sum_over_a_step(ramps):
    task = YoloTask(YoloRecipe(start="scratch", imgsz=64), "yolov8n-pose", toy_data(ramps))
    batch = task.collate([task.sample(i, 0) for i in range(4)])
    assert batch["images"].is_contiguous(memory_format=torch.channels_last)
    own = task.network().train()
    terms = task.loss(own, batch)
    mine = terms["cls"].total / terms["cls"].number
    bias = own.get_parameter("model.22.cv3.0.2.bias")
    (steep,) = torch.autograd.grad(mine, [bias], retain_graph=True)
    raw = own(batch["images"].float() / 255)
    picture = batch["picture"]
    people = loss.TargetPeople(picture, picture * 0, batch["box"], batch["points"])
    total, number = loss.pose_losses(raw, people, task.sigmas, task.gains)["cls"]
    assert mine.item() == pytest.approx((total / number).item(), rel=1e-5)
    (plain,) = torch.autograd.grad(total / number, [bias])
    torch.testing.assert_close(steep, 4 * plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("pictures", "want"),
    [
        (384, ("adamw", 0.002, 16, 4, 18)),
        (118_287, ("sgd", 0.01, 16, 4, 3 * 1848)),
        (20, ("adamw", 0.002, 16, 1, 3)),
        (100, ("adamw", 0.002, 16, 3, 6)),
        (5, ("adamw", 0.002, 5, 1, 3)),
    ],
)
def test_the_optimiser_is_that_of_the_number_of_pictures(pictures, want):
    recipe = YoloRecipe().for_pictures(pictures)
    assert (
        recipe.optimiser, recipe.rate, recipe.batch, recipe.accumulate, recipe.warmup
    ) == want  # fmt: skip
    assert recipe.for_pictures(pictures) == recipe
    assert YoloRecipe(auto=False).for_pictures(pictures) == YoloRecipe(auto=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["imgsz=100"], "a multiple of 32"),
        (["start=other"], "model or scratch"),
        (["start=scratch"], "yolov8n-pose, yolov8s-pose"),
    ],
)
def test_what_cannot_be_trained_is_refused(ramps, settings, words):
    with pytest.raises(VitruvianError, match=words):
        YoloTask(YoloRecipe().with_settings(settings), "model.onnx", toy_data(ramps)).network()
