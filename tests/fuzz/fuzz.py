"""Malformed files for every reader and for the recipe loader: nothing but a clean error may come of them.

    python tests/fuzz/fuzz.py                 # 30,000 inputs, some minutes
    python tests/fuzz/fuzz.py --inputs 300 --seed 7 --kinds mat5 envi

Small valid files of every format are cut, spliced, and have bits, bytes, numbers and words changed. Each input
is read in another process with bounded memory and time. What is allowed: a scene, a recipe, or
InputError with one line. Anything else (another exception, a crash, too much memory or time) is printed, its
input is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import collections
import lzma
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import rasterio
import scipy.io
from pairs import pairs

from sslhsi.errors import InputError
from sslhsi.recipe import load_recipe
from sslhsi.scenes.read import read_labels, read_scene
from sslhsi.scenes.read_spectra import read_spectra

ROOT = Path(__file__).parents[2]
CUBE = np.random.default_rng(0).integers(1, 100, (5, 7, 11)).astype("int16")
LABELS = np.random.default_rng(1).integers(0, 4, (5, 7)).astype("uint8")
WAVES = np.linspace(400.0, 900.0, 11)
HEADER = (
    "ENVI\ndescription = {small}\nsamples = 7\nlines = 5\nbands = 11\nheader offset = 0\ndata type = 2\n"
    "interleave = bip\nbyte order = 0\nwavelength units = nm\nwavelength = {"
    + ", ".join(f"{w:.1f}" for w in WAVES)
    + "}\nbbl = {1,1,1,0,1,1,1,1,1,1,1}\ndata ignore value = 0\nreflectance scale factor = 10000\n"
)
# Beyond what is held already; a file of some kilobytes has no claim to more.
EXTRA_BYTES = 1 << 30
SECONDS = 10


def valid_files(folder: Path) -> dict[str, tuple[list[Path], Callable[[], object]]]:
    """By kind: the files to harm, and what reads them."""

    def scene(path: Path, **options: object) -> Callable[[], object]:
        def read() -> object:
            scene = read_scene(path, **options)  # type: ignore[arg-type]
            # Memory-mapped and lazy data, too.
            return np.asarray(scene.cube).sum(), scene.wavelengths, scene.labels

        return read

    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, tuple[list[Path], Callable[[], object]]] = {}
    for kind, options in {"mat4": {"format": "4"}, "mat5": {}, "mat5z": {"do_compression": True}}.items():
        path = folder / f"{kind}.mat"
        flat = {"data": CUBE.reshape(5, -1)} if kind == "mat4" else {"data": CUBE, "gt": LABELS, "name": "x"}
        scipy.io.savemat(path, flat, **options)
        kinds[kind] = [path], (lambda p=path: read_labels(p)) if kind == "mat4" else scene(path, cube="data")
    scipy.io.savemat(folder / "gt.mat", {"gt": LABELS})
    kinds["labels"] = [folder / "gt.mat"], lambda: read_labels(folder / "gt.mat")
    for kind, suffix in {"hdf5": "h5", "mat73": "mat"}.items():
        path = folder / f"{kind}.{suffix}"
        with h5py.File(path, "w", userblock_size=512 if suffix == "mat" else 0) as file:
            file.create_dataset("cube", data=CUBE, chunks=(5, 7, 11), compression="gzip")
            file.create_dataset("wavelengths", data=WAVES)
        if suffix == "mat":
            head = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49)
            path.write_bytes(head + path.read_bytes()[128:])
        kinds[kind] = [path], scene(path, cube="cube")
    envi = folder / "envi.hdr", folder / "envi.img"
    envi[0].write_text(HEADER)
    envi[1].write_bytes(CUBE.tobytes())
    kinds["envi"] = list(envi), scene(envi[0])
    np.save(folder / "array.npy", CUBE)
    kinds["npy"] = [folder / "array.npy"], scene(folder / "array.npy")
    np.savez_compressed(folder / "array.npz", cube=CUBE, wavelengths=WAVES, labels=LABELS)
    kinds["npz"] = [folder / "array.npz"], scene(folder / "array.npz")
    profile = {"driver": "GTiff", "height": 5, "width": 7, "count": 11, "dtype": "int16"}
    packed = {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}
    for kind, more in {"tif": {}, "tifz": packed}.items():
        with (
            warnings.catch_warnings(action="ignore"),
            rasterio.open(folder / f"{kind}.tif", "w", **profile, **more) as file,
        ):
            file.write(CUBE.transpose(2, 0, 1))
        kinds[kind] = [folder / f"{kind}.tif"], scene(folder / f"{kind}.tif")
    rows = ["y,x,wavenumber,value"]
    rows += [f"{r},{c},{w},{v}" for (r, c, b), v in np.ndenumerate(CUBE[:2, :3]) for w in [1000 + 10 * b]]
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    kinds["csv"] = [folder / "table.csv"], scene(folder / "table.csv")
    (folder / "table.csv.xz").write_bytes(lzma.compress((folder / "table.csv").read_bytes()))
    kinds["xz"] = [folder / "table.csv.xz"], scene(folder / "table.csv.xz")
    kinds |= products(folder, scene) | pairs(folder / "pairs")
    shutil.copy(ROOT / "recipes" / "simclr_multidomain.yaml", folder / "recipe.yaml")
    kinds["recipe"] = [folder / "recipe.yaml"], lambda: load_recipe(folder / "recipe.yaml")
    return kinds


def products(
    folder: Path, scene: Callable[..., Callable[[], object]]
) -> dict[str, tuple[list[Path], Callable[[], object]]]:
    """Products, rasters beyond GeoTIFF, bands in files and tables of spectra, as ``valid_files`` has them."""
    kinds: dict[str, tuple[list[Path], Callable[[], object]]] = {}
    with h5py.File(folder / "prisma.he5", "w") as file:
        for name, array in {"VNIR": CUBE[:, :, :6], "SWIR": CUBE[:, :, 6:]}.items():
            file[f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{name}_Cube"] = array.transpose(0, 2, 1).astype("uint16")
        file.attrs["List_Cw_Vnir"], file.attrs["List_Cw_Swir"] = WAVES[5::-1], WAVES[:5:-1]
        for word in ("Vnir", "Swir"):
            file.attrs[f"L2Scale{word}Min"], file.attrs[f"L2Scale{word}Max"] = 0.0, 1.0
    with h5py.File(folder / "neon.h5", "w") as file:
        file["HARV/Reflectance/Reflectance_Data"] = CUBE
        file["HARV/Reflectance/Reflectance_Data"].attrs.update({"Scale_Factor": 1e4, "Data_Ignore_Value": -9999.0})
        file["HARV/Reflectance/Metadata/Spectral_Data/Wavelength"] = WAVES
        file["HARV/Reflectance/Metadata/Ancillary_Imagery/Haze_Cloud_Water_Map"] = LABELS
        file["HARV/Reflectance/Metadata/Coordinate_System/Map_Info"] = "UTM, 1, 1, 5e5, 5e6, 1, 1, 18, North"
    for name, form in {"nc4": "NETCDF4", "nc3": "NETCDF3_CLASSIC"}.items():
        with netCDF4.Dataset(folder / f"{name}.nc", "w", format=form) as file:
            for axis, size in {"wavelength": 11, "y": 5, "x": 7}.items():
                file.createDimension(axis, size)
            file.createVariable("radiance", "i2", ("wavelength", "y", "x"))[:] = CUBE.transpose(2, 0, 1)
            file.createVariable("wavelength", "f4", ("wavelength",))[:] = WAVES
            file["wavelength"].units = "nm"
    for name in ("prisma.he5", "neon.h5", "nc4.nc", "nc3.nc"):
        kinds[name.split(".")[0]] = [folder / name], scene(folder / name)
    profile = {"height": 5, "width": 7, "count": 11, "dtype": "int16"}
    enmap = folder / "enmap" / "ENMAP-SPECTRAL_IMAGE.TIF"
    enmap.parent.mkdir()
    stack = folder / "stack"
    stack.mkdir()
    with warnings.catch_warnings(action="ignore"):
        for path, driver in {enmap: "GTiff", folder / "erdas.img": "HFA", folder / "esri.bil": "EHdr"}.items():
            with rasterio.open(path, "w", driver=driver, **profile) as file:
                file.write(CUBE.transpose(2, 0, 1))
        for band in range(3):
            with rasterio.open(stack / f"B{band}.tif", "w", driver="GTiff", **profile | {"count": 1}) as file:
                file.write(CUBE[:, :, band], 1)
    entries = "".join(
        f'<bandID number="{n}"><wavelengthCenterOfBand>{w}</wavelengthCenterOfBand><GainOfBand>0.0001</GainOfBand>'
        "<OffsetOfBand>0</OffsetOfBand></bandID>"
        for n, w in enumerate(WAVES, 1)
    )
    document = enmap.with_name("ENMAP-METADATA.XML")
    document.write_text(f"<level_X><bandCharacterisation>{entries}</bandCharacterisation></level_X>")
    kinds["enmap"] = [document, enmap], scene(enmap.parent)
    kinds["erdas"] = [folder / "erdas.img"], scene(folder / "erdas.img")
    kinds["esri"] = [folder / "esri.hdr", folder / "esri.bil"], scene(folder / "esri.hdr")
    kinds["stack"] = sorted(stack.glob("*.tif")), scene(stack, stack=True)
    lines = [["name", *WAVES], *([f"leaf {n}", *row] for n, row in enumerate(CUBE[0]))]
    (folder / "spectra.csv").write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n")
    kinds["spectra"] = [folder / "spectra.csv"], lambda: read_spectra(folder / "spectra.csv")
    library = folder / "library.hdr", folder / "library.sli"
    library[0].write_text(
        "ENVI\nsamples = 11\nlines = 7\nbands = 1\nheader offset = 0\nfile type = ENVI Spectral Library\n"
        "data type = 2\ninterleave = bsq\nbyte order = 0\nwavelength = {"
        + ", ".join(f"{w:.1f}" for w in WAVES)
        + "}\n"
        "spectra names = {a, b, c, d, e, f, g}\n"
    )
    library[1].write_bytes(CUBE[0].tobytes())
    kinds["library"] = list(library), lambda: read_spectra(library[0])
    return kinds


NUMBERS = [b"0", b"-1", b"1e400", b"nan", b"99999999999999999999", b"4294967296", b"null", b"[]", b"{}", b"''"]
WORDS = [
    b"&a *a",
    b"${oc.env:NOT_SET}",
    b"${seed}",
    b"!!python/object:x",
    b"\x00",
    b"\xff\xfe",
    b"%",
    b"}",
    b"{",
    b"\t",
]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        # Half of the changes fall in the first bytes, where headers are.
        at = int(rng.integers(min(len(data), 256) if rng.random() < 0.5 else len(data)))
        match int(rng.integers(8)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.integers(256))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + int(rng.integers(1, 64))]
            case 4:
                data[at:at] = bytes(data[int(rng.integers(len(data))) :][: int(rng.integers(1, 64))])
            case 5:
                value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 250]))
                data[at : at + 4] = struct.pack("<I" if rng.random() < 0.7 else ">I", value)
            case 6:
                data[at : at + int(rng.integers(1, 4))] = NUMBERS[rng.integers(len(NUMBERS))]
            case 7:
                data[at:at] = WORDS[rng.integers(len(WORDS))]
    return bytes(data)


def verdict(read: Callable[[], object]) -> str:
    """Empty where all is well, or what went wrong."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            read()
    except InputError as error:
        text = str(error)
        return "" if text and "\n" not in text else f"InputError of several lines: {text!r}"
    except BaseException:
        return traceback.format_exc()
    return ""


