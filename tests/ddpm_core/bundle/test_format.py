"""A bundle reads back what was written, and no changed byte of it is ever taken for one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ddpm_core.bundle.format import BUNDLE_FILE, FORMAT, MODEL_FILE, read_bundle
from ddpm_core.bundle.golden import Golden
from ddpm_core.errors import IntegrityError
from ddpm_core.files import json_bytes, sha256_bytes
from tests.support.tiny_bundle import tiny_bundle, tiny_graph, tiny_spec


def test_bundle_reads_back_exactly_what_was_written(tmp_path: Path) -> None:
    written = tiny_bundle(tmp_path / "b", golden=True)
    read = read_bundle(tmp_path / "b")
    assert read.digest == written.digest == sha256_bytes((tmp_path / "b" / BUNDLE_FILE).read_bytes())
    assert read.model == written.model == (tmp_path / "b" / MODEL_FILE).read_bytes()
    assert read.spec == written.spec
    assert read.sample == json.loads(json.dumps(written.sample))
    for table in ("a", "g", "time"):
        np.testing.assert_array_equal(getattr(read.schedule, table), getattr(written.schedule, table), strict=True)
    assert read.golden == written.golden


def test_same_content_gives_the_same_bytes_wherever_it_is_written(tmp_path: Path) -> None:
    first, second = tiny_bundle(tmp_path / "one"), tiny_bundle(tmp_path / "deep" / "er" / "two")
    assert first.digest == second.digest
    text = (tmp_path / "one" / BUNDLE_FILE).read_text()
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b", golden=True, T=5)
    draw = np.random.default_rng(0)
    for name in (BUNDLE_FILE, MODEL_FILE):
        file = tmp_path / "b" / name
        whole = file.read_bytes()
        for place in draw.integers(0, len(whole) * 8, 200):
            broken = bytearray(whole)
            broken[place // 8] ^= 1 << (place % 8)
            file.write_bytes(bytes(broken))
            with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
                read_bundle(tmp_path / "b")
        file.write_bytes(whole)
    read_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", [BUNDLE_FILE, MODEL_FILE])
@pytest.mark.parametrize("change", ["gone", "empty", "cut", "longer"])
def test_missing_and_cut_files_are_told_with_the_way_to_mend(tmp_path: Path, name: str, change: str) -> None:
    tiny_bundle(tmp_path / "b")
    file = tmp_path / "b" / name
    whole = file.read_bytes()
    if change == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": whole[:-10], "longer": whole + b" "}[change])
    with pytest.raises(IntegrityError, match=r"must .*got.*make the bundle again with `ddpm export`, or restore it"):
        read_bundle(tmp_path / "b")


def forged(folder: Path, **changes: object) -> None:
    """A bundle.json with other content and a right digest of it: damage cannot do that, a person can."""
    content = json.loads((folder / BUNDLE_FILE).read_bytes())
    del content["content_sha256"]
    content.update(changes)
    content = {key: value for key, value in content.items() if value is not ...}
    digest = sha256_bytes(json_bytes(content))
    (folder / BUNDLE_FILE).write_bytes(json_bytes({**content, "content_sha256": digest}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, r"format 3 or 2.*got format 1"),
        ({"spec": ...}, r"must describe a model in format 3.*KeyError: 'spec'"),
        ({"schedule": {"a": [1.0]}}, r"must describe a model in format 3"),
        ({"target": "wishes"}, r"target: must be one of eps, x0"),
        ({"variance": "some"}, r"variance: must be one of fixed_small"),
        ({"golden": {"seed": 1}}, r"must describe a model in format 3"),
        ({"extra": 1}, r"must say only what format 3 knows"),
        ({"model": {"file": "../model.onnx", "bytes": 3}}, r"must name the file model.onnx, got"),
        ({"model": None}, r"must name the file model.onnx, got None"),
        ({"sample": 3}, r"sample, provenance: must be mappings"),
    ],
)
def test_content_that_is_no_bundle_is_refused_even_with_a_right_digest(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    tiny_bundle(tmp_path / "b")
    forged(tmp_path / "b", **changes)
    with pytest.raises(IntegrityError, match=message):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[1]", "\xff", '{"a": NaN}'])
def test_hostile_json_is_refused(tmp_path: Path, text: str) -> None:
    tiny_bundle(tmp_path / "b")
    (tmp_path / "b" / BUNDLE_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(IntegrityError, match=r"bundle\.json: must be"):
        read_bundle(tmp_path / "b")


def test_weights_in_another_file_are_never_followed(tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(tiny_graph(tiny_spec()))
    onnx.external_data_helper.convert_model_to_external_data(model, size_threshold=0, location="other.data")
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    with pytest.raises(IntegrityError, match=r"must contain all its weights"):
        tiny_bundle(tmp_path / "b", model=model.SerializeToString())
    assert not (tmp_path / "b").exists()


def test_weights_in_another_file_are_not_followed_when_a_bundle_is_read_either(tmp_path: Path) -> None:
    """A bundle that somebody else put together, every digest in it right, and the other file beside it."""
    import onnx

    folder = tmp_path / "b"
    tiny_bundle(folder)
    onnx.save(
        onnx.load_from_string(tiny_graph(tiny_spec())),
        folder / MODEL_FILE,
        save_as_external_data=True,
        size_threshold=0,
        location="other.data",
    )
    assert (folder / "other.data").is_file()
    graph = (folder / MODEL_FILE).read_bytes()
    told = {**json.loads((folder / BUNDLE_FILE).read_bytes())["model"], "sha256": sha256_bytes(graph)}
    forged(folder, model={**told, "bytes": len(graph)})
    with pytest.raises(IntegrityError, match=r"model\.onnx: must contain all its weights"):
        read_bundle(folder)


def test_its_inputs_are_the_conditions_of_its_spec(tmp_path: Path) -> None:
    for conditional, names in ((True, ["x", "t", "label"]), (False, ["x", "t"])):
        tiny_bundle(tmp_path / "b", conditional=conditional)
        inputs = json.loads((tmp_path / "b" / "bundle.json").read_text())["model"]["inputs"]
        assert [each["name"] for each in inputs] == names
        assert inputs[0] == {"name": "x", "shape": [1, 8, 8], "dtype": "float32"}
        assert inputs[-1] == {"name": names[-1], "shape": [], "dtype": "int64" if conditional else "float32"}


def test_writing_takes_the_place_of_the_old_bundle_whole(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b")
    (tmp_path / "b" / "stray").write_text("left over")
    second = tiny_bundle(tmp_path / "b", T=20)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [BUNDLE_FILE, MODEL_FILE]
    assert read_bundle(tmp_path / "b").digest == second.digest


def test_golden_tells_equal_near_and_different() -> None:
    image = np.random.default_rng(0).integers(5, 250, (3, 64, 64)).astype(np.uint8)
    golden = Golden.of(image, seed=0, cond={}, sampler={}, tolerance=1.0)
    assert len(golden.values) <= 4096
    assert golden.compare(image) == "equal"
    assert golden.compare(image + 1) == "near"
    assert golden.compare(image + 2) == "different"
    assert golden.compare(image[:, ::2]) == "different"
    assert Golden.from_dict(json.loads(json.dumps(golden.to_dict(FORMAT))), FORMAT) == golden


def test_golden_of_data_without_levels_is_told_by_its_float32_values() -> None:
    data = np.random.default_rng(0).normal(0, 100, (2,)).astype(np.float32)
    golden = Golden.of(data, seed=0, cond={"angle": [0.0, 0.0]}, sampler={}, tolerance=0.25)
    assert golden.compare(data) == "equal"
    assert golden.compare(data + np.float32(0.2)) == "near"
    assert golden.difference(data + np.float32(0.5)) == pytest.approx(0.5, rel=1e-4)
    assert golden.compare(data + np.float32(0.5)) == "different"
    assert Golden.from_dict(json.loads(json.dumps(golden.to_dict(FORMAT))), FORMAT) == golden


@pytest.mark.parametrize("conditional", [True, False])
def test_a_bundle_of_the_format_before_is_read_as_what_it_was_and_keeps_its_name(
    tmp_path: Path, conditional: bool
) -> None:
    """There a golden sample had a label alone, and the DataSpec neither scaling nor kind."""
    now = tiny_bundle(tmp_path / "b", golden=True, conditional=conditional)
    content = json.loads((tmp_path / "b" / BUNDLE_FILE).read_bytes())
    golden, spec = content["golden"], content["spec"]
    label, digest = golden.pop("cond").get("label"), golden.pop("sha256")
    assert golden.pop("dtype") == "uint8"
    assert label == (0 if conditional else None)
    del spec["scaling"], spec["kind"]
    forged(tmp_path / "b", format=2, spec=spec, golden={**golden, "label": label, "pixels_sha256": digest})
    read = read_bundle(tmp_path / "b")
    assert (read.spec, read.golden) == (now.spec, now.golden)
    assert read.digest == sha256_bytes((tmp_path / "b" / BUNDLE_FILE).read_bytes())
    forged(tmp_path / "b", format=2, spec={**spec, "kind": "pictures"})
    with pytest.raises(IntegrityError, match=r"must say only what format 3 knows"):
        read_bundle(tmp_path / "b")
