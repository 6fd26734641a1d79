"""Every public name of neural-tangents is here, with its arguments, and in the table of the documentation."""

import ast
import importlib
import inspect
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from ntk_array import neural_tangents as nt
from ntk_array.neural_tangents import stax

HERE = Path(__file__).parent
NAMES = json.loads((HERE / "frozen.json").read_text())["names"]
PAGE = (HERE.parents[1] / "docs/neural_tangents.md").read_text()
CONSTRUCTED = {"Diagonal", "MaskedArray", "Bool"}
"""Classes there, which are refused here."""


def module(name):
    return importlib.import_module(f"ntk_array.neural_tangents.{name}".removesuffix("."))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_every_public_name(name):
    title = f"### `neural_tangents{'.' if name else ''}{name}`"
    section = PAGE.split(title)[1].split("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == sorted(NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name):
    own = set(module(name).__all__)
    assert own == set(NAMES[name]) - {"experimental"}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_neural_tangents(name):
    for public, arguments in NAMES[name].items():
        if arguments is None or public in ("DotGeneral", *CONSTRUCTED):
            continue
        own = list(inspect.signature(getattr(module(name), public)).parameters.values())
        # Arguments with an underscore are internal there.
        wanted = [pair for pair in arguments if not pair[0].startswith("_")]
        found = [one for one in own if one.kind is not one.VAR_KEYWORD or one.name in dict(map(tuple, wanted))]
        assert [one.name for one in found[: len(wanted)]] == [argument for argument, _ in wanted], public
        for one, (argument, default) in zip(found, wanted, strict=False):
            assert (one.default is one.empty) == (default is None), (public, argument)
            if default is not None:
                with suppress(ValueError, SyntaxError):
                    assert one.default == ast.literal_eval(default), (public, argument)


def test_what_has_no_counterpart_names_what_there_is():
    with pytest.raises(AttributeError, match="TensorFlow"):
        _ = nt.experimental
    with pytest.raises(NotImplementedError, match=r"ntk_array[.]nn"):
        stax.layer(None)
    for refused in (stax.DotGeneral, stax.Bool, stax.Diagonal, stax.requires):
        with pytest.raises(NotImplementedError, match=r"ntk_array[.]nn"):
            refused()
    with pytest.raises(NotImplementedError, match=r"nn\.padded"):
        stax.MaskedArray(0, 0)
    with pytest.raises(NotImplementedError, match=r"ntk_array[.]nn"):
        stax.supports_masking(True)
