"""Which network is opened for --variant: laws of the choice, and what is refused."""

from pathlib import Path

import pytest

from ddpm_core.errors import IntegrityError, ParamsError
from pipelines.cli import main
from pipelines.commands.variants import batches_of
from pipelines.variants.index import choose, folder_of, machine, read_index
from pipelines.variants.timing import milliseconds
from tests.support.tiny_bundle import tiny_bundle
from tests.support.variants import with_variant


def test_without_variants_auto_is_the_bundle_and_a_name_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    assert choose(tmp_path / "bundle", bundle.digest, "auto", 1).name == "fp32"
    with pytest.raises(ParamsError, match="int8"):
        choose(tmp_path / "bundle", bundle.digest, "int8", 1)


def test_auto_takes_the_fastest_that_passed_at_the_batch(tmp_path: Path) -> None:
    first, other = with_variant(tmp_path)
    folder = tmp_path / "bundle"
    assert choose(folder, first.digest, "auto", 2).folder == folder_of(folder) / "int8"
    assert choose(folder, first.digest, "auto", 64).folder == folder
    choose(folder, first.digest, "auto", 1).check(other.digest)
    with pytest.raises(IntegrityError, match=first.digest):
        choose(folder, first.digest, "auto", 1).check(first.digest)


@pytest.mark.parametrize("outcome", ["fail", "not enough evidence"])
def test_what_did_not_pass_is_never_taken(tmp_path: Path, outcome: str) -> None:
    first, _ = with_variant(tmp_path, outcome)
    assert choose(tmp_path / "bundle", first.digest, "auto", 1).name == "fp32"
    with pytest.raises(ParamsError, match=outcome):
        choose(tmp_path / "bundle", first.digest, "int8", 1)


def test_auto_trusts_no_times_of_another_machine(tmp_path: Path) -> None:
    first, _ = with_variant(tmp_path, where="another")
    assert choose(tmp_path / "bundle", first.digest, "auto", 1).name == "fp32"
    assert choose(tmp_path / "bundle", first.digest, "int8", 1).name == "int8"


def test_variants_of_another_bundle_do_not_count(tmp_path: Path) -> None:
    with_variant(tmp_path)
    assert choose(tmp_path / "bundle", "0" * 64, "auto", 1).name == "fp32"
    with pytest.raises(ParamsError, match="another bundle"):
        choose(tmp_path / "bundle", "0" * 64, "int8", 1)


def test_a_changed_index_is_refused(tmp_path: Path) -> None:
    with_variant(tmp_path, "fail")
    file = folder_of(tmp_path / "bundle") / "variants.json"
    file.write_bytes(file.read_bytes().replace(b'"fail"', b'"pass"'))
    with pytest.raises(IntegrityError, match="digest"):
        read_index(tmp_path / "bundle")


def test_the_machine_is_told_with_its_int8(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert machine(tmp_path / "cpuinfo") == "Some CPU, avx2, avx512_vnni"


def test_each_network_is_timed_at_each_batch(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    ms = milliseconds({"fp32": bundle, "again": bundle}, [1, 4])
    assert {name: sorted(times) for name, times in ms.items()} == {"fp32": ["1", "4"], "again": ["1", "4"]}


@pytest.mark.parametrize("text", ["", "0", "1,x"])
def test_batches_are_whole_numbers(text: str) -> None:
    assert batches_of("1,16") == [1, 16]
    with pytest.raises(ParamsError, match="--batches"):
        batches_of(text)


def test_sample_opens_the_variant_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    _, other = with_variant(tmp_path)
    words = ["sample", "--bundle", str(tmp_path / "bundle"), "--n", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "a.png"), "--variant", "auto"]) == 0
    assert "variant int8" in capsys.readouterr().err
    told = Image.open(tmp_path / "a.png").info
    assert other.digest in told.values() or told.get("bundle") == other.digest
    assert main([*words, "--out", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
