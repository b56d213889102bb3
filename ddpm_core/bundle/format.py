"""A bundle: a folder with `model.onnx` and `bundle.json`, which has everything a sampler must know about the model.

`bundle.json` has the DataSpec with the network's conditions, the schedule's tables as exact floats, what the network
predicts, the default sampler, the digest of `model.onnx`, a golden sample to test the model, and its provenance:
digests and versions, never a date, a host or a path. It is one canonical JSON text with its own digest, so reading a
bundle detects a flipped bit in any file. Other files in the folder are ignored.

A network that is sampled column by column has a second graph, `encoder.onnx`, and the keys `procedure` and `graphs`; a
student of another bundle's network has the key `student`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from ddpm_core.bundle.golden import WITH_LABEL, Golden
from ddpm_core.bundle.graph_check import check_graph
from ddpm_core.bundle.student import Student
from ddpm_core.diffusion.parameterisation import Parameterisation, Target
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import VarianceName
from ddpm_core.errors import DdpmError, IntegrityError, ParamsError
from ddpm_core.files import atomic_folder, json_bytes, sha256_bytes
from ddpm_core.procedure import ENCODER_FILE, MODEL_FILE, Graph, Rollout, graphs_of
from ddpm_core.spec import DataSpec

FORMAT = 3
BUNDLE_FILE = "bundle.json"
OUTPUT = "out"
_MEND = "make the bundle again with `ddpm export`, or restore it with `dvc checkout out/bundle`"
_JSON_LIMIT = 64 << 20


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model and everything needed to sample from it. `model` is the verified content of model.onnx.

    `procedure` None: the network is sampled in one loop, and model.onnx is its only graph. `others` has the content of
    the procedure's other graphs by file.
    """

    spec: DataSpec
    schedule: Schedule
    target: Target
    variance: VarianceName
    sample: Mapping[str, Any]
    golden: Golden | None
    provenance: Mapping[str, Any]
    model: bytes = field(repr=False)
    format: int = FORMAT
    procedure: Rollout | None = None
    others: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    student: Student | None = None

    def __post_init__(self) -> None:
        known = get_args(VarianceName)
        if self.variance not in known:
            raise ParamsError(f"variance: must be one of {', '.join(known)}, got {self.variance!r}")
        if not isinstance(self.sample, Mapping) or not isinstance(self.provenance, Mapping):
            raise ParamsError("sample, provenance: must be mappings")
        if set(self.contents) != set(self.graphs):
            raise ParamsError(f"graphs: must be {', '.join(self.graphs)}, got {', '.join(self.contents)}")

    @cached_property
    def parameterisation(self) -> Parameterisation:
        """What the network predicts."""
        return Parameterisation(self.target, self.schedule)

    @property
    def learned_variance(self) -> bool:
        """Whether the network's second half of channels gives the variance."""
        return self.variance == "learned"

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """What each graph takes and gives, by file."""
        return graphs_of(self.spec, self.procedure, self.learned_variance)

    @property
    def columns(self) -> int:
        """How many parts of a datum have a sampling loop of their own."""
        return 1 if self.procedure is None else self.spec.shape[-1]

    @property
    def contents(self) -> dict[str, bytes]:
        """The content of each graph, by file."""
        return {MODEL_FILE: self.model, **self.others}

    @cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each graph, by file."""
        return {file: sha256_bytes(content) for file, content in self.contents.items()}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of bundle.json, which has that of each graph: the identity of this bundle."""
        return sha256_bytes(self.json_bytes())

    def json_bytes(self) -> bytes:
        """The bytes of bundle.json."""
        spec = self.spec.to_dict()
        if self.format == WITH_LABEL:
            spec = {key: value for key, value in spec.items() if key not in ("scaling", "kind")}
        content: dict[str, Any] = {
            "format": self.format,
            "spec": spec,
            "schedule": self.schedule.to_dict(),
            "target": self.target,
            "variance": self.variance,
            "sample": dict(self.sample),
            "model": self._about(MODEL_FILE),
            "golden": None if self.golden is None else self.golden.to_dict(self.format),
            "provenance": dict(self.provenance),
        }
        if self.procedure is not None:
            content["procedure"] = {"kind": "rollout", **asdict(self.procedure)}
            content["graphs"] = {file: self._about(file) for file in self.others}
        if self.student is not None:
            content["student"] = asdict(self.student)
        return json_bytes({**content, "content_sha256": sha256_bytes(json_bytes(content))})

    def _about(self, file: str) -> dict[str, Any]:
        """What bundle.json says of a graph."""
        inputs = self.graphs[file].inputs
        return {
            "file": file,
            "sha256": self.digests[file],
            "bytes": len(self.contents[file]),
            "inputs": [{"name": name, "shape": list(each.shape), "dtype": each.dtype} for name, each in inputs.items()],
            "output": OUTPUT,
        }

    def write(self, folder: Path) -> None:
        """Write the folder atomically, replacing an earlier one."""
        for file, content in self.contents.items():
            _check_graph(folder / file, content)
        with atomic_folder(folder) as temporary:
            for file, content in self.contents.items():
                (temporary / file).write_bytes(content)
            (temporary / BUNDLE_FILE).write_bytes(self.json_bytes())


