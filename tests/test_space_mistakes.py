"""Mistakes in a space of one's own get one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.architecture import Architecture, Sketch
from nas.budget import Budget, Choose
from nas.space import SearchSpace


def test_mistakes_of_ones_own_space_get_one_sentence() -> None:
    class Typo(SearchSpace):
        def describe(self, choose: Choose) -> Architecture:
            net = Sketch(self.input_shape)
            return net.done(net("flaten", net.input))

    class Forgetful(SearchSpace):
        def describe(self, choose: Choose) -> Architecture:  # type: ignore[return]  # what is forgotten
            choose("width", (1, 2))

    class Empty(SearchSpace):
        def describe(self, choose: Choose) -> Architecture:
            net = Sketch(self.input_shape)
            return net.done(net("linear", net("flatten", net.input), out=choose("width", ())))

    class Odd(SearchSpace):
        def describe(self, choose: Any) -> Architecture:
            net = Sketch(self.input_shape)
            x = net("flatten", net.input)
            while asked and choose(*asked):
                x = net("linear", x, out=4)
            return net.done(net("linear", x, out=self.classes + 1))

    odd: list[tuple[tuple[Any, ...], str]] = [
        (("more", (True, True)), r"asks 'more' twice in one draw; give each fork its own name"),
        (("more", {4}), r"asks choose\('more', \{4\}\); it takes a name and a tuple of options"),
        (("more", 4), r"asks choose\('more', 4\)"),
        (("more", np.arange(3)), r"asks choose\('more', array\(\[0, 1, 2\]\)\)"),
        (("more", (np.int64(4),)), r"with options such as (np\.int64\(4\)|4); give plain numbers and words"),
        (("more", ((8, 8), (4,))), r"with options such as \(8, 8\); give plain numbers"),
        ((3, (4, 8)), r"asks choose\(3, \(4, 8\)\)"),
        ((), r"ends in shape \(11,\), for 10 classes; end with out=self\.classes"),
    ]
    for asked, said in odd:  # noqa: B007  # by the space
        with pytest.raises(ValueError, match=said):
            Odd((1, 8, 8), 10, Budget(5000)).sample(np.random.default_rng(1))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"there is no layer 'flaten'; did you mean 'flatten'\?"):
        Typo((1, 8, 8), 10).sample(rng)
    with pytest.raises(ValueError, match=r"describe of space .* must return net\.done\(\.\.\.\), got None"):
        Forgetful((1, 8, 8), 10, Budget(5000)).sample(rng)
    with pytest.raises(ValueError, match=r"asks 'width' with no options"):
        Empty((1, 8, 8), 10, Budget(5000)).sample(rng)


def test_a_layer_is_put_on_layers_of_its_own_sketch_with_options_that_it_has() -> None:
    one, other = Sketch((8,)), Sketch((8,))
    x = one("linear", one("relu", one("linear", one.input, out=4)), out=4)
    with pytest.raises(ValueError, match=r"relu is put on 3, which is no layer of this sketch"):
        other("relu", x)
    with pytest.raises(ValueError, match=r"residual is put on 99, which is no layer"):
        other.residual(other.input, 99)
    with pytest.raises(ValueError, match=r"done is put on 99, which is no layer"):
        other.done(99)
    with pytest.raises(ValueError, match=r"dropout is put on nothing; give a layer, or net.input"):
        other("dropout", p=0.0)
    with pytest.raises(ValueError, match=r"linear needs out as a whole number, got 8\.0"):
        other("linear", other.input, out=8.0)
    assert one("relu", np.int64(x)) == x + 1  # type: ignore[arg-type]  # as an array of positions has it
    with pytest.raises(ValueError, match=r"linear is put on 'x', which is no layer"):
        other("linear", "x", out=4)  # type: ignore[arg-type]  # a mistake
    with pytest.raises(ValueError, match=r"layer linear with \{'units': 8\} on 1 layer\(s\): .*'units'"):
        other("linear", other.input, units=8)


def test_a_network_that_goes_by_more_than_its_choices_is_found_out() -> None:
    class Moody(SearchSpace):
        grown = 1

        def describe(self, choose: Choose) -> Architecture:
            net = Sketch(self.input_shape)
            width = int(choose("width", (4, 8))) * self.grown
            return net.done(net("linear", net("linear", net("flatten", net.input), out=width), out=self.classes))

    space, rng = Moody((8,), 2, Budget(150)), np.random.default_rng(0)
    space.sample(rng)
    space.grown = 4
    with pytest.raises(ValueError, match=r"describe of space .* must go by its choices alone; a network has \d+ param"):
        space.sample(rng)
