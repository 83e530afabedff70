"""What a run is: the typed recipe, read from YAML with ``key=value`` overrides, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from omegaconf import OmegaConf
from pydantic import Field, model_validator

from sslhsi.read_options import ReadOptions
from sslhsi.recipe_file import Section, read_settings, with_new_names

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
BatchSize = Annotated[int, Field(ge=2)]


class SceneSource(ReadOptions):
    """Where one scene comes from: a file, the embedded simulated corpus, or a stand-in on a real label map."""

    path: str | None = None
    simulated: str | None = Field(default=None, description="domain of the simulated corpus")
    stand_in: str | None = Field(
        default=None, description="scene whose label map, given as labels, bears made-up spectra"
    )
    index: Count = Field(default=0, description="which scene of the simulated domain")
    size: tuple[Positive, Positive] = Field(default=(160, 160), description="height, width of a simulated scene")
    site: str | None = Field(default=None, description="files that show the same place bear the same site")
    background: Literal["none", "nodata", "otsu", "given"] = "nodata"
    holdout: bool = Field(default=False, description="the whole scene is kept out of pretraining")

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.path, self.simulated, self.stand_in)) != 1:
            raise ValueError("give either path or simulated (or stand_in, with labels)")
        if self.stand_in is not None and self.labels is None:
            raise ValueError("stand_in needs labels: the file of the real label map")
        return self

    @property
    def origin(self) -> str:
        """The file, or what was simulated: for provenance."""
        if self.stand_in is not None:
            return f"stand-in:{self.stand_in}"
        return self.path or f"simulated:{self.simulated}:{self.index}"


class Bands(Section):
    """The common spectral space."""

    renamed: ClassVar[Mapping[str, str]] = {"denoise": "noise_whitening", "quiet": "quietest_share"}

    grid: Annotated[int, Field(ge=2)] = 256
    components: Positive | None = 30
    align: Literal["wavelength", "index"] = "wavelength"
    whiten: Share = Field(default=0.0, description="power of the whitening: 0 plain PCA, 1 unit variances")
    noise_whitening: Share = Field(default=0.0, description="power of a noise whitening, scene by scene")
    quietest_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="share of the neighbouring pairs, the quietest, that count as noise"
    )
    standardize: Literal["none", "scene"] = "none"
    scope: Literal["all", "foreground", "train"] = "foreground"


class Patches(Section):
    """Which windows a corpus offers."""

    window: Positive = 32
    stride: Positive = 8
    min_foreground: Share = 0.5
    holdout: Share = Field(default=0.0, description="share of each scene kept out of pretraining, as one strip")
    border: Literal["inside", "reflect"] = "inside"


class Neighbours(Section):
    """Pixels beside its centre as positives of a patch: all views but the first are centred on one of them."""

    radius: Count = Field(default=0, description="pixels between the two centres along either axis; 0 = none")
    candidates: Count = Field(
        default=0, description="the pixels nearest in spectrum to choose from, the centre included; 0 = any pixel"
    )
    share: Share = Field(default=1.0, description="of the samples that move where there are candidates")


class Views(Section):
    """Augmentations, each sample at a noise level of its own between 0 and ``noise``.

    Noise and offset are multiples of each component's spread (of its noise, where that is whitened).
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "shift": "neighbours.radius", "alike": "neighbours.candidates", "alike_share": "neighbours.share"
    }  # fmt: skip

    crop: tuple[Share, Share] = (0.4, 1.0)
    keep_centre: bool = False
    flip: Share = 0.5
    quarter_turns: bool = True
    neighbours: Neighbours = Neighbours()
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


class Network(Section):
    """A network by its name, with what its builder takes."""

    name: str
    options: dict[str, Any] = {}


class Backbone(Network):
    """The network of a run, and the weights that it starts from."""

    weights: str | None = Field(
        default=None, description="to start from: a .safetensors file, a backbone/ folder, a hub id; null: random"
    )

    @model_validator(mode="after")
    def one_start(self) -> Self:
        if self.weights is not None and self.options.get("pretrained") and self.options.get("load", True):
            raise ValueError("weights and options.pretrained both say what to start from; give one of them")
        return self


