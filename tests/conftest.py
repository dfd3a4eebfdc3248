"""What all tests share. Shapes and types in annotations are checked while tests run."""

import os
import tempfile
from pathlib import Path

from jaxtyping import install_import_hook

# The user's own cache is not for tests; `make test` names one that its workers share.
os.environ.setdefault("JAXBQ_CACHE", tempfile.mkdtemp(prefix="jaxbq-cache-"))

# Before the first import of jaxbq.
# An int where a float is expected is fine, as PEP 484 says.
install_import_hook("jaxbq", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import problems  # noqa: E402
import pytest  # noqa: E402

from jaxbq.data import Dataset, Mnist, Mnist10k  # noqa: E402
from jaxbq.evaluation import Judge, trained_judges  # noqa: E402
from jaxbq.mlp import MLP, Params  # noqa: E402
from jaxbq.training import train  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Let go of compiled programs before they are too many.

    Each holds memory maps, of which Linux gives a process 65,530; beyond them XLA crashes.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 30_000:
        jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(20)


@pytest.fixture
def x64():
    """Compute in float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Three classes of 6 × 5 images, easy to learn."""
    return problems.striped_dataset()


@pytest.fixture(scope="session")
def mnist_10k() -> Dataset:
    return Mnist10k().load()


@pytest.fixture(scope="session")
def standard(mnist_10k: Dataset) -> tuple[MLP, Params]:
    """The network that the design speaks of: 784-200-10, sigmoid, trained on embedded data."""
    model = MLP((784, 200, 10))
    return model, train(model, mnist_10k).params


@pytest.fixture(scope="session")
def judge(mnist_10k: Dataset) -> Judge:
    return trained_judges(mnist_10k)[0]


@pytest.fixture(scope="session")
def full_mnist_folder() -> Path:
    folder = os.environ.get("JAXBQ_DATA")
    if not folder:
        pytest.skip("the full MNIST is not here: set JAXBQ_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def full_mnist(full_mnist_folder: Path) -> Dataset:
    return Mnist(path=str(full_mnist_folder)).load()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
