import itertools

import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.network.files.chains import arrange, check_chain, passed_over

SIZES = (12, 7, 5, 3)
NAMES = {
    "numbered": (["W0", "W1", "W2"], ["b0", "b1", "b2"]),
    "from one": (["w_1", "w_2", "w_3"], ["b_1", "b_2", "b_3"]),
    "the book's, three layers": (["wih", "whh", "who"], ["bih", "bhh", "bho"]),
    "underscores": (["w_ih", "w_hh", "w_ho"], ["bias_ih", "bias_hh", "bias_ho"]),
    "words": (
        ["weights_input_hidden", "weights_hidden_hidden", "weights_hidden_output"],
        ["bias_input_hidden", "bias_hidden_hidden", "bias_hidden_output"],
    ),
    "PyTorch's": (["0.weight", "2.weight", "4.weight"], ["0.bias", "2.bias", "4.bias"]),
    "attributes": (
        ["fc1.weight", "fc2.weight", "out.weight"],
        ["fc1.bias", "fc2.bias", "out.bias"],
    ),
    "scikit-learn's": (
        ["coefs_0", "coefs_1", "coefs_2"],
        ["intercepts_0", "intercepts_1", "intercepts_2"],
    ),
    "by place": (["arr_0", "arr_2", "arr_4"], ["arr_1", "arr_3", "arr_5"]),
    "past nine": (["W9", "W10", "W11"], ["b9", "b10", "b11"]),
}


@pytest.fixture
def network(rng):
    weights = [rng.normal(size=pair) for pair in itertools.pairwise(SIZES)]
    return weights, [rng.normal(size=n) for n in SIZES[1:]]


