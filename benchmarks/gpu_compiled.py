"""A short compiled training in a process of its own: prints the digest of its tensors and its seconds as JSON.

gpu_acceptance.py runs it twice with empty caches. `python benchmarks/gpu_compiled.py cuda|cpu [tiny]`
"""

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))


def main() -> None:
    import os

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import gpu_common
    import gpu_tensors

    from ddpm_core.training.compiled import compiler

    began = time.monotonic()
    context = gpu_common.Context.of(sys.argv[1], "tiny" in sys.argv[2:])
    dtype = gpu_common.prepare("bf16" if context.cuda else "fp32")
    config = gpu_common.config_of(steps=5, batch_size=context.size(32, 4))
    with gpu_common.scratch() as place:
        trainer = gpu_common.trainer_of(
            context, context.short, config, dtype, folder=place / "saves", compiled=compiler(place / "code")
        )
        list(trainer.run())
        found = gpu_tensors.digest(gpu_common.tensors_of(trainer, place / "saves"))
    print(json.dumps({"digest": found, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
