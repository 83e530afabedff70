"""``sslhsi data calibrate``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslhsi.commands.output import add_json, each, show
from sslhsi.errors import InputError
from sslhsi.files import check_replaceable

if TYPE_CHECKING:
    from sslhsi.scenes.calibrate import Exposure

EPILOG = """examples:
  sslhsi data calibrate leaf.hdr --white WHITEREF_leaf.hdr --dark DARKREF_leaf.hdr --out calibrated
  sslhsi data calibrate captures --out calibrated
A folder stands for every capture in it, each with the references that bear its name, or with the only ones there.
reflectance = panel * (raw - dark) / (white - dark) * (white time / raw time), element by element of the detector
(column and band), references averaged over their lines. Dead elements (white not above dark) and saturated values
become NaN, which every command masks. Beside each result NAME.calibration.json says what was done."""


def add_action(actions: argparse._SubParsersAction) -> None:
    """Add the action to ``sslhsi data``."""
    parser = actions.add_parser(
        "calibrate",
        help="raw counts to reflectance, from white and dark references",
        epilog=EPILOG,
    )
    parser.add_argument("raw", nargs="+", metavar="RAW", help="raw captures, or folders with their references")
    parser.add_argument("--white", help="white reference, any number of lines (default: the one beside the capture)")
    parser.add_argument("--dark", help="dark reference (default: the one beside the capture); none: the dark is 0")
    parser.add_argument("--out", default="calibrated", help="folder of the results (default: calibrated)")
    parser.add_argument("--format", choices=("envi", "geotiff"), default="envi", help="default: envi")
    parser.add_argument("--panel", type=float, default=1.0, help="reflectance of the white panel (default: 1)")
    parser.add_argument(
        "--time", type=float, nargs="+", metavar="T", default=[],
        help="integration times of image, white and dark reference (default: what the headers say)",
    )  # fmt: skip
    parser.add_argument("--mean-spectrum", action="store_true", help="average references over their columns, too")
    parser.add_argument("--saturation", type=float, help="count from which on a value is saturated")
    parser.add_argument(
        "--dead", choices=("mask", "fill"), default="mask",
        help="dead detector elements: NaN, or interpolated between neighbouring bands (default: mask)",
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=calibrate)


def calibrate(options: argparse.Namespace) -> int:
    """Calibrate captures one after the other; a bad one among many does not keep the others from being done."""
    if len(options.time) not in (0, 2, 3):
        raise InputError("--time: give two or three numbers, for image, white and dark reference")
    captures = [capture for path in options.raw for capture in _captures(Path(path).expanduser())]
    if len({capture.stem for capture in captures}) < len(captures):
        raise InputError("two captures bear one name; give each folder a call and another --out")
    records, failed = each(captures, lambda capture: _calibrate_one(capture, options))
    if options.json:
        show(options, records, ())
    return failed


def _captures(path: Path) -> list[Path]:
    """A file itself; of a folder every readable capture that is no reference."""
    from sslhsi.scenes.captures import reference_role
    from sslhsi.scenes.folders import scene_files

    if path.is_file():
        return [path]
    captures = [file for file in scene_files(str(path)).files if not reference_role(file.stem)[0]]
    if not captures:
        raise InputError(f"{path}: holds no capture besides references; give the folder of the raw images")
    return captures


def _calibrate_one(capture: Path, options: argparse.Namespace) -> dict[str, Any]:
    from sslhsi.scenes.calibrate import Counts, calibrated_rows, plan_calibration
    from sslhsi.scenes.captures import references_of
    from sslhsi.scenes.folders import READABLE
    from sslhsi.scenes.write_raster import raster_files, write_raster
    from sslhsi.training.progress import progress

    beside = references_of(capture, (p for p in sorted(capture.parent.iterdir()) if p.suffix.lower() in READABLE))
    white, dark = (getattr(options, role) or beside.get(role) for role in ("white", "dark"))
    if white is None:
        raise InputError(
            f"{capture}: no white reference beside it (WHITEREF_{capture.stem} or white.*); give it by --white FILE"
        )
    times = [*options.time, None, None, None][:3]
    raw = _exposure(capture, times[0])
    plan = plan_calibration(
        raw,
        _exposure(Path(white), times[1]),
        None if dark in (None, "none") else _exposure(Path(str(dark)), times[2]),
        panel=options.panel,
        per_column=not options.mean_spectrum,
        saturation=options.saturation,
    )
    counts = Counts()
    target = Path(options.out).expanduser() / f"{capture.stem}.{'img' if options.format == 'envi' else 'tif'}"
    scene = raw.scene
    for path in (_record_path(target), *raster_files(target)):
        check_replaceable(path)
    with progress(f"{capture.name}: line", scene.height) as advance:
        strips = calibrated_rows(
            scene, plan, counts, fill_dead=options.dead == "fill", progress=lambda done, total: advance(done)
        )
        written = write_raster(
            target, strips, scene.cube.shape, georeference=scene.georeference,
            names=() if scene.wavelengths is None else scene.wavelengths,
        )  # fmt: skip
    notes = [*plan.notes, *counts.notes("filled from neighbouring bands" if options.dead == "fill" else "masked")]
    record = {
        **plan.record,
        "dead": options.dead,
        **vars(counts),
        "notes": notes,
        "written": [str(path) for path in written],
    }
    _write_record(target, record)
    for line in notes:
        print(f"{capture.name}: {line}", file=sys.stderr)
    if not options.json:
        print(written[0])
    return record


def _write_record(target: Path, record: dict[str, Any]) -> None:
    from sslhsi import __version__
    from sslhsi.files import sha256, write_atomic

    hashes = {key: sha256(Path(record[key])) for key in ("raw", "white", "dark") if record[key]}
    text = json.dumps({"sslhsi": __version__, **record, "sha256": hashes}, indent=1) + "\n"
    write_atomic(_record_path(target), text)


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}.calibration.json")


def _exposure(path: Path, time: float | None) -> Exposure:
    from sslhsi.scenes.calibrate import Exposure
    from sslhsi.scenes.envi_header import integration_time
    from sslhsi.scenes.read import read_scene

    # Counts as the detector gave them: all bands, nothing scaled.
    scene = read_scene(path, drop_bands=(), labels=False)
    return Exposure(scene, integration_time(path) if time is None else time)
