"""What a run is: the typed recipe, read from YAML with ``key=value`` overrides, checked before any work."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from sslhsi.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SceneSource(Section):
    """Where one scene comes from: a file, or the embedded simulated corpus."""

    path: str | None = None
    simulated: str | None = Field(default=None, description="domain of the simulated corpus")
    index: Count = Field(default=0, description="which scene of the simulated domain")
    size: tuple[Positive, Positive] = Field(default=(160, 160), description="height, width of a simulated scene")
    name: str | None = None
    domain: str | None = None
    sensor: str = ""
    site: str | None = Field(default=None, description="files that show the same ground bear the same site")
    cube: str | None = Field(default=None, description="variable that holds the cube")
    labels: str | None = Field(default=None, description="file or variable that holds the ground truth")
    labels_key: str | None = None
    abundances: str | None = None
    purity: Share | None = None
    wavelengths: str | list[float] | None = None
    nodata: float | None = None
    drop_bands: Literal["bad"] | list[int] | None = None
    background: Literal["none", "nodata", "otsu", "given"] = "nodata"
    holdout: bool = Field(default=False, description="the whole scene is kept out of pretraining")

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        if (self.path is None) == (self.simulated is None):
            raise ValueError("give either path or simulated")
        return self


class Bands(Section):
    """The common spectral space."""

    grid: Annotated[int, Field(ge=2)] = 256
    components: Positive | None = 30
    align: Literal["wavelength", "index"] = "wavelength"
    whiten: Share = Field(default=0.0, description="power of the whitening: 0 plain PCA, 1 unit variances")
    denoise: Share = Field(default=0.0, description="power of a noise whitening, scene by scene")
    quiet: Annotated[float, Field(gt=0, le=1)] = 1.0
    standardize: Literal["none", "scene"] = "none"
    scope: Literal["all", "foreground", "train"] = "foreground"


class Patches(Section):
    """Which windows a corpus offers."""

    window: Positive = 32
    stride: Positive = 8
    min_foreground: Share = 0.5
    holdout: Share = Field(default=0.0, description="share of each scene kept out of pretraining, as one strip")
    border: Literal["inside", "reflect"] = "inside"


class Views(Section):
    """Augmentations; noise and offset are multiples of each component's spread (of its noise, where bands are
    denoised), each sample at a noise level of its own between 0 and ``noise``."""

    crop: tuple[Share, Share] = (0.4, 1.0)
    keep_centre: bool = False
    flip: Share = 0.5
    quarter_turns: bool = True
    shift: Count = Field(default=0, description="pixels by which the second view's centre may lie off the first's")
    alike: Count = Field(default=0, description="the second centre is one of this many look-alikes; 0 = any pixel")
    alike_share: Share = Field(default=1.0, description="of the samples whose second centre is a look-alike")
    scaling: Strength = 0.2
    gain: Strength = 0.0
    offset: Strength = 0.0
    noise: Strength = 0.1
    dropout: Share = 0.1
    blur: Share = Field(default=0.2, description="probability of a Gaussian blur")
    blur_sigma: tuple[Strength, Strength] = (0.3, 1.0)

    @model_validator(mode="after")
    def ordered(self) -> Self:
        for key in ("crop", "blur_sigma"):
            low, high = getattr(self, key)
            if not 0 < low <= high:
                raise ValueError(f"{key} must be two rising numbers above 0")
        return self


class Backbone(Section):
    name: str
    options: dict[str, Any] = {}
    weights: str | None = Field(
        default=None, description="to start from: a .safetensors file, a backbone/ folder, a hub id; null: random"
    )

    @model_validator(mode="after")
    def one_start(self) -> Self:
        if self.weights is not None and self.options.get("pretrained"):
            raise ValueError("weights and options.pretrained both say what to start from; give one of them")
        return self


class Objective(Section):
    name: Literal["ntxent"] = "ntxent"
    temperature: Annotated[float, Field(gt=0)] = 0.1
    hidden: Positive = 512
    output: Positive = 128
    layers: Annotated[int, Field(ge=1, le=4)] = 2
    chunk: Positive = Field(default=4096, description="embeddings that a process compares its own with at a time")


class Training(Section):
    steps: Positive | None = None
    epochs: Positive | None = None
    batch_size: Annotated[int, Field(ge=2)] = Field(default=64, description="global: over all processes")
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Strength = 1e-4
    momentum: Share = 0.9
    warmup: Share = Field(default=0.1, description="share of all steps")
    clip: Strength = Field(default=1.0, description="gradient norm; 0 = no clipping")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where the hardware multiplies it, fp32 elsewhere"
    )
    sync_batchnorm: bool = True
    micro_batch: Count = Field(
        default=0, description="views that go through the backbone at a time on each process; 0 = all"
    )
    timeout: Positive = Field(default=1800, description="seconds that a process waits for the others")
    checkpoint_every: Positive = 200
    keep_checkpoints: Positive = 2
    monitor_every: Count = Field(default=1, description="epochs between k-NN checks; 0 = none")
    log_every: Positive = 10
    resume: Literal["auto", "never"] = "auto"

    @model_validator(mode="after")
    def one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self


class Evaluation(Section):
    """How the finished backbone is judged."""

    tasks: list[Literal["domain", "pixels"]] = ["domain"]
    k: Positive = 20
    per_class: list[Positive] = [5, 10]
    schemes: list[Literal["random", "blocks"]] = ["random", "blocks"]
    seeds: Positive = 5
    max_patches: Positive = 4000


class Corpus(Section):
    scenes: Annotated[list[SceneSource], Field(min_length=1)]
    only: list[str] = Field(default=[], description="names of the scenes to use; all when empty")
    leave_out: list[str] = Field(default=[], description="names of scenes not to use")
    cache: str = "corpora"
    bands: Bands = Bands()
    patches: Patches = Patches()


class Recipe(Section):
    """A whole run, from files to a judged backbone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Count = 0
    output: str | None = Field(default=None, description="run directory; runs/NAME when not given")
    corpus: Corpus
    views: Views = Views()
    backbone: Backbone
    objective: Objective = Objective()
    training: Training
    evaluation: Evaluation = Evaluation()

    @property
    def run_dir(self) -> Path:
        return Path(self.output or f"runs/{self.name}")

    @model_validator(mode="after")
    def consistent(self) -> Self:
        held = self.corpus.patches.holdout > 0 or any(s.holdout for s in self.corpus.scenes)
        for key, asks in (
            ("corpus.bands.scope is train", self.corpus.bands.scope == "train"),
            ("evaluation.tasks names domain", "domain" in self.evaluation.tasks),
        ):
            if asks and not held:
                raise ValueError(f"{key}, but nothing is held out; set corpus.patches.holdout to 0.2, say")
        if self.views.alike and self.corpus.patches.window < 3:
            raise ValueError("views.alike compares 3x3 means; make corpus.patches.window 3 or more")
        return self

    def dump(self) -> str:
        """The resolved recipe as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.model_dump(mode="json")))


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: YAML file.
        overrides: ``key=value`` strings with dotted keys (``training.lr=1e-3``, ``corpus.scenes.0.index=1``).

    Raises:
        InputError: The file can't be read, a key is unknown (the nearest known one is named), a value has
            the wrong type or range, or an environment variable that the recipe uses is not set.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        raise InputError(f"{path}: can't read the recipe ({reason}); give the path of a YAML file") from None
    try:
        config = OmegaConf.create(text)
        if not OmegaConf.is_dict(config):
            raise InputError(f"{path}: a recipe is a YAML mapping of keys to values")
        for override in overrides:
            key, equals, value = override.partition("=")
            if not equals or not key:
                raise InputError(f"{override!r} is not an override; write key=value, as in training.lr=0.001")
            _check_entries(config, key, override)
            # Parsed as YAML, so that numbers, lists and null mean here what they mean in the file.
            OmegaConf.update(config, key, OmegaConf.create(f"v: {value}").v, merge=False)
        data = OmegaConf.to_container(config, resolve=True)
        return _validate(data, str(path))
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, RecursionError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split()) or "nested too deeply"
        if "Environment variable" in reason:
            variable = reason.split("'")[1]
            reason = f"it uses the environment variable {variable}, which is not set; export {variable}=FOLDER"
        raise InputError(f"{path}: {reason}") from None


def _check_entries(config: Any, key: str, override: str) -> None:
    """Refuse a key that leads to an entry that a list doesn't have."""
    parts = key.replace("[", ".").replace("]", "").split(".")
    for number, part in enumerate(parts):
        if OmegaConf.is_list(config):
            where = ".".join(parts[:number])
            if not part.isdecimal():
                raise InputError(f"{override!r}: {where} is a list, and {part!r} is not the number of an entry")
            if int(part) >= len(config):
                held = f"entries 0 to {len(config) - 1}" if len(config) else "no entry"
                raise InputError(f"{override!r}: there is no entry {part}, {where} has {held}")
        if number + 1 == len(parts) or not OmegaConf.is_config(config):
            return  # the value itself is not looked at: it may use a variable that isn't set
        config = config[int(part)] if OmegaConf.is_list(config) else config.get(part)


def _validate(data: Any, where: str) -> Recipe:
    try:
        # Through JSON, so that strict typing still takes a YAML list for a tuple.
        return Recipe.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors()[0]
        location = [part for part in first["loc"] if not str(part).startswith(("list[", "literal["))]
        key = ".".join(map(str, location))
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {key!r}{_nearest(first['loc'])}") from None
        if first["type"] == "missing":
            raise InputError(f"{where}: the key {key!r} is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] == "value_error" else f", not {first['input']!r}"
        raise InputError(f"{where}: {key + ': ' if key else ''}{message}{got}") from None


def _nearest(location: tuple[int | str, ...]) -> str:
    """A hint at the known key that the last part of ``location`` was probably meant to be."""
    model: type[BaseModel] = Recipe
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _section(model.model_fields[part].annotation) or model
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here are {', '.join(model.model_fields)}"


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)
