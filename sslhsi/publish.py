"""From a finished run to a folder, or a repository on the Hugging Face Hub, that others load."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from sslhsi.backbones.base import BACKBONES
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError, reason_of
from sslhsi.evaluation.rows import COLUMNS, ResultRow, read_result_rows
from sslhsi.files import atomic_folder, in_use, write_atomic, write_rows
from sslhsi.recipe import Recipe, load_run_recipe
from sslhsi.report.model_card import model_card
from sslhsi.report.tables import KEYS

HUB = "hf:"


def publish(
    run: str | Path,
    target: str | Path,
    name: str | None = None,
    licence: str = "unknown",
    results: Sequence[str | Path] = (),
    private: bool = False,
) -> dict[str, Any]:
    """Publish a run's backbone: weights, projection, results and a model card.

    Args:
        run: Directory of a finished run.
        target: A folder that is not there yet or is empty, or ``hf:user/name`` to push to the hub.
        name: Tag, what follows the dot in ``architecture.tag``; the recipe's name when None.
        licence: Of the weights, as an identifier (``cc-by-4.0``).
        results: CSV files with more result rows, as ``make results`` writes them; rows of this backbone's
            corpus are taken, and their baselines.
        private: Make the repository on the hub a private one.

    Returns:
        ``name``, ``target`` (folder or address), ``files`` (sorted names) and ``results`` (number of rows).

    Raises:
        InputError: The run is not finished or holds no backbone, the target is taken, the name is one of
            timm's own, or the hub refuses.
    """
    run = Path(run)
    recipe, provenance = _read_run(run)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence):
        raise InputError(f"licence {licence!r}: give an identifier in lower case, such as cc-by-4.0 or apache-2.0")
    tag = recipe.name if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", tag):
        raise InputError(f"name {tag!r}: use letters, digits, '.', '_' and '-', beginning with a letter or digit")
    if str(target).startswith(HUB):
        return _push(str(target).removeprefix(HUB), private, run, recipe, provenance, tag, licence, results)
    target = Path(target)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target}: exists and is not an empty folder; give another target")
    with atomic_folder(target) as part:
        published = _write(part, target.absolute().name, run, recipe, provenance, tag, licence, results)
    return {**published, "target": str(target)}


def _write(
    folder: Path,
    where: str,
    run: Path,
    recipe: Recipe,
    provenance: Mapping[str, Any],
    tag: str,
    licence: str,
    results: Sequence[str | Path],
) -> dict[str, Any]:
    """The published folder."""
    encoder = load_backbone(run / "backbone")
    base = encoder.config.architecture.removeprefix("timm/").split(".")[0]
    if base not in BACKBONES and f"{base}.{tag}" in timm.list_pretrained(f"{base}.*"):
        raise InputError(f"{base}.{tag} is the name of timm's own weights; give another --name")
    save_backbone(folder, encoder.backbone, encoder.projector, encoder.config, tag)
    config = json.loads((folder / "config.json").read_text())
    rows = collect(read_result_rows(run / "results.csv"), results, str(provenance["corpus"]["key"]))
    if rows:
        write_rows(folder / "results.csv", [row.to_csv() for row in rows], COLUMNS)
    card = model_card(
        config=config,
        projection=encoder.projector,
        parameters=sum(p.numel() for p in encoder.backbone.parameters()),
        recipe=recipe,
        provenance=provenance,
        rows=rows,
        licence=licence,
        where=where,
    )
    write_atomic(folder / "README.md", card)
    return {
        "name": config["name"],
        "files": sorted(path.name for path in folder.iterdir()),
        "results": len(rows),
    }


def collect(of_run: Sequence[ResultRow], files: Sequence[str | Path], corpus: str) -> list[ResultRow]:
    """Result rows of a backbone and of its baselines.

    Args:
        of_run: The run's rows, taken as they are.
        files: CSV files; of each, rows of features pretrained on this corpus, and rows of other methods on
            the same settings and seeds, those measured with this corpus' projection where there are any.
        corpus: Key of the corpus.

    Raises:
        InputError: A file can't be read or holds no row of this corpus.
    """
    rows = list(of_run)
    for path in map(Path, files):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; give a CSV of result rows")
        every = read_result_rows(path)
        ours = [row for row in every if row.corpus == corpus and row.method == "pretrained"]
        if not ours:
            raise InputError(f"{path}: holds no result of features pretrained on corpus {corpus}; leave it out")
        settings = {_setting(row) for row in ours}
        others = [row for row in every if row.method != "pretrained" and _setting(row) in settings]
        mine = [row for row in others if row.corpus == corpus]
        rows += ours + (mine or others)
    return rows


def _setting(row: ResultRow) -> tuple:
    return tuple(getattr(row, key) for key in (*KEYS, "seed", "probe", "recipe"))


def _read_run(run: Path) -> tuple[Recipe, dict[str, Any]]:
    """Recipe and provenance of a finished run."""
    if not (run / "recipe.yaml").is_file():
        raise InputError(f"{run}: not a run directory, recipe.yaml is missing; give the folder that a run wrote")
    if in_use(run):
        raise InputError(f"{run}: the run is still at work; publish it once it is done")
    if not (run / "backbone").is_dir() or not (run / "report.html").is_file():
        raise InputError(f"{run}: the run is not finished; start it again, and it goes on from its last checkpoint")
    try:
        provenance = json.loads((run / "provenance.json").read_text())
        assert provenance["corpus"]["scenes"]
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise InputError(f"{run}: provenance.json can't be read ({reason_of(error)}); run it again") from None
    return load_run_recipe(run), provenance


def _push(repository: str, private: bool, *write: Any) -> dict[str, Any]:
    """Write the folder aside and upload it to a new repository, in one commit."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f"{HUB}{repository}: give {HUB}user/name")
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "backbone"
        published = _write(part, repository, *write)
        api = HfApi(library_name="sslhsi")
        try:
            made = api.create_repo(repository, private=private, exist_ok=True)
            # One that a broken upload left empty is as good as none.
            if set(api.list_repo_files(repository)) - {".gitattributes"}:
                raise InputError(f"{HUB}{repository}: exists and is not empty; give another name")
            api.upload_folder(repo_id=repository, folder_path=part, commit_message=f"Publish {published['name']}")
        except InputError:
            raise
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            way = {
                401: "log in with `hf auth login` or set HF_TOKEN",
                403: "this token may not write there",
            }.get(status or 0, "check the network and the name")
            raise InputError(f"{HUB}{repository}: the hub refuses ({reason_of(error)}); {way}") from None
    return {**published, "target": str(made)}
