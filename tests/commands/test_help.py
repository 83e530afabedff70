"""The command line teaches itself: examples everywhere, completion, exit codes."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess

import pytest

from sslhsi.cli import EPILOG, build_parser, main


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield (*words, name), child
                yield from commands(child, (*words, name))


ALL = dict(commands(build_parser()))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_examples_that_parse(words):
    parser = ALL[words]
    if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
        return
    lines = re.findall(r"^(?:examples?:)?\s*(sslhsi .*?)(?:\s{2,}#.*)?$", parser.epilog or "", re.MULTILINE)
    lines = [line for line in lines if ">" not in line]
    assert lines or "completion" in words
    for line in lines:
        assert line.split()[1 : len(words) + 1] == list(words)
        build_parser().parse_args(line.split()[1:])


def test_the_path_in_the_help_parses_and_names_every_command():
    lines = re.findall(r"^  (sslhsi .*?)(?:\s{2,}.*)?$", EPILOG, re.MULTILINE)
    for line in lines:
        build_parser().parse_args(line.split()[1:])
    named = {line.split()[1] for line in lines}
    assert named == {words[0] for words in ALL} - {"completion"}


@pytest.mark.parametrize("words", [[], ["nonsense"], ["publish"], ["pretrain", "--nonsense"], ["completion", "dos"]])
def test_wrong_usage_is_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: sslhsi" in capsys.readouterr().err


def test_bash_completes(capsys, tmp_path):
    if not shutil.which("bash"):
        pytest.skip("no bash")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "sslhsi.bash"
    script.write_text(capsys.readouterr().out)
    ask = f"""
source {script}
complete_words() {{
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_sslhsi; echo "${{COMPREPLY[@]}}"
}}
complete_words sslhsi pub
complete_words sslhsi data insp
complete_words sslhsi publish --lic
"""
    found = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout.split() == ["publish", "inspect", "--licence"], found.stderr
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef sslhsi")
