"""`ddpm ui`: MLflow's pages for the project's store."""

import argparse
import os
import subprocess
import sys

from ddpm_core.errors import TrackingError
from pipelines.commands.common import Verbs, project_paths, sentence
from pipelines.runtime.disk import damaged, damaged_store, sqlite_file
from pipelines.runtime.lifetime import guarded


def add_to(verbs: Verbs) -> None:
    text = "show the runs and the registry in MLflow's pages"
    verb = verbs.add_parser("ui", help=text, description=sentence(text))
    verb.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    verb.add_argument("--port", type=int, default=5000, help="port (default: 5000)")
    verb.set_defaults(action=open_ui)


def open_ui(args: argparse.Namespace) -> int:
    paths = project_paths(args)
    from pipelines.tracking.tracker import store_uri

    file = sqlite_file(store_uri(paths.home))
    if file is not None and (fault := damaged(file)):
        raise TrackingError(" ".join(damaged_store(file, fault)))
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri(paths.home)]
    command += ["--host", args.host, "--port", str(args.port), "--workers", "1"]
    sys.stderr.write(f"MLflow at http://{args.host}:{args.port} (it takes some ten seconds); stop it with Ctrl-C\n")
    with guarded():  # the server starts another process, and neither may outlive this one
        code = subprocess.run(command, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}).returncode
    return code if code >= 0 else 128 - code
