"""Every dependency at the lowest version that pyproject.toml allows, in an environment of its own: does it work?

    make min-deps     # python tests/min_deps.py

Installs the package with its dependencies at their declared minimum (downloads some gigabytes, once), imports every
module and takes one small corpus through preparing, two steps of pretraining and an evaluation. Clusters lag behind;
what is declared here holds there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def minima(requirements: list[str]) -> list[str]:
    """``name==floor`` of each ``name>=floor``."""
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement) for requirement in requirements]
    if None in found:
        raise SystemExit(f"a dependency without a minimum: {requirements[found.index(None)]}")
    return [f"{match[1]}=={match[2]}" for match in found if match]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default=ROOT / "build" / "min-deps", type=Path, help="a virtual environment")
    options = parser.parse_args()
    pins = minima(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    python = options.environment / "bin" / "python"
    if not python.exists():
        venv.create(options.environment, with_pip=True)
    print("\n".join(pins), flush=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", ROOT], check=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, ROOT / "tests" / "use_min_deps.py"], cwd=folder, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
