"""Read a scene from any supported file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.envi import header_beside, open_envi
from sslhsi.scenes.finish import finish
from sslhsi.scenes.geotiff import open_geotiff
from sslhsi.scenes.hdf5 import open_hdf5
from sslhsi.scenes.labels import label_array, shapes_told, to_labels
from sslhsi.scenes.matlab import open_matlab
from sslhsi.scenes.numpy_files import open_npy, open_npz
from sslhsi.scenes.pick import pick
from sslhsi.scenes.raw import Raw, Variable, check_file
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.text_table import open_text_table
from sslhsi.scenes.wavelengths import read_wavelengths, to_nanometres

PathLike = str | os.PathLike[str]

#: What opens which suffix: an image reader returns a Raw, a reader of named arrays a list of Variable.
READERS: dict[str, Callable[[Path], Raw | list[Variable]]] = {
    ".mat": open_matlab,
    **dict.fromkeys((".hdr", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq", ".zip"), open_envi),
    **dict.fromkeys((".tif", ".tiff"), open_geotiff),
    **dict.fromkeys((".h5", ".hdf5", ".he5"), open_hdf5),
    ".npy": open_npy,
    ".npz": open_npz,
    **dict.fromkeys((".csv", ".txt", ".tsv", ".xz"), open_text_table),
}  # fmt: skip


def open_file(path: Path) -> Raw | list[Variable]:
    """Open a file with the reader of its suffix; a data file with an ENVI header beside is ENVI.

    Raises:
        InputError: Missing, empty, unsupported or unreadable.
    """
    check_file(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None and header_beside(path) is not None:
        reader = open_envi
    if reader is None:
        kind = f"unknown suffix {path.suffix!r}" if path.suffix else "no suffix and no ENVI header beside it"
        raise InputError(f"{path}: {kind}; supported are {', '.join(READERS)}")
    return reader(path)


def read_labels(
    path: PathLike, *, key: str | None = None, purity: float | None = None, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Read a label map from a file of its own.

    Args:
        path: .mat, .tif, .npy, .npz, HDF5 or a one-band ENVI image that holds a label map, or abundances
            (the largest share's index plus one).
        key: Name of the variable when the file holds several candidates.
        purity: Pixels whose largest abundance is below this stay unlabelled.
        shape: (H, W), needed only for flattened abundances or labels.

    Returns:
        (H, W) int32, 0 = unlabelled.

    Raises:
        InputError: No label map in the file, or several.
    """
    path = Path(path)
    array = label_array(path, key, open_file).cube
    if shape is None:
        if not (told := shapes_told(array)):
            raise InputError(f"{path}: labels of {array.shape} are flattened; pass shape=(rows, cols)")
        shape = told[0]
    order = "F" if path.suffix.lower() == ".mat" else "C"
    return to_labels(array, shape, where=str(path), order=order, purity=purity)


