"""Inference with OpenVINO."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError, note, unknown
from vitruvian.network.mediapipe_ops import add_operations
from vitruvian.network.silence import silence
from vitruvian.network.threads import cores
from vitruvian.weights import compiled

# Names of `precision` -> OpenVINO's. f32 is exact; the others round inside the network.
PRECISIONS = {"f32": "f32", "bf16": "bf16", "f16": "f16"}
OFTEN, MOST_FIXED = 20, 2  # see `OpenVino._for`
MOST_IDLE = 16  # infer requests kept for later calls: each has buffers for its results
Shape = tuple[int | None, ...]
_IMPORT, _READING = threading.Lock(), threading.Lock()


def import_openvino() -> Any:
    """The openvino module, without its telemetry.

    `import openvino` also imports openvino.tools.ovc, a model converter that we do not use, which
    sends an event to Google Analytics as it is imported. A None in sys.modules makes that import
    fail, which openvino expects; it is removed afterwards, so that the converter can be imported.
    """
    silence()
    converter = "openvino.tools.ovc"
    with _IMPORT:  # two threads may load a model each
        if "openvino" not in sys.modules:
            sys.modules[converter] = None  # type: ignore[assignment]
            try:
                import openvino  # noqa: F401
            finally:
                del sys.modules[converter]
        module = sys.modules["openvino"]
        # OpenVINO makes its table of number types when it is first asked, and lets other threads
        # run meanwhile: where the first calls of two threads met, they waited for each other for
        # ever (2026.4.1, seen in `vitruvian val` and on a stack dump). Each time: somebody else may
        # have imported it.
        module.Type.f32.to_dtype()
        return module


def openvino_core() -> Any:
    """OpenVINO's `Core`, one for the whole process.

    Each has the main thread take signals on a stack of its own, and the last of several to go
    gives back that of the first, which is gone (2026.4.1): the next Ctrl-C would be a segmentation
    fault. So this one stays.

    Raises:
        RuntimeError: no memory, or no threads, are left.
    """
    openvino = import_openvino()
    with _IMPORT:
        return _core(openvino)


@functools.cache
def _core(openvino: Any) -> Any:
    return openvino.Core()


@functools.cache
def _with_operations(core: Any) -> Any:
    """The core, which from now on reads MediaPipe's own operations too, one file at a time."""
    import openvino.frontend
    import openvino.opset13

    add_operations(openvino.frontend.ConversionExtension, openvino.opset13, core)
    return core


