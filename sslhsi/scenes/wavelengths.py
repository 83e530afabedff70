"""Band centres: units, what is plausible, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file, reading
from sslhsi.scenes.wavelength_table import parse_table

_LENGTHS = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometer": 1e3, "micrometre": 1e3, "micron": 1e3,
    "angstrom": 0.1, "ångström": 0.1, "ångstrom": 0.1, "å": 0.1,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6,
    "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9,
}  # fmt: skip
_WAVENUMBER = re.compile(r"wave\s*numbers?|(1/cm|cm\^?\(?-1\)?|cm\s*⁻¹|raman)", re.IGNORECASE)
_UNIT = re.compile(
    r"(?<![a-zµμ])(nm|nanomet(?:er|re)s?|um|µm|μm|micromet(?:er|re)s?|microns?|angstroms?|å)(?![a-z])", re.IGNORECASE
)
_TELLING = re.compile(r"wave|lambda|\bwl", re.IGNORECASE)
_NAMED = re.compile(r"wave|lambda|^wl|nm$|cent(er|re)", re.IGNORECASE)
_NO_CENTRES = re.compile(r"good|bad|flag|valid|quality|mask|bbl|fwhm|width|index|number|count", re.IGNORECASE)
#: A number and its unit, as descriptions of bands have them.
NUMBER_UNIT = re.compile(
    r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*(nm|nanomet\w+|um|µm|μm|micromet\w+|microns?|angstroms?|cm-1|1/cm)(?![a-z0-9])",
    re.IGNORECASE,
)
# Where imaging spectrometers see, in nm: between these ranges the air lets nothing through.
_SPECTROMETERS = ((200.0, 5_600.0), (6_800.0, 16_000.0))


def is_wavenumber(unit: str) -> bool:
    """True when a unit (or a variable's name) speaks of wavenumbers in 1/cm."""
    return bool(_WAVENUMBER.search(unit))


def unit_in(text: str) -> str:
    """The unit that a heading or a variable's name speaks of; empty when it names none.

    Examples:
        >>> unit_in("wavelength_um"), unit_in("Wavelength (nm)"), unit_in("centres")
        ('um', 'nm', '')
    """
    if is_wavenumber(text):
        return "1/cm"
    match = _UNIT.search(text.replace("_", " "))
    return match.group(1) if match else ""


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
        note(where, "wavenumbers (1/cm) converted to nanometres as 1e7 / x")
        return 1e7 / numbers
    factor = _LENGTHS.get(word, _LENGTHS.get(word.rstrip("s")))
    if factor is None and (word.startswith("index") or word.endswith("hz")):
        note(where, f"band centres in {unit!r} are no wavelengths and are left out")
        return None
    if factor is None:
        factor = _by_magnitude(numbers, word, where)
    nanometres = numbers * factor
    low, high = float(nanometres.min()), float(nanometres.max())
    if not any(lowest <= low and high <= highest for lowest, highest in _SPECTROMETERS):
        note(
            where,
            f"wavelengths of {low:g} to {high:g} nm are implausible for an imaging spectrometer; if their unit "
            "is another, pass unit=",
        )
    if numbers.size > 1 and low == high:
        note(where, f"all {numbers.size} bands have one wavelength, {low:g} nm; pass wavelengths= to correct it")
    return nanometres


def _by_magnitude(numbers: np.ndarray, word: str, where: str) -> float:
    """Nanometres in one unit of band centres whose unit isn't known, and a note where that is a guess."""
    micrometres = numbers.max() < 100
    if word not in ("", "unknown", "unitless", "none"):
        what = "micrometres" if micrometres else "nanometres"
        note(where, f"the wavelengths' unit {word!r} is not known, {what} assumed (unit= overrules)")
    elif micrometres:
        note(where, "wavelengths under 100 taken as micrometres (unit= overrules)")
    return 1e3 if micrometres else 1.0


def plausible(variable: Variable) -> bool:
    """True when an array may hold band centres: by its name, or by its values alone."""
    if not variable.real or variable.size < 2 or max(variable.shape) != variable.size:
        return False
    name = _tail(variable)
    values = np.asarray(variable.load(), dtype=np.float64).ravel()
    if not np.isfinite(values).all() or (values <= 0).any() or _NO_CENTRES.search(name):
        return False
    if _NAMED.search(name):
        return bool(np.ptp(values) > 0)  # flags that are all 1 are no centres
    # Without a telling name, indices of kept bands (1, 2, 5, ...) must not pass for wavelengths.
    steps = np.diff(values)
    ordered = bool((steps > 0).all() or (steps < 0).all())
    nanometres = values.min() >= 200 and values.max() <= 20_000
    micrometres = values.min() >= 0.2 and values.max() <= 20 and not (values == np.round(values)).all()
    return ordered and (nanometres or micrometres)


def _tail(variable: Variable) -> str:
    return variable.name.replace("/", ".").split(".")[-1]


def centres_of(variable: Variable, where: str) -> Centres:
    """Band centres of a variable, with the unit that its attributes or its name tell."""
    units = [v for key, v in variable.attributes.items() if key.lower() in ("unit", "units")]
    unit = (
        units[0].decode(errors="replace") if units and isinstance(units[0], bytes) else str(units[0] if units else "")
    )
    return Centres(np.asarray(variable.load()).ravel(), unit or unit_in(_tail(variable)), where)


def joined(parts: Sequence[Centres | np.ndarray | None]) -> Centres | None:
    """Band centres of bands that come one by one; None where one is unknown, in nanometres where units differ."""
    known = [p if isinstance(p, Centres) else Centres(p, "nm", "bands") for p in parts if p is not None]
    if not known or len(known) < len(parts):
        return None
    units = {part.unit for part in known}
    if len(units) == 1:
        return Centres([value for part in known for value in part.values], units.pop(), known[0].where)
    lengths = [to_nanometres(part.values, part.unit, part.where) for part in known]
    values = [length for length in lengths if length is not None]
    return Centres(np.concatenate(values), "nm", known[0].where) if len(values) == len(parts) else None


def centres_in_names(names: Sequence[str], where: str) -> Centres | None:
    """Band centres written into the names of bands: "450.3 nm", "Band 7 (0.85 um)", or bare numbers that rise.

    Examples:
        >>> centres_in_names(["Band 1 (450.3 Nanometers)", "Band 2 (460 Nanometers)"], "a.hdr").values
        ['450.3', '460']
    """
    matches = [NUMBER_UNIT.search(name) for name in names]
    if names and all(matches) and len({m.group(2).lower() for m in matches if m}) == 1:
        note(where, "wavelengths are taken from the band names")
        return Centres([m.group(1) for m in matches if m], next(m.group(2) for m in matches if m), where)
    bare = [re.fullmatch(r"\s*(?:wl|lambda|b)?[_ ]?(\d+(?:\.\d+)?)\s*", name, re.IGNORECASE) for name in names]
    if len(names) < 2 or not all(bare):
        return None
    values = np.array([m.group(1) for m in bare if m], dtype=np.float64)
    if (np.diff(values) > 0).all() and values[0] >= 200 and values[-1] <= 16_000:
        note(where, "wavelengths are taken from the band names, in nanometres (unit= overrules)")
        return Centres(values, "", where)
    return None


def pick_wavelengths(variables: Sequence[Variable], bands: int) -> Variable | None:
    """The one variable among a file's that holds ``bands`` band centres, or None."""
    vectors = [v for v in variables if v.size == bands and plausible(v)]
    telling = [v for v in vectors if _TELLING.search(v.name)]
    chosen = telling or vectors
    exact = [v for v in chosen if _tail(v).lower() in ("wavelength", "wavelengths")]
    chosen = exact if len(exact) == 1 else chosen
    if len(chosen) > 1:
        note("wavelengths", f"could be {', '.join(map(str, chosen))}: left unknown, pass wavelengths=")
    return chosen[0] if len(chosen) == 1 else None


def read_wavelengths(path: Path, open_file: Callable[[Path], Raw | list[Variable]]) -> Centres:
    """Band centres from a separate file.

    Args:
        path: .txt or .csv (one number a line, or a table with a column of them; see
            :mod:`sslhsi.scenes.wavelength_table`), an ENVI header, a file with named vectors, or an image that
            tells them.
        open_file: Opens a file of any supported format.

    Raises:
        InputError: Nothing in the file can be band centres, or several vectors can.
    """
    check_file(path)
    if path.suffix.lower() in (".txt", ".csv", ".wl", ".tsv", ".dat", ".asc") and not _binary(path):
        with reading(path, "a list of wavelengths"):
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        values, heading = parse_table(text, path)
        return Centres(values, unit_in(heading), str(path))
    opened = open_file(path)
    if not isinstance(opened, list):
        if opened.wavelengths is None:
            raise InputError(f"{path}: tells no wavelengths")
        known = opened.wavelengths
        return known if isinstance(known, Centres) else Centres(known, "nm", str(path))
    vectors = [v for v in opened if v.real and 1 < v.size == max(v.shape)]
    chosen = vectors
    if len(vectors) > 1:
        chosen = [v for v in vectors if _TELLING.search(v.name) and plausible(v)]
    if len(chosen) != 1:
        listed = ", ".join(map(str, vectors)) or "no vector"
        raise InputError(f"{path}: which variable holds the wavelengths is unclear ({listed})")
    return centres_of(chosen[0], str(path))


def _binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(4096)
