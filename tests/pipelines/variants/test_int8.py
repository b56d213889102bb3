"""The int8 variant of a tiny bundle: its error, what it keeps in float32, its bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm_core.bundle.format import read_bundle
from ddpm_core.errors import DataError, ExportError, IntegrityError, ParamsError
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.shards.archive import Split
from pipelines.variants import int8
from pipelines.variants.build import int8_bundle
from pipelines.variants.int8 import Quantised, Quantiser, int8_within
from pipelines.variants.parity import answers, errors
from pipelines.variants.probes import Probe, probes_of
from tests.support.tiny_bundle import tiny_bundle, tiny_sample_config, tiny_spec


def split(n: int = 12) -> Split:
    draw = np.random.default_rng(3)
    x = draw.integers(0, 256, (n, *tiny_spec().shape)).astype(np.uint8)
    return Split({"x": x, "label": np.arange(n, dtype=np.int64) % 3}, [str(i) for i in range(n)])


@pytest.fixture
def probed(tmp_path: Path) -> Any:
    bundle = tiny_bundle(tmp_path / "bundle", golden=True)
    recipe = Sampler(bundle, "cpu").recipe()
    return bundle, probes_of(bundle, recipe, split(), 8), probes_of(bundle, recipe, split(), 4, first=8)


def test_a_probe_is_the_datum_noised_to_a_level_of_the_plan(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", sample=tiny_sample_config(steps=5, guidance=1.0))
    recipe = Sampler(bundle, "cpu").recipe()
    probes = probes_of(bundle, recipe, split(), 6)
    assert [probe.level for probe in probes] == recipe.plan.t.tolist()
    assert probes[0].feeds["label"].tolist() == [0, 3, 2, 3, 1, 3]  # guided: every second one is told none
    x0, schedule = bundle.spec.encode(split().x[:6]), bundle.schedule
    for probe in probes:
        noise = (probe.feeds["x"] - schedule.a[probe.level] * x0) / schedule.g[probe.level]
        assert abs(float(noise.std()) - 1) < 0.15
        assert (probe.feeds["t"] == schedule.time[probe.level]).all()


def test_too_few_data_are_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(DataError, match="13"):
        probes_of(bundle, Sampler(bundle, "cpu").recipe(), split(), 13)


def test_a_wide_limit_keeps_no_layer_in_float32(probed: Any) -> None:
    bundle, calibration, probes = probed
    made = int8_within(bundle.model, calibration, probes, 0.5)
    assert made.kept == ()
    assert len(made.quantised) == 2  # the convolutions; the product of the time does not work on x
    assert b"QuantizeLinear" in made.model
    assert 0 < max(made.errors) < 0.1


def test_a_narrow_limit_keeps_the_layer_that_costs_most_error_for_its_work(probed: Any) -> None:
    bundle, calibration, probes = probed
    wide = int8_within(bundle.model, calibration, probes, 0.5)
    quantiser, wanted = Quantiser(bundle.model, calibration), answers(bundle.model, probes)
    alone = {name: max(errors(answers(quantiser.int8([name]), probes), wanted, probes)) for name in quantiser.work}
    worst = max(alone, key=lambda name: alone[name] ** 2 / quantiser.work[name])
    made = int8_within(bundle.model, calibration, probes, max(wide.errors) * 0.999)
    assert made.kept == (worst,)
    assert max(made.errors) < max(wide.errors)


def test_who_computes_in_float32_reads_what_was_not_rounded() -> None:
    """h is read by a convolution in int8, with small answers, and by a sum that must not see the 8 bits."""
    model, probes = _with_residual(1e-3), _probes_of_residual()
    quantiser = Quantiser(model, probes)
    (difference,) = errors(answers(quantiser.int8(list(quantiser.work)), probes), answers(model, probes), probes)
    h = 2 * probes[0].feeds["x"]
    assert 0 < difference < 0.1 * _step(h) / 12**0.5  # as large as rounding h to 8 bits would make it


def test_a_layer_in_int8_reads_the_input_rounded_and_is_read_rounded_itself() -> None:
    import onnx

    quantiser = Quantiser(_with_residual(1.0, twice=False), _probes_of_residual())
    nodes = {node.name: node for node in onnx.load_from_string(quantiser.int8(list(quantiser.work))).graph.node}
    made_by = {output: node for node in nodes.values() for output in node.output}
    layer, total = nodes["layer"], nodes["total"]
    assert [made_by[name].op_type for name in layer.input] == ["DequantizeLinear"] * 3
    assert total.input[0] == "x"  # which the layer reads too
    assert made_by[made_by[total.input[1]].input[0]].input[0] == layer.output[0]


def test_the_fewest_layers_stay_in_float32_where_the_error_does_not_fall_with_each(
    probed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, calibration, probes = probed
    found = {
        count: Quantised(b"", (), ("",) * count, (error,)) for count, error in enumerate([0.3, 0.1, 0.3, 0.3, 0.1, 0.1])
    }
    monkeypatch.setattr(Quantiser, "int8", lambda *_: bundle.model)
    monkeypatch.setattr(int8, "_candidates", lambda _: dict.fromkeys("abcdef", 1))
    monkeypatch.setattr(int8, "_with_kept", lambda _quantiser, _order, count, *_: found[count])
    assert int8_within(bundle.model, calibration, probes, 0.2) is found[1]


def _probes_of_residual() -> list[Probe]:
    return [Probe(1, 1.0, {"x": np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)})]


def _step(values: Any) -> float:
    """Of 8 bits over the range of the values."""
    return float(np.ptp(values)) / 255


def _with_residual(size: float, twice: bool = True) -> bytes:
    """out = h + convolution(h), where h is 2 x or x itself."""
    import onnx
    from onnx import helper, numpy_helper

    weight = np.random.default_rng(1).normal(size=(3, 3, 3, 3)).astype(np.float32) * np.float32(size)
    h = "h" if twice else "x"
    nodes = [
        *([helper.make_node("Add", ["x", "x"], ["h"])] if twice else []),
        helper.make_node("Conv", [h, "weight", "bias"], ["branch"], "layer", pads=[1, 1, 1, 1]),
        helper.make_node("Add", [h, "branch"], ["out"], "total"),
    ]
    tables = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.zeros(3, np.float32), "bias")]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, 8, 8]) for name in ("x", "out")]
    graph = helper.make_graph(nodes, "residual", ends[:1], ends[1:], tables)
    opsets = [helper.make_opsetid("", 20)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def test_a_limit_that_no_layer_meets_is_refused(probed: Any) -> None:
    bundle, calibration, probes = probed
    with pytest.raises(ExportError, match="1e-09"):
        int8_within(bundle.model, calibration, probes, 1e-9)


def test_the_variant_is_a_bundle_of_its_own(probed: Any, tmp_path: Path) -> None:
    bundle, *_ = probed
    made, error = int8_bundle(bundle, split(), calibrated=8, compared=4, limit=0.5)
    again, _ = int8_bundle(bundle, split(), calibrated=8, compared=4, limit=0.5)
    assert made.digest == again.digest != bundle.digest
    about = made.provenance["variant"]
    assert (about["name"], about["of"], about["quantised"]) == ("int8", bundle.digest, 2)
    assert max(about["parity"]["rms_of_x0_hat"]) == pytest.approx(error, abs=1e-6)
    made.write(tmp_path / "int8")
    sampler = Sampler(read_bundle(tmp_path / "int8"), "cpu")
    assert sampler.check_golden() == "equal"
    model = tmp_path / "int8" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match="SHA-256"):
        read_bundle(tmp_path / "int8")


def test_a_rollout_has_no_variants(probed: Any) -> None:
    bundle, *_ = probed
    recipe = Sampler(bundle, "cpu").recipe()
    rollout = _with_procedure(bundle)
    with pytest.raises(ParamsError, match="column after column"):
        probes_of(rollout, recipe, split(), 4)


def _with_procedure(bundle: Any) -> Any:
    from ddpm_core.procedure import ENCODER_FILE, Rollout

    return replace(bundle, procedure=Rollout(state=2, warm_up=1), others={ENCODER_FILE: b"graph"})
