"""Linear probe on frozen features, beside random weights and raw spectra.

    python eval/linear_probe.py --help

The same as `sslhsi eval linear`. The program is sslhsi/commands/evaluate.py; what it measures,
sslhsi/evaluation/series.py.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # so that it runs from a checkout that is not installed

from sslhsi.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["eval", "linear", *sys.argv[1:]]))
