"""``sslhsi export``."""

from __future__ import annotations

import argparse

from sslhsi.commands.output import add_json, show
from sslhsi.commands.read_arguments import add_read_options, read_options
from sslhsi.errors import InputError
from sslhsi.files import check_replaceable


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "export",
        help="write a backbone as ONNX",
        description="Write a backbone as ONNX and check it against PyTorch. The input is windows of components, or, "
        "with --scene,\nwindows of that camera's bands.",
        epilog="examples:\n"
        "  sslhsi export published/mine mine.onnx\n"
        "  sslhsi export published/mine mine-field.onnx --scene field.hdr      # the projection folded in",
    )
    parser.add_argument("backbone", metavar="BACKBONE", help="a backbone's folder, a run, or a hub id")
    parser.add_argument("target", metavar="OUT.onnx")
    parser.add_argument("--scene", metavar="CUBE", help="fold in the projection of this cube's camera")
    add_json(parser)
    add_read_options(parser)
    parser.set_defaults(run=export_backbone)


def export_backbone(options: argparse.Namespace) -> int:
    """Write a backbone as ONNX and say what goes in and comes out."""
    from sslhsi.encoder.load import load_backbone
    from sslhsi.encoder.onnx_export import export_onnx
    from sslhsi.scenes.read import read_scene

    check_replaceable(options.target, "choose another name")
    encoder = load_backbone(options.backbone)
    keywords = read_options(options)
    if keywords and not options.scene:
        raise InputError("how to read a scene belongs to a scene: name it with --scene")
    scene = read_scene(options.scene, **keywords) if options.scene else None
    written = export_onnx(encoder, options.target, scene)
    sides = [
        f"{written[side]['name']} ({', '.join(map(str, written[side]['shape']))})" for side in ("input", "output")
    ]
    line = f"{written['target']}: {' -> '.join(sides)}, {written['difference']:.1e} off PyTorch"
    return show(options, written, [line])
