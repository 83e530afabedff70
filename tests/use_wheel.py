"""What someone does with a published backbone and the installed package alone; run by tests/check_wheel.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sslhsi
from sslhsi.report.pictures import class_palette
from sslhsi.scenes.write_raster import write_labels
from sslhsi.splits.split import leak, split

folder, data = Path(sys.argv[1]), Path(sys.argv[2])
assert Path(sslhsi.__file__).is_relative_to(Path(sys.prefix)), "not the installed package"
card = (folder / "README.md").read_text()
assert not any(name in card for name in ("NEON", "AVIRIS-NG", "SalinasA")), "the backbone saw a scene of this check"

encoder = sslhsi.load_backbone(folder)
print(f"{encoder.config.name}: {encoder.num_features} features, sslhsi {sslhsi.__version__}")

for name, path in {
    "NEON AOP": data / "neon-deeptree" / "example.tif",
    "AVIRIS-NG": data / "aviris-ng" / "ang20170323t202244_rdn_7000-7010",
}.items():
    scene = sslhsi.read_scene(path)
    features = encoder.encode(scene.cube, scene.wavelengths)
    assert features.shape == (scene.height, scene.width, encoder.num_features)
    assert np.isfinite(features).all()
    assert features.std(axis=(0, 1)).max() > 0
    print(f"{name}, never seen: {scene.cube.shape} -> {features.shape}")

# The same on the command line, as GeoTIFF that lies where the cube does.
tif = data / "neon-deeptree" / "example.tif"
words = ["map", str(folder), str(tif), "--out", "neon", "--format", "geotiff"]
subprocess.run([str(Path(sys.prefix) / "bin" / "sslhsi"), *words], check=True)
with rasterio.open("neon_features.tif") as made, rasterio.open(tif) as cube:
    assert made.count == encoder.num_features
    assert (made.crs, made.transform, made.shape) == (cube.crs, cube.transform, cube.shape)

scene = sslhsi.read_scene(
    data / "salinas-a" / "SalinasA_corrected.mat", labels=str(data / "salinas-a" / "SalinasA_gt.mat")
)
assert scene.labels is not None
features = encoder.encode(scene.cube)
chosen = split(scene.labels, "blocks", window=encoder.window, per_class=5, seed=0)
train, test = tuple(chosen.train.T), tuple(chosen.test.T)
scores = {}
for name, values in {"features": features, "raw bands": scene.cube.astype(np.float32)}.items():
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(values[train], scene.labels[train])
    scores[name] = 100 * model.score(values[test], scene.labels[test])
    if name == "features":
        drawn = model.predict(values.reshape(-1, values.shape[2])).reshape(scene.labels.shape).astype(np.uint8)
names = [scene.class_name(label) for label in range(1, int(scene.labels.max()) + 1)]
palette = class_palette(len(names))
written = [file for path in ("salinas_a.tif", "salinas_a.img") for file in write_labels(path, drawn, names, palette)]
for path in ("salinas_a.tif", "salinas_a.img"):
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), drawn)
shown = ", ".join(f"{name} {score:.1f} %" for name, score in scores.items())
print(
    f"Salinas-A, 5 per class, blocks (leak {leak(chosen).pixel:.0%}), {len(chosen.test)} test pixels: {shown}; "
    f"map: {', '.join(map(str, written))}"
)

# The weights alone, where sslhsi can't be imported.
code = f"""
import sys
sys.modules["sslhsi"] = None
from safetensors.torch import load_file
print(sum(v.numel() for v in load_file(r"{folder}/model.safetensors").values()), "values without sslhsi")
"""
subprocess.run([sys.executable, "-c", code], check=True)
