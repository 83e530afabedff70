"""``sslhsi export``."""

from __future__ import annotations

import argparse
import json


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "export",
        help="write a backbone as ONNX",
        description="Write a backbone as ONNX and check it against PyTorch. The input is windows of components, or, "
        "with --scene,\nwindows of that camera's own bands.",
        epilog="examples:\n"
        "  sslhsi export published/mine mine.onnx\n"
        "  sslhsi export published/mine mine-field.onnx --scene field.hdr      # the projection folded in",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("backbone", metavar="BACKBONE", help="a backbone's folder, a run, or a hub id")
    parser.add_argument("target", metavar="OUT.onnx")
    parser.add_argument("--scene", metavar="CUBE", help="fold in the projection of this cube's camera")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=export_backbone)


def export_backbone(options: argparse.Namespace) -> int:
    from sslhsi.encoder.load import load_backbone
    from sslhsi.encoder.onnx_export import export_onnx
    from sslhsi.scenes.read import read_scene

    encoder = load_backbone(options.backbone)
    found = export_onnx(encoder, options.target, read_scene(options.scene) if options.scene else None)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    sides = [f"{found[side]['name']} ({', '.join(map(str, found[side]['shape']))})" for side in ("input", "output")]
    print(f"{found['target']}: {' -> '.join(sides)}, {found['difference']:.1e} off PyTorch")
    return 0
