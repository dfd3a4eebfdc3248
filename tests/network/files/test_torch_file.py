"""PyTorch modules with BatchNorm and activations, checkpoints, and what is refused."""

import itertools

import numpy as np
import pytest
import random_networks
from safetensors.numpy import save_file

from jaxbq.errors import JaxbqError
from jaxbq.network.files import AssumptionWarning, import_network

torch = pytest.importorskip("torch", reason="PyTorch is not here")
nn = torch.nn
l1_unstructured = pytest.importorskip("torch.nn.utils.prune").l1_unstructured
ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "leaky_relu": nn.LeakyReLU,
    "leaky_relu(0.2)": lambda: nn.LeakyReLU(0.2),
    "leaky_relu(0.25)": nn.PReLU,
    "elu": nn.ELU,
    "elu(0.5)": lambda: nn.ELU(0.5),
    "identity": nn.Identity,
}
OUTPUTS = {
    "softmax": [nn.Softmax(1), nn.LogSoftmax(-1)],
    "sigmoid": [nn.Sigmoid()],
    "tanh": [nn.Tanh()],
    "identity": [nn.Identity()],
}


def norm(units, rng, **options):
    """BatchNorm as after training."""
    module = nn.BatchNorm1d(units, **options)
    module.running_mean = torch.tensor(rng.normal(size=units), dtype=torch.float32)
    module.running_var = torch.tensor(rng.random(units) + 0.1, dtype=torch.float32)
    if module.affine:
        for values in (module.weight, module.bias):
            nn.init.normal_(values)
    return module


def draw(rng, sizes=None, epsilon=None):
    """A Sequential with what it may have; names of its activations; that of its output."""
    sizes = sizes or random_networks.draw(rng).sizes
    parts, hidden = [nn.Flatten()], []
    if rng.random() < 0.4:
        parts.append(norm(sizes[0], rng, affine=rng.random() < 0.5))
    for number, (n, m) in enumerate(itertools.pairwise(sizes), 1):
        parts.append(nn.Linear(n, m, bias=bool(rng.random() < 0.8)))
        last = number == len(sizes) - 1
        if rng.random() < 0.4:
            parts.append(norm(m, rng, eps=epsilon or float(rng.choice([1e-5, 1e-3]))))
        if not last:
            hidden.append(str(rng.choice(list(ACTIVATIONS))))
            parts.append(ACTIVATIONS[hidden[-1]]())
            if rng.random() < 0.4:
                parts.append(nn.Dropout())
            if rng.random() < 0.3:
                parts.append(norm(m, rng))
    output = str(rng.choice(list(OUTPUTS)))
    parts.append(OUTPUTS[output][rng.integers(len(OUTPUTS[output]))])
    return nn.Sequential(*parts).eval(), tuple(hidden), output


def answers(module, images):
    with torch.no_grad():
        found = module(torch.tensor(images)).numpy()
    return np.exp(found) if isinstance(module[-1], nn.LogSoftmax) else found