def read_bundle(path: Path) -> Bundle:
    """Read a bundle and verify every byte; an IntegrityError names the damaged file and how to mend it."""
    path = Path(path)
    content = _read_json(path / BUNDLE_FILE)
    model = _read_graph(path / MODEL_FILE, content.get("model"))
    others = {file: _read_graph(path / file, told) for file, told in _other_graphs(path, content).items()}
    try:
        golden = content["golden"]
        bundle = Bundle(
            spec=DataSpec.from_dict(content["spec"]),
            schedule=Schedule.from_dict(content["schedule"]),
            target=content["target"],
            variance=content["variance"],
            sample=content["sample"],
            golden=None if golden is None else Golden.from_dict(golden, content["format"]),
            provenance=content["provenance"],
            model=model,
            format=content["format"],
            procedure=_procedure(content),
            others=others,
            student=Student(**content["student"]) if "student" in content else None,
        )
        _ = bundle.parameterisation  # refuses a target that does not fit the schedule
        same = bundle.json_bytes() == json_bytes(content)
    except (KeyError, TypeError, ValueError, AttributeError, DdpmError) as error:
        raise IntegrityError(
            f"{path / BUNDLE_FILE}: must describe a model in format {FORMAT}, got content that cannot be read as one "
            f"({type(error).__name__}: {error}); {_MEND}"
        ) from error
    if not same:
        raise IntegrityError(
            f"{path / BUNDLE_FILE}: must say only what format {FORMAT} knows (no other key, file, input or output "
            f"name), got something else; {_MEND}"
        )
    return bundle


def _read_json(file: Path) -> dict[str, Any]:
    raw = _read(file, _JSON_LIMIT)
    try:
        content = json.loads(raw)
        canonical = json_bytes(content)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{file}: must be a JSON text, got one that does not parse ({error}); {_MEND}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise IntegrityError(f"{file}: must be a JSON object with the key `format`, got another content; {_MEND}")
    if content["format"] not in (WITH_LABEL, FORMAT):
        raise IntegrityError(
            f"{file}: must be of format {FORMAT} or {WITH_LABEL}, got format {content['format']!r}; sample with "
            f"the version of ddpm-pipeline that wrote it, or {_MEND}"
        )
    inner = {key: value for key, value in content.items() if key != "content_sha256"}
    found, written = sha256_bytes(json_bytes(inner)), content.get("content_sha256")
    if found != written or canonical != raw:
        raise IntegrityError(f"{file}: must have the digest {written} that is written in it, got {found}; {_MEND}")
    return content


def _procedure(content: Mapping[str, Any]) -> Rollout | None:
    if "procedure" not in content:
        return None
    told = content["procedure"]
    return Rollout(state=int(told["state"]), warm_up=int(told["warm_up"]))


def _other_graphs(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """What bundle.json says of the graphs beside model.onnx; no other file than theirs is opened."""
    told = content.get("graphs", {})
    wanted = [ENCODER_FILE] if "procedure" in content else []
    if not isinstance(told, dict) or sorted(told) != wanted:
        raise IntegrityError(f"{folder / BUNDLE_FILE}: graphs must be {wanted}, got {told!r}; {_MEND}")
    return told


def _read_graph(file: Path, model: Any) -> bytes:
    """The content of a graph, verified by what bundle.json says of it."""
    if not isinstance(model, dict) or model.get("file") != file.name or not isinstance(model.get("bytes"), int):
        raise IntegrityError(f"{file.parent / BUNDLE_FILE}: must name the file {file.name}, got {model!r}; {_MEND}")
    size = model["bytes"]
    data = _read(file, size)
    if len(data) != size or sha256_bytes(data) != model.get("sha256"):
        raise IntegrityError(
            f"{file}: must have {size} bytes and SHA-256 {model.get('sha256')}, got {len(data)} bytes and "
            f"{sha256_bytes(data)}; {_MEND}"
        )
    _check_graph(file, data)
    return data


def _read(file: Path, limit: int) -> bytes:
    if not file.is_file():
        raise IntegrityError(f"{file}: must be a file of the bundle, got none; {_MEND}")
    size = file.stat().st_size
    if size > limit:
        raise IntegrityError(f"{file}: must have at most {limit} bytes, got {size}; {_MEND}")
    return file.read_bytes()


def _check_graph(file: Path, model: bytes) -> None:
    try:
        check_graph(model)
    except IntegrityError as error:
        raise IntegrityError(f"{file}: {error}; {_MEND}") from error