def read_scene(
    path: PathLike,
    *,
    cube: str | None = None,
    labels: np.ndarray | PathLike | Literal[False] | None = None,
    wavelengths: np.ndarray | Sequence[float] | PathLike | None = None,
    name: str | None = None,
    domain: str = "",
    sensor: str = "",
    mask: np.ndarray | PathLike | None = None,
    classes: Sequence[str] = (),
    purity: float | None = None,
    drop_bands: Literal["bad"] | Sequence[int] | None = None,
    nodata: float | None = None,
    labels_key: str | None = None,
    abundances: np.ndarray | PathLike | None = None,
    layout: str | None = None,
    shape: tuple[int, int] | None = None,
    order: Literal["C", "F"] | None = None,
) -> Scene:
    """Read a hyperspectral scene: MATLAB, ENVI, GeoTIFF, HDF5, NumPy or a text table.

    Variables of MATLAB, HDF5 and .npz files are found by shape when not named: the cube is the only 3-D
    real array with many bands, or a (bands, pixels) matrix whose image shape is told by scalars (``lines``
    and ``cols``, ``nRow`` and ``nCol`` ...), by the labels, or by being square; labels are the only 2-D
    array of whole numbers of the image's shape, else abundances; wavelengths are the only plausible vector
    with one value per band.

    ENVI, .npy and contiguous HDF5 cubes stay memory-mapped (also when a regular run of bands is
    dropped); a cube that must be scaled or loses scattered bands becomes an array in memory.

    Pixels are masked (``scene.mask`` False) when a band is non-finite, or all bands hold the no-data value.
    What was assumed, converted or dropped is logged at INFO level under "sslhsi.scenes".

    Args:
        path: The file. For ENVI the header or the data file, or a .zip of both.
        cube: Name of the variable that holds the cube.
        labels: (H, W) array, or a file with a label map or abundances, or the name of a variable in ``path``
            (an existing file wins), or False for none.
        wavelengths: (B,) band centres, a file, or the name of a variable; nanometres, or micrometres
            when all are under 100. B counts the bands of the file, or those kept.
        name: Name of the scene, the file's stem by default.
        domain: See ``Scene``.
        sensor: See ``Scene``.
        mask: (H, W) booleans or a file with a map, non-zero = foreground; joined with the file's own mask.
        classes: Names of labels 1, 2, ...
        purity: With abundances, pixels whose largest share is below this (0 to 1) stay unlabelled.
        drop_bands: None drops the bands that the file itself calls bad (ENVI ``bbl``); "bad" also constant
            and non-finite ones; a sequence exactly these 0-based bands (an empty one keeps all).
        nodata: Value of pixels without data; what the file says by default.
        labels_key: Name of the variable in the ``labels`` (or ``abundances``) file.
        abundances: (H, W, C) shares to take labels from (argmax + 1), a file, or the name of a variable.
        layout: Axes of a 3-D array as its own software shows them, a permutation of "hwb"; by default
            "hwb" unless the wavelengths or labels show that bands come first.
        shape: (H, W) of a cube stored as (bands, pixels).
        order: How the pixels of such a cube run: "F" down the columns, "C" along the rows; by default the
            spatially smoother reading (see ``sslhsi.scenes.flat.decide_order``).

    Returns:
        The scene. Scaled cubes (``reflectance scale factor``) are float32, others keep the file's dtype.

    Raises:
        InputError: The file can't be read, is ambiguous, or the parts don't fit together.
    """
    path = Path(path)
    if purity is not None and not 0 <= purity <= 1:
        raise InputError(f"purity must be between 0 and 1, not {purity}")
    if layout is not None and sorted(layout) != ["b", "h", "w"]:
        raise InputError(f'layout must be a permutation of "hwb" such as "bhw", not {layout!r}')
    if order not in (None, "C", "F"):
        raise InputError(f'order must be "C" or "F", not {order!r}')
    opened = open_file(path)
    label_source = _source(labels, labels_key)
    abundance_source = _source(abundances, labels_key)
    for source in (label_source, abundance_source):
        if isinstance(source, Raw) and source.classes and not classes:
            classes = source.classes
    given_labels, given_abundances = _unwrap(label_source), _unwrap(abundance_source)
    centres = _given_wavelengths(wavelengths)
    if isinstance(opened, list):
        raw = pick(
            opened,
            path,
            cube=cube,
            labels=given_labels,
            wavelengths=centres if isinstance(centres, str) else None,
            bands=len(centres) if isinstance(centres, np.ndarray) else None,
            abundances=given_abundances,
            purity=purity,
            layout=layout,
            shape=shape,
            order=order,
        )
    else:
        raw = _image(opened, path, cube, layout, shape, order, centres)
        raw.labels = _image_labels(raw, given_labels, given_abundances, purity)
    if isinstance(centres, np.ndarray):
        raw.wavelengths = centres
    return finish(
        raw,
        name=name if name is not None else (path if path.suffix.lower() == ".zip" else raw.source).stem,
        domain=domain,
        sensor=sensor,
        classes=tuple(classes),
        mask=_given_mask(mask, raw.cube.shape[:2]),
        drop_bands=drop_bands,
        nodata=nodata if nodata is not None else raw.nodata,
    )


def _source(given: Any, key: str | None) -> Any:
    """An array or a False as it is; an existing file as a Raw; any other text is a variable's name."""
    if given is None or given is False or isinstance(given, np.ndarray):
        return given
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_file():
            return label_array(path, key, open_file)
        if isinstance(given, str) and path.suffix.lower() not in READERS and not path.is_absolute():
            return given
        raise InputError(f"{path}: no such file to take labels from")
    return np.asarray(given)


def _unwrap(source: Any) -> Any:
    return source.cube if isinstance(source, Raw) else source


def _given_wavelengths(given: Any) -> np.ndarray | str | None:
    if given is None:
        return None
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_file():
            return read_wavelengths(path, open_file)
        if isinstance(given, str) and path.suffix.lower() not in READERS and not path.is_absolute():
            return given
        raise InputError(f"{path}: no such file to take wavelengths from")
    return to_nanometres(given, None, "wavelengths=")


def _given_mask(given: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if given is None:
        return None
    where = "mask="
    if isinstance(given, str | os.PathLike):
        where = str(given)
        given = label_array(Path(given), None, open_file).cube
    given = np.asarray(given)
    if given.shape != shape or given.dtype.kind not in "biu":
        raise InputError(f"{where}: must be booleans of {shape}, not {given.dtype} of {given.shape}")
    return given != 0


def _image(raw: Raw, path: Path, cube: Any, layout: Any, shape: Any, order: Any, wavelengths: Any) -> Raw:
    for option, value in (("cube", cube), ("layout", layout), ("shape", shape), ("order", order)):
        if value is not None:
            raise InputError(f"{path}: {option}= is for files of named arrays, this one is an image")
    if isinstance(wavelengths, str):
        raise InputError(f"{wavelengths}: no such file, and {path} holds no named variables")
    if raw.cube.shape[2] < 2:
        raise InputError(f"{path}: has one band, a cube needs several; as a label map pass it as labels=")
    return raw


def _image_labels(raw: Raw, labels: Any, abundances: Any, purity: float | None) -> np.ndarray | None:
    shape = (raw.cube.shape[0], raw.cube.shape[1])
    for given in (labels, abundances):
        if isinstance(given, str):
            raise InputError(f"{given}: no such file, and {raw.source} holds no named variables")
    if isinstance(labels, np.ndarray):
        return to_labels(labels, shape, where="labels", order="C", purity=purity)
    if abundances is not None:
        return to_labels(abundances, shape, where="abundances", order="C", purity=purity, abundances=True)
    return raw.labels
