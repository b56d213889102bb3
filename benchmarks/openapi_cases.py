"""Requests made from the service's OpenAPI document by schemathesis: does every answer keep what the document says?

    python benchmarks/openapi_cases.py --bundle out/bundle --cases 10000

The server is a process of its own, on the loopback interface. Cases are as the schema allows and as it does not.
Checks: no status of 5xx, no status, type, header or content that the document does not have. Rounds with seeds of their
own go on until there are so many cases; the exit code is 1 if any case failed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from common import machine
from serve_clients import resident
from serve_throughput import ready, served

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


def round_of(url: str, seed: int, examples: int) -> tuple[int, int, str]:
    """(cases, exit code, output) of one run."""
    words = ["--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--seed", str(seed), "--no-color"]
    command = ["schemathesis", "run", f"{url}/openapi.json", "--max-examples", str(examples), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"([\d,]+) generated", done.stdout)
    return int(found.group(1).replace(",", "")) if found else 0, done.returncode, done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=100, help="of each route in a round")
    args = parser.parse_args()
    cases, bad, seed = 0, 0, 0
    with served(args.bundle, ["--max-cost", "60"], 64) as (url, pid):
        before = resident(pid)
        while cases < args.cases:
            seed += 1
            made, code, output = round_of(url, seed, args.examples)
            if made == 0:
                raise SystemExit(f"schemathesis made no case:\n{output}")
            cases += made
            if code:
                bad += 1
                print(output, flush=True)
            print(f"round {seed}: {made:,} cases, {'failures' if code else 'no failure'}", flush=True)
        lives, after = ready(url), resident(pid)
    print(machine("schemathesis", "fastapi"))
    print(f"{cases:,} cases in {seed} rounds, {bad} with failures; ready at the end: {lives}")
    print(f"memory {before:.0f} MB before and {after:.0f} MB after")
    return 1 if bad or not lives else 0


if __name__ == "__main__":
    sys.exit(main())
