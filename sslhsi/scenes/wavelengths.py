"""Band centres: units, what is plausible, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Variable

_LENGTHS = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometer": 1e3, "micrometre": 1e3, "micron": 1e3,
    "angstrom": 0.1, "ångström": 0.1, "ångstrom": 0.1, "å": 0.1,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6,
    "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9,
}  # fmt: skip
_WAVENUMBER = re.compile(r"wave\s*numbers?|(1/cm|cm\^?\(?-1\)?|cm\s*⁻¹|raman)", re.IGNORECASE)
#: A unit of band centres as people write it.
UNIT = r"nm|nanomet\w+|um|µm|μm|micromet\w+|microns?|å|angstroms?|cm-1|1/cm"
_UNIT = re.compile(rf"(?<![a-zµμ])({UNIT})(?![a-z])", re.IGNORECASE)
TELLING = re.compile(r"wave|lambda|\bwl", re.IGNORECASE)
_NAMED = re.compile(r"wave|lambda|^wl|nm$|cent(er|re)", re.IGNORECASE)
_NO_CENTRES = re.compile(r"good|bad|flag|valid|quality|mask|bbl|fwhm|width|index|number|count", re.IGNORECASE)
#: A number and its unit, as descriptions of bands have them.
NUMBER_UNIT = re.compile(rf"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*({UNIT})(?![a-z0-9])", re.IGNORECASE)
#: A heading over band centres.
CENTRES_HEADING = re.compile(r"wave|lambda|λ|cent(er|re)|\bwl|(?<![0-9] )\bnm\b|raman|cm-1|1/cm", re.IGNORECASE)
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
    if not variable.vector:
        return False
    name, values = variable.tail, variable.numbers()
    if not np.isfinite(values).all() or (values <= 0).any() or _NO_CENTRES.search(name):
        return False
    if _NAMED.search(name):
        return bool(np.ptp(values) > 0)  # flags that are all 1 are no centres
    return are_centres(values)


def are_centres(values: np.ndarray) -> bool:
    """True for numbers that only ascend or descend, as nanometres (200 to 20,000) or micrometres do.

    Without a telling name, indices of kept bands (1, 2, 5, ...) must not pass for wavelengths.
    """
    nanometres = values.min() >= 200 and values.max() <= 20_000
    micrometres = values.min() >= 0.2 and values.max() <= 20 and not (values == np.round(values)).all()
    return monotonic(values) and bool(nanometres or micrometres)


def monotonic(values: np.ndarray) -> bool:
    """True for several finite numbers that only ascend or only descend."""
    steps = np.diff(values)
    return len(steps) > 0 and bool((steps > 0).all() or (steps < 0).all())


def centres_of(variable: Variable, where: str) -> Centres:
    """Band centres of a variable, with the unit that its attributes or its name tell."""
    values = np.asarray(variable.load()).ravel()
    return Centres(values, variable.text("unit", "units") or unit_in(variable.tail), where)


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
    telling = [v for v in vectors if TELLING.search(v.name)]
    chosen = telling or vectors
    exact = [v for v in chosen if v.tail.lower() in ("wavelength", "wavelengths")]
    chosen = exact if len(exact) == 1 else chosen
    if len(chosen) > 1:
        note("wavelengths", f"could be {', '.join(map(str, chosen))}: left unknown, pass wavelengths=")
    return chosen[0] if len(chosen) == 1 else None
