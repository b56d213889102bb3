"""How soon the page of `ddpm serve` shows a picture: in headless Chromium, with empty caches, each time anew.

    python benchmarks/page_first_picture.py --bundle out/bundle --screenshots FOLDER

Milliseconds after the page began to open: the first picture that forms, the first finished one, and all of them.
"""

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

from common import machine
from playwright.sync_api import sync_playwright
from serve_throughput import cpu_seconds, served

WATCH = """
window.seen = {};
const note = (name) => {
  if (!(name in seen)) seen[name] = performance.now();
  document.documentElement.dataset[name] = "";
};
new MutationObserver(() => requestAnimationFrame(() => {
  if (document.querySelector("#results canvas")) note("forming");
  if (document.querySelector("#results button.tile")) note("first");
  const waiting = document.querySelector("#results .forming, #results .blank");
  if (document.querySelector("#results button.tile") && !waiting) note("all");
})).observe(document, { childList: true, subtree: true });
"""
STAGES = {"forming": "the first one forms", "first": "the first one is finished", "all": "all are finished"}
VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "desktop-dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True},
    "phone-dark": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "color_scheme": "dark",
    },
}


def opened(browser: Any, url: str, words: dict[str, Any], shot: Path | None) -> dict[str, float]:
    context = browser.new_context(**words)
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.locator("html[data-all]").wait_for(state="attached", timeout=120_000)
    if shot is not None:
        page.screenshot(path=str(shot))
    seen: dict[str, float] = page.evaluate("window.seen")
    context.close()
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--screenshots", type=Path, help="folder for a PNG of each view")
    args = parser.parse_args()
    if args.screenshots is not None:
        args.screenshots.mkdir(parents=True, exist_ok=True)
    with served(args.bundle, ["--threads", "1"], 16) as (url, pid), sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        spent = cpu_seconds(pid)
        found = [opened(browser, url, VIEWS["desktop"], None) for _ in range(args.repeats)]
        spent = (cpu_seconds(pid) - spent) / args.repeats
        for name, words in VIEWS.items() if args.screenshots is not None else ():
            opened(browser, url, words, args.screenshots / f"{name}.png")
        browser.close()
    print(machine("playwright", "onnxruntime-gpu"))
    for stage, what in STAGES.items():
        values = [each[stage] for each in found]
        print(f"{what}: {statistics.median(values):.0f} ms in the median, {min(values):.0f} to {max(values):.0f}")
    print(f"the server: {spent:.2f} CPU s each time")


if __name__ == "__main__":
    main()
