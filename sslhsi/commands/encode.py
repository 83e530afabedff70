"""``sslhsi encode``."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "encode",
        help="features of a whole cube, as a raster for QGIS or as .npy",
        description="Encode a cube of any camera with a run's or a published backbone.",
        epilog="examples:\n"
        "  sslhsi encode published/mine field.hdr features.tif                # GeoTIFF, one band a feature\n"
        "  sslhsi encode runs/mine field.mat features.img --stride 4          # ENVI, with features.hdr\n"
        "  sslhsi encode hf:me/resnet10t.fields field.tif features.npy",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("backbone", metavar="BACKBONE", help="a backbone's folder, a run, or a hub id")
    parser.add_argument("cube", metavar="CUBE", help="in any supported format")
    parser.add_argument("target", metavar="OUT", help=".tif, .img (ENVI) or .npy")
    parser.add_argument("--stride", type=int, default=1, help="pixels between windows (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=encode_cube)


def encode_cube(options: argparse.Namespace) -> int:
    from sslhsi.errors import InputError
    from sslhsi.hub import load_backbone
    from sslhsi.probes.strips import corners
    from sslhsi.report.write_raster import check_raster_name, write_raster
    from sslhsi.scenes.read import read_scene
    from sslhsi.training.progress import progress

    target = check_raster_name(options.target)
    if options.stride < 1:
        raise InputError(f"--stride {options.stride}: use 1 or more")
    encoder = load_backbone(options.backbone)
    try:
        encoder.to(options.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {options.device}: {str(error).splitlines()[0]}; use cpu") from None
    scene = read_scene(options.cube)
    reflect = encoder.config.get("border") == "reflect"
    height, width = (len(corners(n, encoder.window, reflect, options.stride)) for n in scene.cube.shape[:2])
    shape = (height, width, encoder.num_features)
    with ExitStack() as closing:
        # Opened by the first strip, when it is known that the camera fits.
        bar: list = []

        def show(done: int, total: int) -> None:
            if not bar:
                bar.append(closing.enter_context(progress("windows", total)))
            bar[0](done)

        strips = encoder.strips(scene.cube, scene.wavelengths, mask=scene.mask, stride=options.stride, progress=show)
        written = write_raster(
            target,
            strips,
            shape,
            georeference=scene.georeference,
            first=0 if reflect else encoder.window // 2,
            stride=options.stride,
            names=[f"feature {number}" for number in range(1, encoder.num_features + 1)],
        )
    facts = {"files": [str(path) for path in written], "shape": list(shape)}
    print(json.dumps(facts, indent=1) if options.json else f"{target}: {' x '.join(map(str, shape))}")
    return 0