@pytest.mark.parametrize("way", ["in_out", "out_in"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_order_and_orientation_are_found(network, rng, names, biased, way):
    weights, biases = network
    items = [
        (name, w.T if way == "out_in" else w) for name, w in zip(names[0], weights, strict=True)
    ]
    if biased:
        items += zip(names[1], biases, strict=True)
    # Whatever the order in the file.
    arrays = dict(items[k] for k in rng.permutation(len(items)))
    layers = arrange(arrays, "it")
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)
        assert layer.weight.dtype == np.float64
        if biased:
            np.testing.assert_array_equal(layer.bias, bias)
        else:
            assert layer.bias is None


def test_square_weights_leave_it_open(rng):
    arrays = {"W0": rng.normal(size=(4, 4)), "W1": rng.normal(size=(4, 4))}
    with pytest.raises(JaxbqError, match=r"fit both ways round; say which: orientation in_out"):
        arrange(arrays, "it")
    kept, turned = (arrange(arrays, "it", orientation=way) for way in ("in_out", "out_in"))
    np.testing.assert_array_equal(kept[1].weight, arrays["W1"])
    np.testing.assert_array_equal(turned[1].weight, arrays["W1"].T)


def test_one_layer_is_settled_by_a_bias_or_the_inputs(rng):
    weight = rng.normal(size=(6, 4))
    with pytest.raises(JaxbqError, match="both ways round"):
        arrange({"w": weight}, "it")
    assert arrange({"w": weight, "b": np.zeros(4)}, "it")[0].weight.shape == (6, 4)
    assert arrange({"w": weight, "b": np.zeros(6)}, "it")[0].weight.shape == (4, 6)
    assert arrange({"w": weight}, "it", inputs=6)[0].weight.shape == (6, 4)
    assert arrange({"w": weight}, "it", inputs=4)[0].weight.shape == (4, 6)


def test_names_that_say_nothing_are_put_in_the_only_order_that_fits(rng):
    arrays = {"red": rng.normal(size=(5, 3)), "blue": rng.normal(size=(9, 5))}
    layers = arrange(arrays, "it", inputs=9, ordered=False)
    assert [layer.weight.shape for layer in layers] == [(9, 5), (5, 3)]
    # From three inputs to nine outputs, rows being outputs, it is a network too.
    with pytest.raises(JaxbqError, match="fit in several orders"):
        arrange(arrays, "it", ordered=False)


def test_rows_and_columns_are_biases_and_a_rate_is_passed_over(rng):
    arrays = {
        "W0": rng.normal(size=(4, 3)),
        "b0": rng.normal(size=(1, 3)),
        "W1": rng.normal(size=(3, 2)),
        "b1": rng.normal(size=(2, 1)),
        "learning_rate": np.array(0.1),
    }
    kept, notes = passed_over(arrays)
    assert notes == ("learning_rate passed over",)
    layers = arrange(kept, "it")
    assert [layer.bias.shape for layer in layers] == [(3,), (2,)]


def test_some_layers_may_have_no_bias(rng):
    arrays = {"W0": rng.normal(size=(4, 3)), "b0": np.ones(3), "W1": rng.normal(size=(3, 2))}
    layers = arrange(arrays, "it")
    np.testing.assert_array_equal(layers[0].bias, np.ones(3))
    assert layers[1].bias is None


@pytest.mark.parametrize(
    ("weights", "biases"),
    [
        (["wih", "who"], ["bh", "bo"]),
        (["Wxh", "Why"], ["bh", "by"]),
        (["weights_input_hidden", "weights_hidden_output"], ["bias_hidden", "bias_output"]),
    ],
)
def test_biases_named_after_the_units_go_with_the_weights_before_them(rng, weights, biases):
    """Hidden and output layer of one size, so that shapes would not tell."""
    arrays = dict.fromkeys(weights)
    arrays[weights[0]], arrays[weights[1]] = rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
    arrays |= {biases[1]: np.full(3, 2.0), biases[0]: np.full(3, 1.0)}
    layers = arrange(arrays, "it")
    assert [layer.bias[0] for layer in layers] == [1.0, 2.0]


def test_the_order_in_the_file_counts_where_names_tell_none(rng):
    hidden = ["mid_one", "mid_two", "mid_three"]
    arrays = {"inp": rng.normal(size=(9, 4))}
    arrays |= {name: rng.normal(size=(4, 4)) for name in hidden}
    arrays["tail"] = rng.normal(size=(4, 2))
    for layer, name in zip(arrange(arrays, "it")[1:4], hidden, strict=True):
        np.testing.assert_array_equal(layer.weight, arrays[name])
    with pytest.raises(JaxbqError, match="fit in several orders; give them numbers"):
        arrange(arrays, "it", ordered=False)


@pytest.mark.parametrize("names", [["fc1", "fc2", "fc3", "out"], ["dense", "dense_1", "dense_2"]])
def test_numbered_layers_of_one_size_need_no_order_in_the_file(rng, names):
    arrays = {f"{name}.weight": rng.normal(size=(4, 4)) for name in names}
    turned = dict(reversed(arrays.items()))
    layers = arrange(turned, "it", orientation="out_in", ordered=False)
    for layer, weight in zip(layers, arrays.values(), strict=True):
        np.testing.assert_array_equal(layer.weight, weight.T)


def test_a_bias_of_one_value_may_be_a_scalar(rng):
    arrays = {"W0": rng.normal(size=(4, 1)), "b0": np.array(0.3)}
    np.testing.assert_array_equal(arrange(arrays, "it")[0].bias, [0.3])


def test_small_and_whole_numbers_become_floats():
    layers = arrange({"W0": np.ones((4, 3), np.float16), "W1": np.ones((3, 2), np.int64)}, "it")
    assert [layer.weight.dtype.name for layer in layers] == ["float32", "float64"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W0": np.ones((4, 3)), "W1": np.ones((5, 2))}, "do not form a chain"),
        ({"W0": np.ones((4, 3)), "b0": np.ones(9)}, "do not form a chain"),
        ({"W0": np.ones((4, 3)), "loss": np.ones(30)}, "'loss' of shape .* neither"),
        ({"conv": np.ones((3, 3, 1, 8))}, "of a convolutional layer.* docs/own-models.md"),
        ({"W0": np.ones((4, 3)), "b": np.ones((3, 3, 3))}, "convolutional"),
        ({"W0": np.ones((4, 3)), "images": np.ones((3, 2, 2))}, "is images, it seems"),
        ({"fc.weight": np.ones((4, 3)), "ln.weight": np.ones(3)}, "perhaps of LayerNorm"),
        ({"W0": np.ones((4, 3)), "mean": np.ones(3)}, "a step of the network's own"),
        ({"W0": np.ones((4, 3)), "W1": np.ones((3, 3)), "cm": np.ones((3, 3))}, "'cm', beside W0"),
        ({"W0": np.full((4, 3), np.nan)}, "'W0': holds values that are not finite"),
        ({"W0": np.full((4, 3), np.inf, "f2")}, "not finite"),
        ({"W0": np.ones((4, 3), complex)}, "complex128, not real"),
        ({"W0": np.array([["a", "b"], ["c", "d"]])}, "not real numbers"),
        ({"W0": np.ones((0, 3))}, "is empty"),
        ({"b0": np.ones(3)}, "holds no weights"),
        ({}, "holds no weights"),
        ({f"W{n}": np.ones((2, 2)) for n in range(65)}, "65 layers"),
    ],
)
def test_what_is_no_network(arrays, message):
    with pytest.raises(JaxbqError, match=message):
        arrange(arrays, "it")


def test_an_asked_orientation_that_does_not_fit(rng):
    arrays = {"wih": rng.normal(size=(7, 12)), "who": rng.normal(size=(3, 7))}
    with pytest.raises(JaxbqError, match="do not form a chain of layers, oriented in_out"):
        arrange(arrays, "it", orientation="in_out")
    with pytest.raises(JaxbqError, match="takes 12 inputs, but an image has 13 pixels"):
        arrange(arrays, "it", inputs=13)