class MethodChoice(Section):
    """The self-supervised method; it checks its options itself (:func:`sslhsi.methods.registry.method_options`).

    ``supcon`` alone reads labels, of scenes that have them: never those of held-out pixels, of scenes with
    ``holdout: true``, or of scenes under ``corpus.leave_out``. Leave every scene out that you evaluate on.
    """

    name: str = "simclr"
    options: dict[str, Any] = {}


class TrainingSettings(Section):
    """What all trainings say; each adds how long it takes, by which optimiser and on what schedule."""

    batch_size: BatchSize
    lr: Rate


class Training(TrainingSettings):
    """The pretraining."""

    steps: Positive | None = None
    epochs: Positive | None = None
    batch_size: BatchSize = Field(default=64, description="global: over all processes")
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: Rate = 1e-3
    weight_decay: Strength = 1e-4
    momentum: Share = 0.9
    warmup: Share = Field(default=0.1, description="share of all steps")
    clip: Strength = Field(default=1.0, description="gradient norm; 0 = no clipping")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on GPUs that multiply it, fp32 elsewhere"
    )
    sync_batchnorm: bool = True
    micro_batch: Count = Field(
        default=0, description="views that go through the backbone at a time on each process; 0 = all"
    )
    timeout: Positive = Field(default=1800, description="seconds that a process waits for the others")
    checkpoint_every: Positive = 200
    keep_checkpoints: Positive = 2
    monitor_every: Count = Field(default=1, description="epochs between looks at held-out windows; 0 = none")
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
    """The scenes that a backbone is pretrained on, and how they are prepared."""

    scenes: Annotated[list[SceneSource], Field(min_length=1)]
    only: list[str] = Field(default=[], description="names of the scenes to use; all when empty")
    leave_out: list[str] = Field(default=[], description="names of scenes not to use")
    cache: str = "corpora"
    bands: Bands = Bands()
    projection: str | None = Field(
        default=None,
        description="folder of a backbone whose projection is kept, bands being its settings; null: one is fitted",
    )
    patches: Patches = Patches()


class Recipe(Section):
    """A whole run, from files to a judged backbone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Count = 0
    output: str | None = Field(default=None, description="run directory; runs/NAME when not given")
    corpus: Corpus
    views: Views = Views()
    backbone: Backbone
    method: MethodChoice = MethodChoice()
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
        if self.views.neighbours.candidates and self.corpus.patches.window < 3:
            raise ValueError("views.neighbours.candidates compares 3x3 means; make corpus.patches.window 3 or more")
        return self

    def dump(self) -> str:
        """The resolved recipe as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.model_dump(mode="json")))


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; see :func:`sslhsi.recipe_file.read_settings` for arguments and errors.

    ``objective: {name: ntxent, ...}``, as version 0.1 had it, is read as ``method: {name: simclr, options: ...}``.
    """
    return read_settings(path, Recipe, overrides, _objective_as_method)


def load_run_recipe(run: Path) -> Recipe:
    """The recipe.yaml of a run directory, also one of version 0.1 with the names that keys had then.

    Raises:
        InputError: There is none, or it isn't a recipe.
    """
    return read_settings(
        run / "recipe.yaml", Recipe, translate=lambda data: with_new_names(_objective_as_method(data), Recipe)
    )


def _objective_as_method(data: dict[str, Any]) -> dict[str, Any]:
    if "objective" not in data:
        return data
    objective = data["objective"] or {}
    if not isinstance(objective, dict):
        raise ValueError(f"objective: give method: {{name: simclr, options: {{...}}}}, not {objective!r}")
    if "method" in data:
        key = next((key for key in objective if key != "name"), "temperature")
        raise ValueError(
            f"objective and method are both given; objective.{key} is now method.options.{key}, give method alone"
        )
    options = {key: value for key, value in objective.items() if key != "name"}
    if (name := objective.get("name", "ntxent")) != "ntxent":
        raise ValueError(f"objective.name: there is no {name!r}; give method.name instead, as in method.name=simclr")
    method = {"name": "simclr", "options": options}
    return {("method" if key == "objective" else key): value for key, value in data.items()} | {"method": method}
