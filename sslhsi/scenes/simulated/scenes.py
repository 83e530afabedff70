"""The simulated corpus: seven laboratory domains under three cameras, with pixel labels and masks.

It is what the project runs on when no real scene is at hand. Materials recur across domains, every scene
has a different lamp, exposure, white-reference error and proportions of materials, and every object is an
individual; so neither colour nor mean spectrum gives a domain or a material away, while absorption
features, object shapes and textures do.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.cameras import CAMERAS, Camera, expose
from sslhsi.scenes.simulated.domains import REGISTRY, Domain
from sslhsi.scenes.simulated.layouts import Canvas
from sslhsi.scenes.simulated.materials import spectra

DOMAINS: tuple[str, ...] = tuple(REGISTRY)

_FINE = np.arange(380.0, 1030.0, 2.0)
_SMALLEST = 32


def simulate_domain(domain: str, *, index: int = 0, seed: int = 0, size: tuple[int, int] = (128, 128)) -> Scene:
    """Simulate one laboratory scene.

    Args:
        domain: One of ``DOMAINS``.
        index: Which scene of the domain; scenes differ in everything but the camera and the materials.
        seed: Seed of the corpus. The same (domain, index, seed, size) gives the same scene
            in every process.
        size: Height and width in pixels, at least 32 each.

    Returns:
        A scene named ``"DOMAIN-INDEX"``: cube (H, W, B) uint16, reflectance x 10,000; wavelengths in nm;
        labels (H, W) uint8, 0 = tray; mask True where there are objects; the domain and the camera.

    Raises:
        InputError: Unknown domain, negative index or seed, or too small a size.
    """
    if domain not in REGISTRY:
        raise InputError(f"no simulated domain {domain!r}: choose one of {', '.join(DOMAINS)}")
    if index < 0 or seed < 0:
        raise InputError(f"index and seed of a simulated scene must not be negative, got {index} and {seed}")
    if min(size) < _SMALLEST:
        raise InputError(f"a simulated scene must be at least {_SMALLEST} x {_SMALLEST} pixels, not {size}")
    kind = REGISTRY[domain]
    camera = CAMERAS[kind.camera]
    entropy = np.random.SeedSequence([seed, DOMAINS.index(domain), index, *size])
    layout_rng, spectra_rng, light_rng, camera_rng = (np.random.default_rng(s) for s in entropy.spawn(4))

    canvas = Canvas(*size)
    shares = layout_rng.dirichlet(np.full(len(kind.materials), 1.2)) + 0.06
    kind.layout(canvas, shares / shares.sum(), layout_rng)
    cube = _reflect(canvas, kind, camera, spectra_rng)
    lamp = _illuminate(cube, canvas, camera, light_rng)
    labels = np.asarray(canvas.kinds, dtype=np.uint8)[canvas.object]
    return Scene(
        name=f"{domain}-{index}",
        cube=expose(camera, cube, lamp, camera_rng),
        wavelengths=camera.wavelengths,
        labels=labels,
        classes=kind.materials,
        mask=canvas.object > 0,
        domain=domain,
        sensor=camera.name,
    )


def simulate_corpus(*, scenes_per_domain: int = 3, seed: int = 0, size: tuple[int, int] = (128, 128)) -> list[Scene]:
    """Simulate the whole corpus.

    Args:
        scenes_per_domain: Scenes of each domain.
        seed: Seed of the corpus.
        size: Height and width of every scene.

    Returns:
        ``len(DOMAINS) * scenes_per_domain`` scenes, domain by domain.
    """
    return [
        simulate_domain(domain, index=index, seed=seed, size=size)
        for domain in DOMAINS
        for index in range(scenes_per_domain)
    ]


def _reflect(canvas: Canvas, kind: Domain, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """(H, W, B) float32 reflectance: every object an individual, mottled between two spectra."""
    response = camera.response(_FINE).T
    kinds = np.array(canvas.kinds)
    tray = (0.86 if kind.bright_tray else 0.035) * np.exp(rng.normal(0, 0.05))
    stain = rng.uniform(0.0, 0.45, kinds.size)
    other = rng.integers(1, len(kind.materials) + 1, kinds.size)
    base = np.full((kinds.size, camera.bands), tray)
    change = np.zeros_like(base)
    for number, name in enumerate(kind.materials, start=1):
        here, there = kinds == number, (other == number) & (kinds > 0)
        first, second = (spectra(name, _FINE, here.sum(), rng, spread=kind.spread) @ response for _ in range(2))
        base[here] = first
        change[here] += (1 - stain[here, None]) * second - first
        foreign = spectra(name, _FINE, there.sum(), rng, spread=kind.spread) @ response
        change[there] += stain[there, None] * foreign
    mottle = np.clip(0.45 + 0.4 * _field(canvas, 2.0 * kind.grain, rng), 0.0, 1.0)
    texture = np.exp(kind.roughness * _field(canvas, kind.grain, rng) * (canvas.object > 0))
    cube = change.astype(np.float32)[canvas.object]
    cube *= mottle[..., None]
    cube += base.astype(np.float32)[canvas.object]
    cube *= texture[..., None]
    return cube


def _illuminate(cube: np.ndarray, canvas: Canvas, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Light the scene in place: relief, shadows, gloss, uneven lamp, white-reference error, stray light.

    Returns the lamp's spectrum, (B,), 1 at its maximum.
    """
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.6)
    light = np.array([np.sin(turn), np.cos(turn), height]) / np.hypot(1.0, height)
    slope_y, slope_x = np.gradient(gaussian_filter(canvas.relief, 0.6))
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    facing = (light[2] - slope_y * light[0] - slope_x * light[1]) / length / light[2]
    shade = (0.35 + 0.65 * np.clip(facing, 0.0, 1.5)) * gaussian_filter(canvas.shadow, 0.8)
    half = light + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    mirror = np.clip((half[2] - slope_y * half[0] - slope_x * half[1]) / length, 0.0, 1.0)
    shine = canvas.gloss * mirror**60

    y, x = np.linspace(-1, 1, canvas.height)[:, None], np.linspace(-1, 1, canvas.width)[None, :]
    tilt = rng.normal(0, 0.10, 2)
    uneven = 1 + tilt[0] * y + tilt[1] * x - rng.uniform(0.0, 0.12) * (x**2 + y**2)

    position = (camera.wavelengths - 705.0) / 325.0
    bend = rng.normal(size=5) * np.array([0.22, 0.20, 0.12, 0.08, 0.05])
    colour = np.exp(np.polynomial.legendre.legval(position, bend)).astype(np.float32)
    cube *= (shade * uneven)[..., None].astype(np.float32)
    cube += (shine + rng.uniform(0.0, 0.02)).astype(np.float32)[..., None]
    cube *= colour

    kelvin = rng.uniform(2750.0, 3150.0)
    planck = camera.wavelengths**-5.0 / np.expm1(1.4388e7 / (camera.wavelengths * kelvin))
    return planck / planck.max()


def _field(canvas: Canvas, scale: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32 Gaussian random field of unit variance, correlated over ``scale`` pixels."""
    noise = rng.standard_normal((canvas.height, canvas.width))
    smooth = gaussian_filter(noise, scale, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)