def test_no_layers_are_no_chain():
    with pytest.raises(JaxbqError, match="holds no layer"):
        check_chain([], "it")


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ("layer{}_W", "layer{}_b"),
        ("l{}.w", "l{}.b"),
        ("hidden{}_W", "hidden{}_b"),
        ("mlp/~/linear_{}/w", "mlp/~/linear_{}/b"),
        ("weights_{}", "biases_{}"),
        ("module.fc{}.weight", "module.fc{}.bias"),
        ("W{}", "B{}"),
    ],
)
@pytest.mark.parametrize("column", [False, True])
def test_names_of_weights_and_biases(rng, weight, bias, column):
    arrays, layers = {}, []
    # Square, so that nothing but the names tells the order.
    for number in (2, 1, 3):
        arrays[bias.format(number)] = rng.normal(size=(4, 1) if column else 4)
        arrays[weight.format(number)] = rng.normal(size=(4, 4))
    for number in (1, 2, 3):
        layers.append((arrays[weight.format(number)], arrays[bias.format(number)].reshape(-1)))
    found = arrange(arrays, "it", orientation="in_out")
    for (own, added), layer in zip(layers, found, strict=True):
        np.testing.assert_array_equal(layer.weight, own)
        np.testing.assert_array_equal(layer.bias, added)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_places_alone_with_biases_that_are_columns(rng, halves, transposed):
    sizes = (6, 5, 4, 3)
    weights = [rng.normal(size=(n, m)) for n, m in itertools.pairwise(sizes)]
    biases = [rng.normal(size=(m, 1)) for m in sizes[1:]]
    held = [w.T if transposed else w for w in weights]
    line = (
        [*held, *biases] if halves else [a for pair in zip(held, biases, strict=True) for a in pair]
    )
    found = arrange({f"arr_{n}": array for n, array in enumerate(line)}, "it")
    for w, b, layer in zip(weights, biases, found, strict=True):
        np.testing.assert_array_equal(layer.weight, w)
        np.testing.assert_array_equal(layer.bias, b[:, 0])
    # Weights alone of one output are no biases.
    single = arrange({"arr_0": np.ones((5, 6)), "arr_1": np.ones((1, 5))}, "it")
    assert [layer.bias for layer in single] == [None, None]


@pytest.mark.parametrize(
    "extra",
    [
        {"mW0": (4, 3), "vW0": (4, 3), "m_W0": (4, 3), "W0_momentum": (4, 3), "velocity_b0": (3,)},
        {"vdW0": (4, 3), "vdb0": (3,), "dW1": (3, 2), "adam_m_W1": (3, 2)},
        {"losses": (3,), "train_acc": (2,), "history": (50,), "lr": (), "unknown": (7,)},
    ],
)
def test_what_cannot_be_a_layers_is_passed_over_by_name(rng, extra):
    own = {"W0": rng.normal(size=(4, 3)), "b0": rng.normal(size=3), "W1": rng.normal(size=(3, 2))}
    arrays = own | {name: rng.normal(size=shape) for name, shape in extra.items()}
    arrays["layer_sizes"] = np.array([4, 3, 2])
    arrays["text"] = np.array("words")
    kept, (note,) = passed_over(arrays)
    assert kept.keys() == own.keys()
    assert "layer_sizes, text passed over" in note


@pytest.mark.parametrize("name", ["mean", "input_std", "temperature", "scale", "gamma0", "w2"])
def test_what_may_be_a_step_of_the_network_is_not(name):
    kept, _ = passed_over({"W0": np.ones((4, 3)), name: np.ones(4)})
    assert name in kept


def test_a_layer_without_a_number_comes_before_the_second(rng):
    """As text hidden2_weights comes before hidden_weights."""
    named = {f"{name}_weights": rng.normal(size=(4, 4)) for name in ("hidden", "hidden2", "output")}
    named |= {f"{name}_bias": np.full(4, n) for n, name in enumerate(("hidden", "hidden2"))}
    layers = arrange(named, "it", orientation="in_out")
    for layer, name in zip(layers, ("hidden", "hidden2", "output"), strict=True):
        np.testing.assert_allclose(layer.weight, named[f"{name}_weights"], rtol=1e-6)


def test_weights_of_one_byte_are_quantised():
    with pytest.raises(JaxbqError, match="int8, quantised weights it seems; save them as real"):
        arrange({"W0": np.ones((4, 3), np.int8), "W1": np.ones((3, 2), np.int8)}, "it")


def test_a_history_may_be_a_column_as_matlab_keeps_it():
    arrays = {"W1": np.ones((4, 3)), "W2": np.ones((3, 2)), "J_history": np.ones((50, 1))}
    arrays["cost_history"] = np.ones((50, 1))
    kept, notes = passed_over(arrays)
    assert set(kept) == {"W1", "W2"}
    assert notes == ("J_history, cost_history passed over",)


def test_data_beside_thetas_are_no_layer():
    arrays = {"Theta1": np.ones((4, 3)), "Theta2": np.ones((3, 2)), "X": np.ones((9, 4))}
    with pytest.raises(JaxbqError, match="is 'X', beside Theta1 and Theta2, a layer"):
        arrange(arrays, "it")
