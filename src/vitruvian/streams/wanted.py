"""Wanted: options of a stream: tracking, smoothing, repair, 3D origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, unknown
from vitruvian.models.model import Model

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

SMOOTH = ("one-euro", "butterworth", "no")
OF_RECORDS = ("smooth", "cutoff_hz", "repair")  # the options that apply to a record


@dataclass(frozen=True)
class Wanted:
    """Options of a stream; None: default of the model family, see `defaults`."""

    track: bool | None = None  # assign track ids
    confirm: bool = True  # only to confirmed people; others are left out, see `confirm.Confirm`
    smooth: str | bool | None = None  # one of SMOOTH; True: one-euro, False: no
    cutoff_hz: float | None = None  # chooses butterworth; None: 6 Hz, or less at low frame rates
    repair: bool = False  # correct short left-right swaps and short jumps
    absolute: bool = False  # 3D relative to the camera, also for models relative to the hips
    detect_every: int | None = None  # minimum interval between detections while tracking, frames
    same_from: float | None = None  # 0..1, minimum IoU of two regions of one person

    def __post_init__(self) -> None:
        if isinstance(self.smooth, bool):
            object.__setattr__(self, "smooth", "one-euro" if self.smooth else "no")
        if self.smooth is not None and self.smooth not in SMOOTH:
            raise unknown("smoothing", str(self.smooth), SMOOTH)
        for name in ("track", "confirm", "repair", "absolute"):
            value = getattr(self, name)
            if not (isinstance(value, bool) or (value is None and name == "track")):
                raise VitruvianError(f"{name} is {value!r}, want True or False")
        every, same = self.detect_every, self.same_from
        if every is not None and (type(every) is not int or every < 1):
            raise VitruvianError(f"detect_every is {every!r}, want a whole number from 1")
        if same is not None and not (type(same) in (int, float) and 0 <= same <= 1):
            raise VitruvianError(f"same_from is {same!r}, want a number from 0 to 1")
        if self.cutoff_hz is not None:
            from vitruvian.streams import butterworth

            if self.smooth is None:
                object.__setattr__(self, "smooth", "butterworth")
            elif self.smooth != "butterworth":
                raise VitruvianError(
                    f"cutoff_hz ({self.cutoff_hz:g}) is for smooth butterworth, not {self.smooth}"
                )
            butterworth.Options(self.cutoff_hz)

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Wanted, dict[str, Any]]:
        """Split keyword options into those of the stream and those of the model.

        `min_tracking_confidence` (MediaPipe) is a synonym of `same_from`.
        """
        left = dict(options)
        if (same := left.pop("min_tracking_confidence", None)) is not None:
            left.setdefault("same_from", same)
        names = [field.name for field in fields(cls)]
        return cls(**{name: left.pop(name) for name in names if name in left}), left

    def or_else(self, others: Wanted) -> Wanted:
        """Fill fields that are None from `others`."""
        missing = [f.name for f in fields(self) if getattr(self, f.name) is None]
        return replace(self, **{name: getattr(others, name) for name in missing})

    @property
    def offline(self) -> bool:
        """Whether a step needs later frames, so that results are delayed by some seconds."""
        return self.repair or self.smooth == "butterworth"

    @property
    def asked(self) -> str:
        """The steps asked for that need track ids, in their order, for messages; "" for none."""
        smooth = "" if self.smooth in (None, "no") else f"smooth {self.smooth}"
        return " and ".join(word for word in ("repair" * self.repair, smooth) if word)

    def to_dict(self) -> dict[str, Any]:
        """For the header of a record, among the options."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        if self.smooth == "butterworth" and self.cutoff_hz is None:
            from vitruvian.streams import butterworth

            said["cutoff_hz"] = butterworth.Options().cutoff_hz
        return said


def defaults(model: Model) -> Wanted:
    """Default stream options of a model."""
    usual = model.wanted
    return Wanted(
        track=usual.track,
        smooth=usual.smooth,
        detect_every=usual.detect_every,
        same_from=usual.same_from,
    )


def check_wanted(wanted: Wanted, model: Model, sources: Sequence[Source] | None = None) -> None:
    """Raise `VitruvianError` if the options do not fit the model or the sources.

    Args:
        wanted: options given by the user.
        model: the pose model.
        sources: sources of the frames; None: a live stream.
    """
    full = wanted.or_else(defaults(model))
    if wanted.asked and not full.track:
        raise VitruvianError(f"{wanted.asked} needs track ids; use track=True, or leave it out")
    sought = wanted.detect_every is not None or wanted.same_from is not None
    if sought and "detect_every" not in model.options:
        name = "detect_every" if wanted.detect_every else "same_from"
        raise VitruvianError(
            f"{name} is for models that track regions between frames, which {model.name} does "
            "not; leave it out"
        )
    if full.track and model.options.get("average") is False:
        raise VitruvianError(
            "average=False returns every person several times, which cannot be tracked; leave "
            "track=True out"
        )
    if not wanted.offline:
        return
    for source in sources or ():
        if source.live:
            raise VitruvianError(
                f"{wanted.asked} needs future frames, and {source.name} is live; use smooth "
                "one-euro without repair"
            )
    if any(getattr(source, "once", False) for source in sources or ()):
        raise VitruvianError(
            f"{wanted.asked} needs all frames, and a generator can be read only once; give a "
            "list, or use smooth one-euro without repair"
        )
    if sources is None:
        raise VitruvianError(
            f"{wanted.asked} needs future frames, and this source is live; use smooth one-euro"
        )
    if not any(source.moving for source in sources):
        raise VitruvianError(f"{wanted.asked} is for videos, but there are only images")
    for option in ("masks", "heatmaps"):
        if model.options.get(option):
            raise VitruvianError(
                f"{wanted.asked} would keep {option} of many frames in memory; leave one out, or "
                "use smooth one-euro"
            )
