"""Shared fixtures, and what the markers mean: ``data`` needs the real scenes, ``gpu`` a GPU, ``slow`` time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sslhsi.scenes.scene import Scene

# Workers of pytest-xdist share the cores; a process by itself takes two.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
torch.set_num_threads(max(1, min(2, torch.get_num_threads() // WORKERS)))

SCENES_GIVEN = bool(os.environ.get("SSLHSI_DATA"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for ``data`` is marked so; what can't run here is skipped for one reason each."""
    no_scenes = pytest.mark.skip(reason="SSLHSI_DATA does not name the folder of the real scenes")
    no_gpu = pytest.mark.skip(reason="there is no CUDA device")
    for item in items:
        if "data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("data") and not SCENES_GIVEN:
            item.add_marker(no_scenes)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
    # Files with most that takes time go first, so that processes that share the files end together.
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where there are real scenes, a test of theirs that is skipped has failed."""
    report = yield
    if report.skipped and SCENES_GIVEN and item.get_closest_marker("data") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is skipped although SSLHSI_DATA is set: {report.longrepr[-1]}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, and why."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[-1]).removeprefix("Skipped: ") for report in reports)
    if reasons:
        terminalreporter.section("what was skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5d}  {reason}")


CAMERAS = {160: (405.0, 995.0), 256: (400.0, 1000.0), 288: (390.0, 1010.0)}


@pytest.fixture(scope="session")
def cameras() -> list[Scene]:
    """Three cameras looking at mixtures of the same six materials."""
    rng = np.random.default_rng(0)
    scenes = []
    for bands, (low, high) in CAMERAS.items():
        wavelengths = np.linspace(low, high, bands)
        spectra = np.stack([np.exp(-(((wavelengths - c) / 60) ** 2)) for c in np.linspace(420, 980, 6)])
        cube = 1000 + 500 * rng.random((20, 25, 6)) @ spectra + rng.normal(scale=20, size=(20, 25, bands))
        scenes.append(Scene(f"camera-{bands}", cube.astype(np.uint16), wavelengths))
    return scenes


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For sums that must agree bit for bit: the number of threads decides their order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def without_pictures() -> Iterator[None]:
    """Pages leave out what can't be drawn: their pictures take longer than a small run."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no pictures here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", refuse)
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real scenes; tests that ask for it are marked ``data``."""
    folder = Path(os.environ["SSLHSI_DATA"])
    assert folder.is_dir(), f"SSLHSI_DATA={folder} is no folder"
    return folder
