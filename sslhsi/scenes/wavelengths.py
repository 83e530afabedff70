"""Band centres: units, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, Variable, check_file, reading

_LENGTHS = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometer": 1e3, "micrometre": 1e3, "micron": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6,
    "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9,
}  # fmt: skip
_WAVENUMBER = re.compile(r"wave\s*numbers?|(1/cm|cm\^?\(?-1\)?|cm\s*⁻¹|raman)", re.IGNORECASE)
_TELLING = re.compile(r"wave|lambda|\bwl", re.IGNORECASE)
_NAMED = re.compile(r"wave|lambda|^wl|nm$|cent(er|re)", re.IGNORECASE)


def is_wavenumber(unit: str) -> bool:
    """True when a unit (or a variable's name) speaks of wavenumbers in 1/cm."""
    return bool(_WAVENUMBER.search(unit))


def to_nanometres(values: np.ndarray | Sequence[float], unit: str | None, where: str) -> np.ndarray | None:
    """Convert band centres to nanometres, in the order given.

    Args:
        values: (B,) band centres.
        unit: Unit in words or None. Lengths and wavenumbers (1/cm, as 1e7 / x) are known. An unknown
            or missing unit goes by magnitude: micrometres when every value is under 100.
        where: File or key, for messages.

    Returns:
        (B,) nanometres; None when the unit says that the values are mere indices or frequencies.

    Raises:
        InputError: Values that are not positive finite numbers.
    """
    try:
        numbers = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: wavelengths must be numbers ({error})") from error
    if numbers.size == 0 or not np.isfinite(numbers).all() or (numbers <= 0).any():
        raise InputError(f"{where}: wavelengths must be positive finite numbers")
    word = (unit or "").strip().lower()
    if is_wavenumber(word):
        note(where, "wavenumbers (1/cm) converted to nanometres as 1e7 / x, band order kept")
        return 1e7 / numbers
    factor = _LENGTHS.get(word, _LENGTHS.get(word.rstrip("s")))
    if factor is None and (word.startswith("index") or word.endswith("hz")):
        note(where, f"band centres in {unit!r} are no wavelengths and are left out")
        return None
    if factor is None:
        factor = 1e3 if numbers.max() < 100 else 1.0
        if factor != 1.0:
            note(where, "wavelengths under 100 taken as micrometres")
    return numbers * factor


def plausible(variable: Variable) -> bool:
    """True when an array may hold band centres: by its name, or by its values alone."""
    if not variable.real or variable.size < 2 or max(variable.shape) != variable.size:
        return False
    with_name = bool(_NAMED.search(variable.name.replace("/", ".").split(".")[-1]))
    values = np.asarray(variable.load(), dtype=np.float64).ravel()
    if not np.isfinite(values).all() or (values <= 0).any():
        return False
    if with_name:
        return True
    # Without a telling name, indices of kept bands (1, 2, 5, ...) must not pass for wavelengths.
    steps = np.diff(values)
    ordered = bool((steps > 0).all() or (steps < 0).all())
    nanometres = values.min() >= 200 and values.max() <= 20_000
    micrometres = values.min() >= 0.2 and values.max() <= 20 and not (values == np.round(values)).all()
    return ordered and (nanometres or micrometres)


def pick_wavelengths(variables: Sequence[Variable], bands: int) -> tuple[str, np.ndarray] | None:
    """The one array of ``bands`` band centres among a file's variables, with its name, or None."""
    vectors = [v for v in variables if v.size == bands and plausible(v)]
    telling = [v for v in vectors if _TELLING.search(v.name)]
    chosen = telling or vectors
    if len(chosen) > 1:
        note("wavelengths", f"could be {', '.join(map(str, chosen))}: left unknown, pass wavelengths=")
    return (chosen[0].name, np.asarray(chosen[0].load()).ravel()) if len(chosen) == 1 else None


def read_wavelengths(path: Path, open_file: Callable[[Path], Raw | list[Variable]]) -> np.ndarray:
    """Band centres in nanometres from a separate file.

    Args:
        path: .txt or .csv (numbers alone), a file with named vectors, or an image whose header tells them.
        open_file: Opens a file of any supported format.

    Raises:
        InputError: Nothing in the file can be band centres, or several vectors can.
    """
    check_file(path)
    if path.suffix.lower() in (".txt", ".csv", ".wl"):
        with reading(path, "a list of wavelengths"):
            words = re.split(r"[\s,;]+", path.read_text(encoding="utf-8", errors="replace").strip())
        try:
            values, unit = np.array([float(word) for word in words if word]), ""
        except ValueError:
            raise InputError(f"{path}: a text file of wavelengths must hold numbers only, one per line") from None
    else:
        opened = open_file(path)
        if not isinstance(opened, list):
            if opened.wavelengths is None:
                raise InputError(f"{path}: tells no wavelengths")
            return opened.wavelengths
        vectors = [v for v in opened if v.real and 1 < v.size == max(v.shape)]
        chosen = [v for v in vectors if _TELLING.search(v.name)] if len(vectors) > 1 else vectors
        if len(chosen) != 1:
            listed = ", ".join(map(str, vectors)) or "no vector"
            raise InputError(f"{path}: which variable holds the wavelengths is unclear ({listed})")
        values = np.asarray(chosen[0].load())
        unit = "wavenumber" if is_wavenumber(chosen[0].name) else ""
    converted = to_nanometres(values, unit, str(path))
    assert converted is not None  # only a unit in words can say otherwise
    return converted
