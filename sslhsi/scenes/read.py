"""Read a scene from any supported file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ARRAYS, ReadOptions, checked
from sslhsi.scenes.envi import open_envi
from sslhsi.scenes.envi_header import header_beside
from sslhsi.scenes.esri import esri_fields, open_esri
from sslhsi.scenes.finish import finish
from sslhsi.scenes.geotiff import open_geotiff, open_raster
from sslhsi.scenes.hdf5 import open_hdf5
from sslhsi.scenes.label_files import Truth, class_names, open_labels
from sslhsi.scenes.labels import LabelRules, image_shapes, whole
from sslhsi.scenes.matlab import open_matlab
from sslhsi.scenes.netcdf import open_netcdf
from sslhsi.scenes.notes import collected_notes
from sslhsi.scenes.numpy_files import open_npy, open_npz
from sslhsi.scenes.pick import pick
from sslhsi.scenes.products import chosen_image
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sidecar import spectral_image, tiff_of
from sslhsi.scenes.stack import open_stack
from sslhsi.scenes.text_table import open_text_table
from sslhsi.scenes.wavelength_files import read_wavelengths

PathLike = str | os.PathLike[str]

_ENVI = (".hdr", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq", ".sli", ".zip")
#: What opens which suffix: an image reader returns a Raw, a reader of named arrays a list of Variable.
READERS: dict[str, Callable[[Path], Raw | list[Variable]]] = {
    ".mat": open_matlab,
    **dict.fromkeys(_ENVI, open_envi),
    **dict.fromkeys((".tif", ".tiff"), open_geotiff),
    **dict.fromkeys((".h5", ".hdf5", ".he5"), open_hdf5),
    **dict.fromkeys((".nc", ".nc4", ".cdf"), open_netcdf),
    ".npy": open_npy,
    ".npz": open_npz,
    **dict.fromkeys((".csv", ".txt", ".tsv", ".xz"), open_text_table),
}  # fmt: skip


def open_file(path: Path) -> Raw | list[Variable]:
    """Open a file with the reader of its suffix; what no reader claims goes to GDAL.

    A data file with a header beside it is opened by what the header is, ENVI's or ESRI's; a header beside a TIFF,
    METADATA.XML and the folder of a product (EnMAP, DESIS) stand for their image. Of arrays with more than three
    axes, leading ones of length one (a time, say) are left out.

    Raises:
        InputError: Missing, empty, unsupported or unreadable.
    """
    if path.is_dir() and (image := spectral_image(path)) is not None:
        path = image
    check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".xml" and (image := spectral_image(path.parent)) is not None:
        path, suffix = image, image.suffix.lower()
    if suffix in READERS and suffix not in _ENVI:
        opened = READERS[suffix](path)
        return [variable.squeezed() for variable in opened] if isinstance(opened, list) else opened
    if suffix == ".zip":
        return open_envi(path)
    header = path if suffix == ".hdr" else header_beside(path)
    if header is None:
        return _other_raster(path)
    if fields := esri_fields(header):
        return open_esri(header, fields, None if header == path else path)
    if header == path and (tiff := tiff_of(header)) is not None:
        return open_geotiff(tiff)
    return open_envi(path)


def _other_raster(path: Path) -> Raw:
    try:
        return open_raster(path)
    except InputError as error:
        if path.suffix.lower() in _ENVI:
            names = f"{path.name}.hdr or {path.stem}.hdr"
            raise InputError(f"{path}: no ENVI header beside it ({names}), and GDAL can't read it") from error
        kind = f"unknown suffix {path.suffix!r}" if path.suffix else "no suffix and no ENVI header beside it"
        known = f"{', '.join(READERS)} and what GDAL reads"
        raise InputError(f"{path}: {kind}; supported are {known} ({str(error).removeprefix(f'{path}: ')})") from error


def read_labels(
    path: PathLike,
    *,
    labels_key: str | None = None,
    shape: tuple[int, int] | None = None,
    **rules: Any,
) -> np.ndarray:
    """Read a label map from a separate file.

    Args:
        path: What :func:`~sslhsi.scenes.label_files.open_labels` takes, points and polygons aside.
        labels_key: Name of the variable when the file holds several candidates.
        shape: (H, W), needed only for flattened abundances or labels, and for regions of interest.
        **rules: ``purity``, ``ignore`` and ``zero_is_class`` as for :func:`read_scene`.

    Returns:
        (H, W) int32, 0 = unlabelled.

    Raises:
        InputError: No label map in the file, or several.
    """
    path = Path(path)
    options, _ = checked({"labels_key": labels_key, "shape": shape, **rules}, str(path))
    truth = open_labels(path, options.labels_key, open_file)
    size = options.shape
    if size is None:
        if truth.array is None:
            raise InputError(
                f"{path}: has no size by itself; pass shape=(rows, columns), or give it to a scene as labels"
            )
        if not (shapes := image_shapes(truth.array)):
            raise InputError(f"{path}: labels of {truth.array.shape} are flattened; pass shape=(rows, columns)")
        size = shapes[0]
    return truth.labels(size, None, LabelRules.of(options), "F" if path.suffix.lower() == ".mat" else "C")[0]


def read_scene(path: PathLike, **options: Any) -> Scene:
    """Read a hyperspectral scene: MATLAB, ENVI, GeoTIFF, HDF5, netCDF, NumPy, a text table, or what GDAL reads.

    Variables of MATLAB, HDF5 and .npz files are chosen by shape when not named: the cube is the only 3-D
    real array with many bands, or a (bands, pixels) matrix whose image shape is known from scalars (``lines``
    and ``cols``, ``nRow`` and ``nCol`` ...) or from the labels; labels are the only 2-D
    array of whole numbers of the image's shape, else abundances; wavelengths are the only plausible vector
    with one value per band.

    ENVI, .npy and contiguous HDF5 cubes stay memory-mapped (also when a regular run of bands is
    dropped); a cube that must be scaled or loses scattered bands becomes an array in memory.

    Pixels are masked (``scene.mask`` False) when a kept band is non-finite or holds the no-data value. Bands that
    hold it everywhere are dropped. Bands come in the order of their wavelengths where these are known.
    What was assumed, converted or dropped is in ``scene.notes``, and logged at INFO level under "sslhsi.scenes".

    Args:
        path: The file. For ENVI the header or the data file, or a .zip of both; for EnMAP and DESIS also the folder
            or METADATA.XML; with ``stack`` a folder or a pattern.
        **options: Those of :class:`sslhsi.read_options.ReadOptions`, which recipes and commands take too. In
            Python ``labels`` (H, W), ``abundances`` (H, W, C), ``wavelengths`` (B,) and ``mask`` (H, W) may be
            arrays, and ``labels=False`` reads a scene without labels. Where text may name a file or a variable,
            an existing file wins. Wavelengths count the bands of the file, or those kept; a mask is joined with
            the file's. ``drop_bands`` None drops the bands that the file calls bad (ENVI ``bbl``).
            ``layout`` is "hwb" unless wavelengths or labels show that bands come first; ``order`` is the
            spatially smoother reading (see ``sslhsi.scenes.flat.decide_order``).

    Returns:
        The scene. Scaled cubes (gains, offsets, scale factors) are float32, others keep the file's dtype.

    Raises:
        InputError: The file can't be read, is ambiguous, or the parts don't fit together.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/field.npz", cube=np.ones((4, 5, 30)), labels=np.ones((4, 5), int))
        ...     scene = read_scene(f"{folder}/field.npz", wavelengths=np.linspace(400, 1000, 30), classes=["meadow"])
        >>> scene.name, scene.cube.shape, scene.classes
        ('field', (4, 5, 30), ('meadow',))
    """
    with collected_notes() as notes:
        scene = _read(Path(path), options)
    return scene.with_(notes=tuple(notes))


def _read(path: Path, options: dict[str, Any]) -> Scene:
    asked, arrays = checked(options, str(path))
    opened = open_stack(path, open_file) if asked.stack else open_file(path)
    given = {key: arrays.get(key, getattr(asked, key)) for key in ARRAYS}
    truth = _truth(given["labels"], given["abundances"], asked.labels_key)
    centres = _given_wavelengths(given["wavelengths"])
    variables = opened if isinstance(opened, list) else []
    if truth:
        truth = truth.among(variables, path)
    raw, order = chosen_image(variables, path, asked) if isinstance(opened, list) else _image(opened, asked), "C"
    if raw is None:
        raw, order = pick(variables, path, asked, truth, centres)
    elif isinstance(centres, str):
        raise InputError(f"{centres}: no such file, and {path} holds no named variables")
    if isinstance(centres, Centres):
        raw.wavelengths = centres
    named_classes: Sequence[str] = ()
    if truth:
        raw.labels, named_classes = truth.labels(raw.size, raw.georeference, LabelRules.of(asked), order)
    elif truth is False:
        raw.labels = None
    listed = class_names(raw.classes, np.zeros(1) if raw.labels is None else raw.labels)[0]
    raw.classes = asked.classes or tuple(named_classes) or listed
    return finish(raw, asked, _given_mask(given["mask"], raw))


def _truth(labels: Any, abundances: Any, key: str | None) -> Truth | Literal[False] | None:
    """Labels, else abundances: an array, an existing file, or any other text as a variable's name; False for none."""
    shares = labels is None or (isinstance(labels, str) and labels == "none" and abundances is not None)
    given = abundances if shares else labels
    if given is None or (isinstance(given, str) and given == "none"):
        return None if given is None else False
    if not isinstance(given, str):
        return Truth(array=np.asanyarray(given), abundances=shares)
    path = _file_or_name(given, "labels")
    return replace(
        open_labels(path, key, open_file) if isinstance(path, Path) else Truth(name=path), abundances=shares
    )


