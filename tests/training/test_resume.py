"""Whether the processes of a run go on from the same checkpoint."""

from __future__ import annotations

import json

import pytest
import torch

from sslhsi.errors import InputError
from sslhsi.recipe import Recipe
from sslhsi.training.checkpoint import save_checkpoint
from sslhsi.training.resume import checkpoint_to_resume


def test_processes_that_find_different_checkpoints_are_refused(tmp_path):
    """Machines without a common file system would train on from different weights, or wait for one another."""
    corpus = {"scenes": [{"simulated": "paper"}], "patches": {"holdout": 0.2}}
    text = {
        "name": "t",
        "output": str(tmp_path),
        "corpus": corpus,
        "backbone": {"name": "x"},
        "training": {"steps": 9},
    }
    recipe = Recipe.model_validate_json(json.dumps(text))
    save_checkpoint(tmp_path, 8, {"w": torch.zeros(2)}, {}, {"recipe": "a"}, 2)
    assert checkpoint_to_resume(recipe, {"recipe": "a"}, None, lambda step: [step, step])[0] == 8
    with pytest.raises(
        InputError, match=r"checkpoint of step 8, others that of step 0; put output= on a file system"
    ):
        checkpoint_to_resume(recipe, {"recipe": "a"}, None, lambda step: [step, 0])
