"""What was measured and what was judged of it, each bound by digests to what it rests on.

    out/bundle <- out/record.json -> out/samples, out/metrics.json        written by stage evaluate
    out/gate.json -> out/bundle, out/record.json, out/metrics.json        written by stage gate

A record names the bundle, the digest of metrics.json and of every file of samples, and its own. So whoever reads a
measurement back knows that nothing of it was changed alone. It is no signature: who changes a file and every digest
that leads to it is met by dvc.lock (dvc_lock.py), and who writes that anew too has made results of his own.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddpm_core.errors import DataError, IntegrityError
from ddpm_core.files import atomic_write_bytes, json_bytes, sha256_bytes, sha256_file
from ddpm_core.metrics.measurement import Measurement
from ddpm_core.metrics.recompute import disagreements, ways

METRICS, RECORD, SAMPLES = "metrics.json", "record.json", "samples"
TEACHER = "teacher"
"""In the samples of a student: the measurement of its teacher."""
OWN, FILES, FOLLOWS = "content_sha256", "files", "follows"
_MISSING = "run `ddpm run`, which makes or restores it"
_MEND = "delete it and run `ddpm run`, or measure the bundle again with `ddpm evaluate --bundle`"


def write_measured(out: Path, metrics: Mapping[str, float], record: Mapping[str, Any]) -> None:
    """Write metrics.json and record.json beside the samples, which lie in `out` already."""
    numbers = json_bytes(dict(metrics))
    files = {METRICS: sha256_bytes(numbers), **{f"{SAMPLES}/{name}": sha for name, sha in digests(out / SAMPLES)}}
    follows = ways(Measurement(json.loads(numbers), record))
    atomic_write_bytes(out / RECORD, with_own_digest({**record, FILES: files, FOLLOWS: follows}))
    atomic_write_bytes(out / METRICS, numbers)


def with_own_digest(content: Mapping[str, Any]) -> bytes:
    """The JSON text of a record, with the digest of its content inside."""
    plain = {key: value for key, value in content.items() if key != OWN}
    return json_bytes({**plain, OWN: sha256_bytes(json_bytes(plain))})


def digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and digest of each file of a folder, by name."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), sha256_file(path)


def read_measured(metrics: Path, record: Path, samples: Path | None, *, whole: bool = True) -> Measurement:
    """A measurement whose every part has the digest that the record names; IntegrityError says which has not.

    Of `samples` that are not `whole` (a run's artifacts, say) only the files that are there are looked at.
    """
    numbers, raw = read_json(metrics)
    content = read_own(record)
    files = content.get(FILES)
    if not isinstance(files, dict) or METRICS not in files or not isinstance(content.get(FOLLOWS), dict):
        raise IntegrityError(f"{record}: must name the digests of what was measured, got none; {_MEND}")
    _same(metrics, sha256_bytes(raw), files[METRICS], record)
    if samples is not None:
        _check_samples(samples, {n.removeprefix(f"{SAMPLES}/"): sha for n, sha in files.items()}, record, whole=whole)
    found = Measurement(numbers, content)
    _check_follows(found, metrics, record)
    return found


def check_bundle(folder: Path, digest: str, record: Path) -> None:
    """IntegrityError unless the folder holds the bundle that was measured; what is in it is not read."""
    about = folder / "bundle.json"
    if not about.is_file():
        raise IntegrityError(f"{about}: must be the bundle that {record} is about, and there is none; {_MISSING}")
    if (found := sha256_file(about)) != digest:
        raise IntegrityError(
            f"{about}: must be the bundle with the digest {digest}, which {record} is about, got {found}; run "
            "`ddpm run` (or `dvc repro`) to measure this one"
        )
    told = read_json(about)[0]
    graphs = {folder / each["file"]: each["sha256"] for each in (told["model"], *told.get("graphs", {}).values())}
    if other := sorted(path for path in folder.iterdir() if path != about and path not in graphs):
        raise IntegrityError(f"{other[0]}: must be gone, for it is none of the files of this bundle; delete it")
    for graph, wanted in graphs.items():
        if not graph.is_file():
            raise IntegrityError(
                f"{graph}: must be there, for {about} names it, but the file was not found; {_MISSING}"
            )
        came = sha256_file(graph)
        if wanted != came:
            raise IntegrityError(f"{graph}: must have SHA-256 {wanted}, which {about} names, got {came}; {_MEND}")


def read_own(path: Path) -> dict[str, Any]:
    """A JSON object that holds the digest of its own content, verified."""
    content, raw = read_json(path)
    if OWN not in content:
        raise IntegrityError(f"{path}: must hold the digest of its own content ({OWN}), got none; {_MEND}")
    if (wanted := with_own_digest(content)) != raw:
        came, held = content[OWN], json.loads(wanted)[OWN]
        what = f"the digest {came} that was written in it, got {held}" if came != held else "the text it was written as"
        raise IntegrityError(f"{path}: must have {what}: something changed it; {_MEND}")
    return content


def read_json(path: Path) -> tuple[dict[str, Any], bytes]:
    """The object in a JSON file that a stage wrote, and the file's bytes."""
    if not path.is_file():
        raise DataError(f"{path}: there must be a measurement to judge; run `ddpm evaluate` first")
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path}: must be JSON, but {error}; run `ddpm evaluate` again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: must be a JSON object, got {type(value).__name__}; run `ddpm evaluate` again")
    return value, data


def _check_samples(folder: Path, named: Mapping[str, str], record: Path, *, whole: bool) -> None:
    named = {name: sha for name, sha in named.items() if name != METRICS}
    found = dict(digests(folder))
    if whole and (other := sorted(named.keys() ^ found.keys())):
        missing = other[0] in named
        raise IntegrityError(
            f"{folder / other[0]}: must be {'there' if missing else 'gone'}, for {record} names the files of "
            f"{folder.name} and {'it is' if missing else 'it is not'} among them; {_MISSING if missing else _MEND}"
        )
    for name in named.keys() & found.keys():
        _same(folder / name, found[name], named[name], record)


def _same(path: Path, found: str, wanted: Any, record: Path) -> None:
    if found != wanted:
        raise IntegrityError(
            f"{path}: must have SHA-256 {wanted}, which {record} names, got {found}: stage evaluate did not "
            f"write this; {_MEND}"
        )


def _check_follows(found: Measurement, metrics: Path, record: Path) -> None:
    try:
        wrong = disagreements(found, found.record[FOLLOWS])
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{record}: must hold what the intervals of {metrics.name} are made of, but {type(error).__name__}: "
            f"{error}; {_MEND}"
        ) from error
    if wrong:
        said = ", ".join(f"{name} {came}, not {wanted}" for name, (came, wanted) in sorted(wrong.items())[:3])
        raise IntegrityError(f"{metrics}: must say what follows from {record}, but it says {said}; {_MEND}")