def in_child(tasks: list[Callable[[], object]]) -> tuple[int, str]:
    """Read inputs one after another in a fork; returns how many went well and what happened to the next."""
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + EXTRA_BYTES, held + EXTRA_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for task in tasks:
            signal.alarm(SECONDS)
            problem = verdict(task)
            signal.alarm(0)
            os.write(back, b"." if not problem else b"!" + problem.encode()[-3000:])
            if problem:
                break
        os._exit(0)
    os.close(back)
    said = b""
    while part := os.read(out, 65536):
        said += part
    os.close(out)
    _, status = os.waitpid(child, 0)
    well, mark, problem = said.partition(b"!")
    if mark:
        return len(well), problem.decode(errors="replace")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return len(well), f"took more than {SECONDS} s" if name == "SIGALRM" else f"died of {name}"
    return len(well), ""


def fuzz(folder: Path, kinds: list[str], inputs: int, seed: int, say: Callable[[str], None] = print) -> int:
    """Try ``inputs`` malformed inputs of each of ``kinds``; returns how many ended badly."""
    kinds_of_files = valid_files(folder / "valid")
    problems: collections.Counter[str] = collections.Counter()
    for kind in kinds or list(kinds_of_files):
        files, read = kinds_of_files[kind]
        whole = {file: file.read_bytes() for file in files}
        read()  # the valid file is valid
        began = time.perf_counter()

        def attempt(number: int, files=files, whole=whole, read=read, kind=kind) -> Callable[[], object]:
            def task() -> object:
                rng = np.random.default_rng([seed, sum(kind.encode()), number])
                harmed = files[int(rng.integers(len(files)))]
                for file in files:
                    file.write_bytes(mutate(whole[file], rng) if file == harmed else whole[file])
                return read()

            return task

        number = bad = 0
        while number < inputs:
            done, problem = in_child([attempt(n) for n in range(number, min(inputs, number + 200))])
            number += done
            if problem:
                reason = problem.strip().splitlines()[-1]
                problems[f"{kind}: {reason[:160]}"] += 1
                bad += 1
                if problems[f"{kind}: {reason[:160]}"] == 1:
                    kept = folder / "bad" / f"{kind}-{number}"
                    kept.mkdir(parents=True, exist_ok=True)
                    for file in files:
                        shutil.copy(file, kept)
                    say(f"{kind} input {number} (kept in {kept}):\n{problem.strip()}")
                number += 1
        for file, content in whole.items():
            file.write_bytes(content)
        say(f"{kind:8s} {inputs} inputs, {bad} ended badly, {time.perf_counter() - began:.1f} s")
    for reason, count in problems.most_common():
        say(f"{count:6d} x {reason}")
    return sum(problems.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, help="for the inputs; those that end badly stay there")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    bad = fuzz(folder, options.kinds, options.inputs, options.seed)
    print(f"{bad} inputs ended badly" + (f"; they are in {folder / 'bad'}" if bad else ""))
    if not bad and options.folder is None:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