def _file_or_name(given: str, what: str) -> Path | str:
    """An existing file as its path, or a variable's name.

    Raises:
        InputError: The text can only be meant as a file, and there is no such file.
    """
    path = Path(given)
    if os.path.isfile(given):
        return path
    if path.suffix.lower() not in READERS and not path.is_absolute():
        return given
    raise InputError(f"{path}: no such file to take {what} from")


def _given_wavelengths(given: Any) -> Centres | str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        return Centres(np.asarray(given).ravel(), "", "wavelengths=")
    path = _file_or_name(given, "wavelengths")
    return read_wavelengths(path, open_file) if isinstance(path, Path) else path


def _given_mask(given: Any, raw: Raw) -> np.ndarray | None:
    """(H, W) True where a map is not 0; a map that says where it lies is laid onto the image, polygons are drawn."""
    if given is None:
        return None
    where = given if isinstance(given, str) else "mask="
    if isinstance(given, str):
        given = open_labels(Path(given), None, open_file, truth=False).on(raw.size, raw.georeference)
    given = np.ma.filled(np.asanyarray(given), 0)
    if given.dtype.kind == "f":
        given = np.nan_to_num(given)
    if given.shape != raw.size or not whole(given):
        raise InputError(f"{where}: must be booleans of {raw.size}, not {given.dtype} of {given.shape}")
    return given != 0


def _image(raw: Raw, options: ReadOptions) -> Raw:
    for option in ("cube", "layout", "shape", "order"):
        if getattr(options, option) is not None:
            raise InputError(f"{raw.source}: {option}= is for files of named arrays, this one is an image")
    if raw.cube.shape[2] < 2:
        raise InputError(f"{raw.source}: has one band, a cube needs several; as a label map pass it as labels=")
    return raw