class OpenVino:
    """Run a .tflite, .onnx or .xml file with OpenVINO.

    A call takes one array of N rows per input and returns a tuple of arrays of N rows. A processor
    computes several rows side by side, one on each core: faster than a batch, and a row's result
    does not depend on the others. Other devices compute them as a batch. Thread-safe: calls that
    run at the same time have an infer request each.
    """

    def __init__(
        self,
        file: Path,
        *,
        outputs: Sequence[int] | None = None,
        device: str = "CPU",
        precision: str = "f32",
        threads: int | None = None,
        streams: int = 1,
        batch: bool = True,
        side: int | None = None,
    ) -> None:
        """Open a file.

        Args:
            file: the network.
            outputs: indices of the outputs to compute, in this order; None: all.
            device: CPU, GPU, NPU, AUTO, as OpenVINO names them.
            precision: a key of `PRECISIONS`.
            threads: number of threads; None: one per core.
            streams: number of parallel calls, which share the cores.
            batch: whether the batch size may exceed 1. A network that folds the batch into another
                axis (BlazePose's detector) must be run row by row on any device.
            side: pixels, of the square images of a network that takes any size; None: as in the
                file.
        """
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        openvino = import_openvino()
        try:
            self._core = openvino_core()
            known = [*self._core.available_devices, "AUTO"]
        except RuntimeError as error:  # no memory, or no threads, are left
            raise VitruvianError(f"OpenVINO cannot start: {_last_line(error)}") from None
        if device.split(".")[0].split(":")[0] not in {name.split(".")[0] for name in known}:
            raise unknown("device", device, known)
        self._device, self._file, self._outputs = device, file, outputs
        self._side = side
        # Whether rows are calls of their own.
        self.side_by_side = device == "CPU" or streams > 1 or not batch
        # OpenVINO takes bf16 by itself where the processor has it: f32 must be asked for.
        settings: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        if threads is not None and device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = threads
            settings["ENABLE_CPU_PINNING"] = False
        if streams > 1:
            settings["NUM_STREAMS"] = streams
        # Of a call of one row, and of rows side by side.
        self._settings = [settings, settings]
        if device == "CPU" and streams == 1 and (most := threads or cores()) > 1:
            self._settings[True] = {**settings, "NUM_STREAMS": most}
        # What compiled networks depend on, for those of earlier processes; None: they are not kept.
        self._made_of: tuple[object, ...] | None = None
        if device == "CPU" and (content := _content(file)) is not None:
            processor = self._core.get_property(device, "FULL_DEVICE_NAME")
            self._made_of = openvino.__version__, processor, content, outputs, side
        about, one = self._first()
        self.metadata: dict[str, str] = about["metadata"]
        self._shapes: list[Shape] = [tuple(shape) for shape in about["shapes"]]
        self.input_shape = self._shapes[0]
        self._one = one
        self.precision = PRECISIONS[precision]  # that it runs in
        with suppress(RuntimeError):  # AUTO does not tell
            self.precision = one.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self.precision != PRECISIONS[precision]:
            _note_precision(device, precision, self.precision)
        self._compiled: dict[tuple[bool, tuple[Shape, ...]], Any] = {}
        self._compiled[False, tuple((1, *shape[1:]) for shape in self._shapes)] = one
        self._seen: Counter[tuple[bool, tuple[Shape, ...]]] = Counter()
        self._frequent: set[tuple[bool, tuple[Shape, ...]]] = set()
        self._lock = threading.Lock()
        self._idle: defaultdict[int, deque[Any]] = defaultdict(deque)  # infer requests

    @functools.cached_property
    def _whole(self) -> Any:
        """The network as it is read."""
        try:
            if self._file.suffix != ".tflite":
                return self._core.read_model(self._file)
            with _READING:
                return _with_operations(self._core).read_model(self._file)
        except RuntimeError:
            fault = "it is missing, damaged, or not supported by OpenVINO"
            raise VitruvianError(f"cannot open '{self._file}': {fault}") from None

    @functools.cached_property
    def _model(self) -> Any:
        """The network with the outputs to compute."""
        if self._outputs is None:
            return self._whole
        whole = self._whole.outputs
        if len(whole) <= max(self._outputs):
            raise VitruvianError(
                f"'{self._file}' has {len(whole)} outputs, want {max(self._outputs) + 1}; it is "
                "another network"
            )
        kept = [whole[i].get_node() for i in self._outputs]
        return import_openvino().Model(kept, self._whole.get_parameters())

    def _first(self) -> tuple[dict[str, Any], Any]:
        """Metadata and shapes of inputs (None: any size), and the network for one row.

        Batch size 1 is compiled separately: a fifth faster than a dynamic batch size.
        """
        key = compiled.key(*self._made_of, self._settings[False], 1) if self._made_of else ""
        if key and (found := compiled.read(key)) is not None:
            about, _, content = found.partition(b"\n")
            if (one := self._imported(content, False)) is not None:
                return json.loads(about), one
        known: Any = {}
        if self._whole.has_rt_info("framework"):
            known = self._whole.get_rt_info("framework").value
        # What an ONNX file says of itself is kept by OpenVINO under "framework", also in an IR.
        metadata = {name: str(getattr(text, "value", text)) for name, text in known.items()}
        shapes = [
            [None if size.is_dynamic else size.get_length() for size in port.partial_shape]
            for port in self._whole.inputs
        ]
        if self._side is not None:
            shapes = [[shape[0], self._side, self._side, *shape[3:]] for shape in shapes]
        said = {"metadata": metadata, "shapes": shapes}
        one = self._made([[1, *shape[1:]] for shape in shapes], False)
        if key:
            line = json.dumps(said).encode() + b"\n"
            compiled.write(key, line + one.export_model().getvalue())
        return said, one

    def _compile(self, beside: bool, shapes: Sequence[Shape]) -> Any:
        """The network for these shapes; None: any size."""
        settings = self._settings[beside]
        key = compiled.key(*self._made_of, settings, shapes) if self._made_of else ""
        content = compiled.read(key) if key else None
        made = None if content is None else self._imported(content, beside)
        if made is not None:
            return made
        made = self._made(shapes, beside)
        if key:
            compiled.write(key, made.export_model().getvalue())
        return made

    def _made(self, shapes: Sequence[Sequence[int | None]], beside: bool) -> Any:
        sizes = [[-1 if size is None else size for size in shape] for shape in shapes]
        try:
            self._model.reshape(dict(zip(self._model.inputs, sizes, strict=True)))
            return self._core.compile_model(self._model, self._device, self._settings[beside])
        except RuntimeError as error:
            fault = f"OpenVINO cannot compile it for {self._device}: {_last_line(error)}"
            raise VitruvianError(f"cannot open '{self._file}': {fault}") from None

    def _imported(self, content: bytes, beside: bool) -> Any:
        """A network compiled before; None: this OpenVINO does not take it."""
        with suppress(RuntimeError):
            return self._core.import_model(content, self._device, self._settings[beside])

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Infer N rows: arrays of N rows in and out; N may be 0."""
        return self.start(*inputs)()

    def start(
        self, *inputs: np.ndarray, beside: bool = False
    ) -> Callable[[], tuple[np.ndarray, ...]]:
        """Start to infer N rows in the background; call what it returns once, for the results.

        Args:
            inputs: they must not change until then.
            beside: whether a single row also runs side by side with others, of other calls; by
                default it has all threads.
        """
        n = len(inputs[0])
        if n == 0:
            shapes = [output.partial_shape for output in self._one.outputs]
            sizes = [[0 if n.is_dynamic else n.get_length() for n in shape] for shape in shapes]
            return lambda: tuple(np.zeros([0, *size[1:]], np.float32) for size in sizes)
        if n > 1 and self.side_by_side:
            waits = [
                self._started([rows[i : i + 1] for rows in inputs], beside=True) for i in range(n)
            ]
            return lambda: tuple(
                np.concatenate(parts) for parts in zip(*(wait() for wait in waits), strict=True)
            )
        return self._started(inputs, beside=beside and self.side_by_side)

    def _for(self, shapes: tuple[Shape, ...], beside: bool) -> Any:
        """The network compiled for inputs of these shapes.

        Frequent shapes (of images of one size; on a GPU, of as many people in each frame) are
        compiled on their own: a tenth faster than one for any size, a fifth than one for any batch
        size, which pays off after a hundred calls.
        """
        single = all(shape[0] == 1 for shape in shapes)
        general = tuple((1 if single else None, *known[1:]) for known in self._shapes)
        beside = beside and self._settings[True] is not self._settings[False]
        with self._lock:
            if general != shapes:
                self._seen[beside, shapes] += 1
                if self._seen[beside, shapes] == OFTEN and len(self._frequent) < MOST_FIXED:
                    self._frequent.add((beside, shapes))
                if (beside, shapes) in self._frequent:
                    general = shapes
            if (beside, general) not in self._compiled:
                self._compiled[beside, general] = self._compile(beside, general)
            return self._compiled[beside, general]

    def _started(
        self, inputs: Sequence[np.ndarray], *, beside: bool
    ) -> Callable[[], tuple[np.ndarray, ...]]:
        network = self._for(tuple(rows.shape for rows in inputs), beside)
        idle = self._idle[id(network)]
        try:
            request = idle.pop()
        except IndexError:
            request = network.create_infer_request()
        request.start_async(list(inputs), share_inputs=True)

        def wait() -> tuple[np.ndarray, ...]:
            request.wait()
            # Its buffers are reused.
            results = tuple(np.array(part.data) for part in request.output_tensors)
            if len(idle) < MOST_IDLE:
                idle.append(request)
            n = len(inputs[0])
            if any(len(result) != n for result in results):
                shapes = [result.shape for result in results]
                raise ValueError(f"{self._file.name}: {n} rows in, {shapes} out")
            return results

        return wait

    @property
    def runs_on(self) -> str:
        """The device that runs it, as reported by OpenVINO, and its precision, if not f32."""
        device = ", ".join(self._one.get_property("EXECUTION_DEVICES"))
        return device if self.precision == "f32" else f"{device} in {self.precision}"


@functools.cache
def _note_precision(device: str, asked: str, used: str) -> None:
    """Once a process, though a model may have several networks."""
    note(f"{device} has no {asked} here: networks run in {used}")


def _content(file: Path) -> str | None:
    """SHA-256 of all that a network is made of; None: it cannot be read, or is in other files."""
    try:
        data = file.read_bytes()
        weights = file.with_suffix(".bin").read_bytes() if file.suffix == ".xml" else b""
    except OSError:
        return None
    if file.suffix == ".onnx" and b"location" in data:  # the key of tensors in files beside it
        return None
    return hashlib.sha256(data).hexdigest() + hashlib.sha256(weights).hexdigest()


def _last_line(error: RuntimeError) -> str:
    """The cause in an error of OpenVINO: the lines before give the place in its source code."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")


def convolutions(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of a network's convolutions, in execution order.

    Args:
        file: what OpenVINO reads, each of whose convolutions has a bias.

    Returns:
        For each, (C', C / groups, h, w) float32 and (C',) float32.
    """
    openvino = import_openvino()
    core = openvino_core()
    parts = []
    for node in core.read_model(file).get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            (add,) = node.output(0).get_target_inputs()
            bias = add.get_node().input_value(1 - add.get_index())
            parts += [node.input_value(1), bias]
    # They are stored as float16, some of them transposed: OpenVINO's own operations undo that.
    numbers = core.compile_model(
        openvino.Model(parts, []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    arrays = [np.array(value) for value in numbers({}).values()]
    shaped = [a.reshape(-1, *a.shape[-3:]) if a.ndim == 5 else a for a in arrays[::2]]
    return list(zip(shaped, [bias.ravel() for bias in arrays[1::2]], strict=True))
