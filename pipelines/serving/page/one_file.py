"""The page as one HTML file that samples in the browser: the model, its plans and onnxruntime-web inside, no server."""

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ddpm_core.errors import ParamsError
from ddpm_core.pseudo_classes import has_pseudo_classes
from ddpm_core.samplers.config import sampler_kinds
from ddpm_core.spec import LABEL
from pipelines.sampling.bundle_sampler import Sampler
from pipelines.sampling.recipe import Recipe
from pipelines.serving.page import FOLDER

RUNTIME = Path(__file__).parents[3] / "infra" / "page" / "node_modules" / "onnxruntime-web"
"""Where `make page-runtime` puts onnxruntime-web."""
_MODULE, _WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
_STEPS = (1, 2, 5, 10, 20, 50)
_MOST_PICTURES = 64
_IMPORT = re.compile(r'(?<=from ")\./([a-z_]+\.js)(?=")')
_STAND_INS = {"service.js": "local.js"}
"""What the page imports, and what it finds in the file instead."""


def one_file(sampler: Sampler, runtime: Path = RUNTIME) -> str:
    """The HTML text; ParamsError where the bundle, or the runtime, is not one that it can hold."""
    _check(sampler)
    module, wasm = (_runtime_file(runtime, name) for name in (_MODULE, _WASM))
    about = {"info": _info(sampler), "plans": _plans(sampler), "licences": _licences(runtime)}
    modules = {name: text.encode() for name, text in _modules("main.js")} | {"ort.js": module}
    imports = {f"page/{name}": _data_url(content) for name, content in modules.items()}
    scripts = [
        ("importmap", "modules", json.dumps({"imports": imports})),
        ("application/json", "about-data", _embedded_json(about)),
        ("application/octet-stream", "model-data", _packed(sampler.bundle.model)),
        ("application/octet-stream", "runtime-data", _packed(wasm)),
        ("module", "start", 'import "page/main.js";'),
    ]
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    style, icon = ((FOLDER / name).read_text(encoding="utf-8") for name in ("style.css", "icon.svg"))
    page = page.replace('<link rel="stylesheet" href="page/style.css">', f"<style>\n{style}</style>")
    page = page.replace('href="page/icon.svg"', f'href="{_data_url(icon.encode(), "image/svg+xml")}"')
    page = page.replace('  <script type="module" src="page/main.js"></script>\n', "")
    tags = "\n".join(f'<script type="{kind}" id="{name}">{text}</script>' for kind, name, text in scripts)
    return page.replace("</body>", f"{tags}\n</body>")


def _check(sampler: Sampler) -> None:
    spec, bundle = sampler.bundle.spec, sampler.bundle
    wrong = [
        (spec.kind == "pictures" and spec.channels in (1, 3), "of pictures, grey or in colour"),
        (bundle.procedure is None, "of a network that is sampled in one loop"),
        (set(spec.conditions) <= {LABEL}, "that is told a class or nothing"),
        (not has_pseudo_classes(spec), "of data that have labels, or that are not grouped (source.clusters)"),
        (sampler.defaults.guidance.rescale == 0, "whose guidance is not rescaled"),
        (spec.range is not None and spec.levels is not None and spec.levels <= 256, "of data with levels"),
    ]
    if wanted := [text for holds, text in wrong if not holds]:
        raise ParamsError(
            f"--bundle: must be a bundle {wanted[0]} for a page of its own; take `ddpm serve` for this one"
        )


def _runtime_file(runtime: Path, name: str) -> bytes:
    file = runtime / name
    if not file.is_file():
        raise ParamsError(
            f"--runtime: must be the folder of the npm package onnxruntime-web, with {name}, got {runtime}; run "
            "`make page-runtime` once, which needs npm and the network"
        )
    return file.read_bytes()


def _info(sampler: Sampler) -> dict[str, Any]:
    """What `GET /v1/model` says to the page, and what only a sampler in the browser wants to know."""
    bundle, defaults = sampler.bundle, asdict(sampler.defaults)
    spec = bundle.spec
    return {
        "bundle": bundle.digest,
        "kind": spec.kind,
        "about": dict(spec.about),
        "shape": list(spec.shape),
        "range": list(spec.range or ()),
        "grades": spec.levels,
        "classes": list(spec.classes),
        "defaults": defaults,
        "samplers": list(_plans_of(sampler)),
        "stepChoices": _steps(sampler),
        "levels": bundle.schedule.T,
        "evaluations": sampler.recipe().cost(1),
        "student": None if bundle.student is None else asdict(bundle.student),
        "limits": {spec.kind: _MOST_PICTURES},
        "device": "this browser, by onnxruntime-web",
        "provenance": dict(bundle.provenance),
    }


def _steps(sampler: Sampler) -> list[int]:
    wanted = {*_STEPS, sampler.defaults.sampler.steps}
    return sorted(steps for steps in wanted if steps <= sampler.bundle.schedule.T)


def _plans_of(sampler: Sampler) -> dict[str, dict[int, Recipe]]:
    """The recipes by sampler and steps: those that a clip or nothing bounds, and that are possible for the bundle."""
    found: dict[str, dict[int, Recipe]] = {}
    for kind in sampler_kinds():
        for steps in _steps(sampler):
            try:
                recipe = sampler.recipe(kind, steps)
            except ParamsError:
                continue
            if recipe.plan.bound != "dynamic":
                found.setdefault(kind, {})[steps] = recipe
    if sampler.defaults.sampler.steps not in found.get(sampler.defaults.sampler.kind, {}):
        raise ParamsError("--bundle: must have a default sampler that clips or does not bound; the page has no other")
    return found


def _plans(sampler: Sampler) -> dict[str, dict[str, Any]]:
    bundle = sampler.bundle
    plans: dict[str, dict[str, Any]] = {}
    for kind, by_steps in _plans_of(sampler).items():
        for steps, recipe in by_steps.items():
            low, high = recipe.interval or (float("-inf"), float("inf"))
            rows = recipe.plan.rows(bundle.parameterisation)
            plans.setdefault(kind, {})[str(steps)] = {
                "rows": [{**row._asdict(), "guided": low <= row.time <= high} for row in rows],
                "memory": recipe.plan.memory,
                "start_scale": recipe.plan.start_scale,
                "bound": list(bundle.spec.range or ()) if recipe.plan.bound == "clip" else None,
            }
    return plans


def _modules(first: str) -> Iterator[tuple[str, str]]:
    """The page's modules from the first on, which name each other as the import map does."""
    waiting, done = [first], {"ort.js"}
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        text = (FOLDER / name).read_text(encoding="utf-8")
        waiting += [_STAND_INS.get(other, other) for other in _IMPORT.findall(text)]
        yield name, _IMPORT.sub(lambda found: f"page/{_STAND_INS.get(found[1], found[1])}", text)


def _licences(runtime: Path) -> Mapping[str, str]:
    """The texts that go with onnxruntime: the package for npm has none, so they are those of the one for Python."""
    version = json.loads(_runtime_file(runtime, "package.json"))["version"]
    found = find_spec("onnxruntime")
    if found is None or found.origin is None:
        raise ParamsError("onnxruntime: must be installed, for its licences; `make install-serve` does it")
    folder = Path(found.origin).parent
    files = {f"onnxruntime-web {version}": "LICENSE", "what onnxruntime contains": "ThirdPartyNotices.txt"}
    return {name: (folder / file).read_text(encoding="utf-8") for name, file in files.items()}


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _data_url(content: bytes, media: str = "text/javascript") -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def _embedded_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