@pytest.mark.parametrize("seed", range(25))
def test_a_sequential_says_what_it_does(seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module, hidden, output = draw(rng)
    images = rng.random((20, 12)).astype("f4")
    network = random_networks.assert_same(module, images, answers(module, images))
    assert network.model.hidden_names == hidden
    assert network.model.output == output


@pytest.mark.parametrize("place", ["before", "first", "after"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_numbers_in_a_sequential_tell_where_batch_norm_comes(tmp_path, rng, place, suffix):
    parts = [nn.Linear(12, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4)]
    at, units = {"first": (0, 12), "before": (1, 8), "after": (3, 8)}[place]
    parts.insert(at, norm(units, rng))
    module = nn.Sequential(*parts).eval()
    images = rng.random((20, 12)).astype("f4")
    path = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save({"model_state_dict": module.state_dict(), "epoch": 3}, path)
    else:
        save_file({name: value.numpy() for name, value in module.state_dict().items()}, path)
    said = {"hidden": "relu", "output": "identity"}
    network = random_networks.assert_same(path, images, answers(module, images), **said)
    assert "1e-05, PyTorch's default" in network.notes[0]


class Named(nn.Module):
    def __init__(self, rng, *, late=False):
        super().__init__()
        self.fc1 = nn.Linear(12, 8)
        if not late:
            self.bn1 = norm(8, rng, eps=1e-3)
        self.fc2 = nn.Linear(8, 8)
        if late:
            self.bn1 = norm(8, rng, eps=1e-3)
        self.bn2 = norm(8, rng)
        self.fc3 = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.bn1(self.fc1(x)))
        return self.fc3(torch.relu(self.bn2(self.fc2(x))))


def test_names_leave_it_open_and_a_warning_says_what_was_assumed(rng, tmp_path):
    module = Named(rng).eval()
    images = rng.random((20, 12)).astype("f4")
    with torch.no_grad():
        outputs = module(torch.tensor(images)).numpy()
    said = {"hidden": "relu", "output": "identity"}
    # The module itself knows its epsilon.
    with pytest.warns(AssumptionWarning, match=r"BatchNorm 'bn1' comes before the activation"):
        network = random_networks.assert_same(module, images, outputs, **said)
    assert any("nn.Sequential(model.fc1" in note for note in network.notes)
    late = Named(rng, late=True).eval().state_dict()
    with pytest.raises(JaxbqError, match="where BatchNorm 'bn1' comes"):
        import_network(late, **said)
    state = module.state_dict()
    state["bn1.running_mean"] = state["bn1.running_mean"].abs()
    with pytest.raises(JaxbqError, match="where BatchNorm 'bn1' comes"):
        import_network(state, **said)


@pytest.mark.parametrize(
    "parts",
    [
        [nn.Linear(12, 4), nn.Softmax(1), nn.BatchNorm1d(4)],
        [nn.Linear(12, 4), nn.LayerNorm(4)],
        [nn.Linear(12, 4), nn.ReLU6(), nn.Linear(4, 4)],
        [nn.Linear(12, 4), nn.Softplus(beta=2), nn.Linear(4, 4)],
        [nn.Linear(12, 4), nn.ReLU(), nn.Tanh(), nn.Linear(4, 4)],
        [nn.Linear(12, 4), nn.PReLU(4), nn.Linear(4, 4)],
        [nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(9, 3)],
        [nn.Linear(12, 4), nn.Softmax(0)],
        [nn.ReLU(), nn.Linear(12, 4)],
        [nn.Linear(12, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 4)],
    ],
)
def test_what_does_not_fold_is_refused(parts):
    with pytest.raises(JaxbqError) as caught:
        import_network(nn.Sequential(*parts))
    assert "\n" not in str(caught.value)
    assert "leave it out of the file" not in str(caught.value)


def test_a_sequential_of_ones_own_forward_says_nothing(rng):
    class Own(nn.Sequential):
        def forward(self, x):
            return torch.sigmoid(super().forward(x))

    module = Own(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4))
    with pytest.warns(AssumptionWarning):
        assert import_network(module).assumed[:2] == ("hidden", "output")
    images = rng.random((5, 12)).astype("f4")
    outputs = module(torch.tensor(images)).detach().numpy()
    random_networks.assert_same(module, images, outputs, hidden="tanh", output="sigmoid")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.net."])
@pytest.mark.parametrize("wrapper", ["net", "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_checkpoints(tmp_path, rng, prefix, wrapper, suffix):
    module = nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4))
    state = {prefix + name: value for name, value in module.state_dict().items()}
    path = tmp_path / f"net{suffix}"
    content = {"epoch": 3, "loss": 0.1, wrapper: state, "optimizer_state_dict": {"m": {}}}
    torch.save(content, path, _use_new_zipfile_serialization=suffix != ".pth")
    images = rng.random((5, 12)).astype("f4")
    outputs = module(torch.tensor(images)).detach().numpy()
    random_networks.assert_same(path, images, outputs, hidden="tanh", output="identity")


def test_damaged_state_dicts(tmp_path):
    state = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()).state_dict()
    for name in ("1.running_mean", "1.running_var", "1.weight", "1.bias"):
        for damaged in (torch.ones(2), torch.ones(0), torch.ones(3, 4)):
            with pytest.raises(JaxbqError, match=r"different lengths|does not say where"):
                import_network(state | {name: damaged})
    with pytest.raises(JaxbqError, match="no plain tensor"):
        import_network(state | {"0.weight": torch.ones(3, 4, device="meta")})
    # A zip file that says it goes on in another.
    torch.save(state, tmp_path / "net.pt")
    whole = (tmp_path / "net.pt").read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(12) + b"\x09\0\0\0"
    for content in (whole[:end] + locator + whole[end:], locator + whole[end:]):
        (tmp_path / "net.pt").write_bytes(content)
        with pytest.raises(JaxbqError):
            import_network(tmp_path / "net.pt")


class Settings:
    """What a Lightning checkpoint may hold beside tensors."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # TorchScript
def test_what_is_refused_says_how_to_convert_it(tmp_path):
    module = nn.Sequential(nn.Linear(12, 4))
    torch.save({"state_dict": module.state_dict(), "own": Settings()}, tmp_path / "net.ckpt")
    torch.save(module, tmp_path / "whole.pt")
    torch.jit.trace(module, torch.zeros(1, 12)).save(tmp_path / "script.pt")
    (tmp_path / "none.pt").write_bytes(b"something else")
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 4))
    torch.save(convolution.state_dict(), tmp_path / "conv.pt")
    for name, message in (
        ("net.ckpt", r"torch.load\(\"net.ckpt\", weights_only=False\)\[\"state_dict\"\]"),
        ("whole.pt", r"weights_only=False\).state_dict\(\)"),
        ("script.pt", r"torch.jit.load\(\"script.pt\"\).state_dict\(\)"),
        ("none.pt", r"not a file of torch.save's"),
        ("conv.pt", r"convolutional .*docs/own-models.md"),
    ):
        with pytest.raises(JaxbqError, match=message):
            import_network(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "call"),
    [
        (nn.utils.parametrizations.weight_norm, "remove_parametrizations"),
        (nn.utils.spectral_norm, "remove_spectral_norm"),
        (lambda module: l1_unstructured(module, "weight", 0.5), "prune.remove"),
    ],
)
def test_factors_of_weights_are_not_taken_for_weights(change, call):
    # Of one unit they make a chain of layers.
    module = nn.Sequential(nn.Linear(6, 1))
    change(module[0])
    with pytest.raises(JaxbqError, match=f"is a factor of weights.*{call}"):
        import_network(module.state_dict())


@pytest.mark.parametrize("name", ["criterion.weight", "loss_fn.pos_weight"])
def test_weights_of_classes_in_a_loss_are_passed_over(tmp_path, name):
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    torch.save({"weights": module.state_dict() | {name: torch.ones(3)}}, tmp_path / "net.pt")
    network = import_network(tmp_path / "net.pt", hidden="relu", output="softmax")
    assert f"{name} passed over" in network.notes
    assert network.model.sizes == (6, 4, 3)
