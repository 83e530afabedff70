"""Build the wheel, install it alone into an empty environment, and work with it there: `make wheel-check`.

    python tests/check_wheel.py RUN [--keep FOLDER]

RUN is a finished run that saw neither NEON, AVIRIS-NG nor Salinas-A; SSLHSI_DATA names the folder of those scenes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {".py", ".html", ".jinja", ".typed", ".yaml"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    options = parser.parse_args()
    if not os.environ.get("SSLHSI_DATA"):
        parser.error("set SSLHSI_DATA to the folder of the real scenes")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        wheel = build(folder)
        check_files(wheel)
        python = install(wheel, folder / "environment")
        outside = folder / "outside"
        outside.mkdir(exist_ok=True)
        sslhsi = python.with_name("sslhsi")
        published = outside / "published"
        shutil.rmtree(published, ignore_errors=True)
        run([sslhsi, "publish", options.run.resolve(), published, "--licence", "cc-by-4.0"], outside)
        shutil.copy(ROOT / "tests" / "use_wheel.py", outside)
        run([python, "use_wheel.py", published, os.environ["SSLHSI_DATA"]], outside)
    print("wheel-check: all done")


def build(folder: Path) -> Path:
    """The wheel of the files that belong to the project, so that no stale build folder gets in."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    run([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", source], folder)
    (wheel,) = (folder / "dist").glob("sslhsi-*.whl")
    return wheel


def check_files(wheel: Path) -> None:
    """Nothing but the package and its description, and all of the package."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    package = {
        str(path.relative_to(ROOT)) for path in (ROOT / "sslhsi").rglob("*")
        if path.suffix in SOURCES and "__pycache__" not in path.parts
    }  # fmt: skip
    stray = {name for name in held - package if ".dist-info/" not in name}
    assert not stray, f"stray files in the wheel: {sorted(stray)}"
    assert not package - held, f"missing in the wheel: {sorted(package - held)}"
    described = sorted(name.partition(".dist-info/")[2] for name in held - package)
    assert described == ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"], (
        described
    )
    print(f"{wheel.name}: {len(held)} files, {wheel.stat().st_size:,} bytes, none stray, none missing")


def install(wheel: Path, folder: Path) -> Path:
    """An empty environment with the wheel and what it asks for."""
    venv.create(folder, clear=True, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "install", "-c", ROOT / "constraints.txt", wheel], folder)
    run([*pip, "check"], folder)
    return python


def run(words: list, where: Path) -> None:
    """A program that knows nothing of the checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=where, check=True, env=environment)


if __name__ == "__main__":
    main()
