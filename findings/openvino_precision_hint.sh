#!/bin/bash
# OpenVINO 2026.4.1, seen 29 and 30 November 2026: INFERENCE_PRECISION_HINT asks, it does not order. Where the
# processor lacks bf16 or f16, the network is compiled in another precision without an error or a warning: in
# f32, or for f16 in bf16 if the processor has that. The compiled model's property INFERENCE_PRECISION_HINT
# then says which. A model compiled for AUTO, which takes the same hint, refuses to tell it.
#
#    Guess: a precision that the device lacks is refused, or emulated; what was set can be read back.
#    Seen:  for each precision that OPTIMIZATION_CAPABILITIES of the CPU does not list, results equal those of
#           the other precision bit for bit, and the property names that one: f32, and bf16 for f16 on an AMD EPYC
#           whose list has BF16 and no FP16. For AUTO reading it is a RuntimeError.
#
# Prints what is seen; exits with 1 if that changes. (On a processor that has all three, only AUTO is seen.)
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "openvino==2026.4.1" "numpy==2.3.5"
cat > case.py <<'P'
import sys

import numpy as np
import openvino as ov
from openvino import opset13

rng = np.random.default_rng(0)
given = opset13.parameter([8, 256], np.float32, name="x")
weights = opset13.constant(rng.normal(0, 0.1, (256, 256)).astype(np.float32))
model = ov.Model([opset13.relu(opset13.matmul(given, weights, False, False))], [given])
x, core = rng.normal(0, 1, (8, 256)).astype(np.float32), ov.Core()
has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
print("openvino", ov.__version__.split("-")[0], "CPU has", has)


def made(device, hint):
    return core.compile_model(model, device, {"INFERENCE_PRECISION_HINT": hint})


def said(compiled):
    return compiled.get_property("INFERENCE_PRECISION_HINT").to_string()


exact = np.array(made("CPU", "f32")(x)[0])
good = True
for hint, name in (("bf16", "BF16"), ("f16", "FP16")):
    compiled = made("CPU", hint)
    used = "bf16" if hint == "f16" and "BF16" in has else "f32"
    result = np.array(compiled(x)[0])
    same = bool((result == np.array(made("CPU", used)(x)[0])).all())
    off = np.abs(result - exact).max()
    print(f"CPU, {hint}: {said(compiled)}, {off:.1e} from f32 at most; as {used}: {same}")
    good &= name in has or (said(compiled) == used and same)
try:
    print("AUTO:", said(made("AUTO", "f32")))
    good = False
except RuntimeError as error:
    print("AUTO:", str(error).strip().splitlines()[-1])
sys.exit(0 if good else 1)
P
v/bin/python case.py
